"""Networks known by name, each with the training that suits it.

A preset takes the shape and the number of classes of the data where its windows fit them,
and says what is too small where they do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from convprop.architectures.densenet import densenet
from convprop.architectures.inverted_residuals import efficientnet_lite0, mobilenet_v2
from convprop.architectures.resnet import cifar_resnet, resnet
from convprop.architectures.squeezenet import squeezenet
from convprop.arguments import checks_names
from convprop.checks import is_integer
from convprop.errors import InvalidInput, invalid
from convprop.graph import Block, Parallel, Residual, graph, image_shape
from convprop.initializers import Zeros
from convprop.layers import (
    AveragePool,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool,
    ReLU,
    Shape,
    Tanh,
)
from convprop.losses import SoftmaxCrossEntropy
from convprop.network import Network
from convprop.optimizers import SGD, Adadelta, Adam, AdamW, Optimizer
from convprop.schedules import Constant, Cosine, OneCycle, Schedule, Step

_Item = Layer | Block
_Build = Callable[[Shape, int], Sequence[_Item]]


@dataclass(frozen=True)
class Preset:
    """A named network and its customary data and training.

    Attributes
    ----------
    about : str
        One line: what it is and where it is from.
    input_shape : (C, H, W)
    classes : int
        The data that it is known for.
    build : callable
        (input_shape, classes) -> layers.
    optimizer : Optimizer
        For batches of ``batch_size``; `Optimizer.for_batches` says what suits others.
    """

    name: str
    about: str
    input_shape: tuple[int, int, int]
    classes: int
    build: _Build
    optimizer: Optimizer
    schedule: Schedule
    batch_size: int
    epochs: int
    label_smoothing: float = 0.0

    def network(self, input_shape: Sequence[int], classes: int, seed: int = 0) -> Network:
        """Return a new network for images of (C, H, W); errors are those of `preset`."""
        if not is_integer(classes, 2):
            raise invalid("classes", "be an integer of at least 2", repr(classes))
        shape = image_shape(input_shape)
        loss = SoftmaxCrossEntropy(label_smoothing=self.label_smoothing)
        return Network(preset_layers(self, shape, classes), shape, loss, seed)


def _digits(input_shape: Shape, classes: int) -> list[_Item]:
    return [
        Conv(32, 3, padding=1),
        ReLU(),
        Conv(32, 3, padding=1),
        ReLU(),
        AveragePool(2),
        Dropout(0.25),
        Conv(64, 3, padding=1),
        ReLU(),
        Dropout(0.5),
        Dense(classes),
    ]


def _lenet5(input_shape: Shape, classes: int) -> list[_Item]:
    # The 28 x 28 digits were set in the middle of 32 x 32 ones; larger images need no margin.
    margin = 2 if min(input_shape[1:]) < 32 else 0
    return [
        Conv(6, 5, padding=margin),
        ReLU(),
        MaxPool(2),
        Conv(16, 5),
        ReLU(),
        MaxPool(2),
        *_three_dense(classes),
    ]


def _three_dense(classes: int) -> list[_Item]:
    return [Dense(120), ReLU(), Dense(84), ReLU(), Dense(classes)]


def _lenet_theano(input_shape: Shape, classes: int) -> list[_Item]:
    return [
        Conv(20, 5),
        MaxPool(2),
        Tanh(),
        Conv(50, 5),
        MaxPool(2),
        Tanh(),
        Dense(500),
        Tanh(),
        Dense(classes),
    ]


def _keras_mnist(input_shape: Shape, classes: int) -> list[_Item]:
    return [
        Conv(32, 3),
        ReLU(),
        MaxPool(2),
        Conv(64, 3),
        ReLU(),
        MaxPool(2),
        Flatten(),
        Dropout(0.5),
        Dense(classes),
    ]


def _pytorch_mnist(input_shape: Shape, classes: int) -> list[_Item]:
    return [
        Conv(32, 3),
        ReLU(),
        Conv(64, 3, algorithm="winograd"),
        ReLU(),
        MaxPool(2),
        Dropout(0.25),
        Flatten(),
        Dense(128),
        ReLU(),
        Dropout(0.5),
        Dense(classes),
    ]


def _cifar_tutorial(input_shape: Shape, classes: int) -> list[_Item]:
    return [
        Conv(6, 5),
        ReLU(),
        MaxPool(2),
        Conv(16, 5),
        ReLU(),
        MaxPool(2),
        *_three_dense(classes),
    ]


def _vgg_small(input_shape: Shape, classes: int) -> list[_Item]:
    layers: list[_Item] = []
    for kernels in (32, 64, 128):
        for _ in range(2):
            # Of three channels the direct sums are the faster ones.
            algorithm: Literal["direct", "winograd"] = "winograd" if layers else "direct"
            layers += [Conv(kernels, 3, padding=1, algorithm=algorithm), ReLU()]
        layers.append(MaxPool(2))
    return [*layers, Dense(128), ReLU(), Dense(classes)]


def _resnet_plain(input_shape: Shape, classes: int) -> list[_Item]:
    layers: list[_Item] = [Conv(16, 3, padding=1), ReLU()]
    for kernels in (16, 32, 64):
        for block in range(3):
            smaller = kernels > 16 and block == 0
            layers += [_residual(kernels, smaller), ReLU()]
    return [*layers, AveragePool("global"), Dense(classes)]


def _residual(kernels: int, smaller: bool) -> Residual:
    """Return a block that adds nothing at first; a smaller one halves the maps' sides.

    Without normalisation what blocks add up would grow from one to the next, unless the last
    convolution of each begins at 0: Zhang, Dauphin and Ma, "Fixup initialization: residual learning
    without normalization", ICLR 2019, Section 3; De and Smith, "Batch normalization biases residual
    blocks towards the identity function in deep networks", NeurIPS 2020, begin alike with a factor
    of 0. The shortcut of a smaller one makes twice the channels, means and maxima, and has no
    parameters either, as option A of He et al. has none.
    """
    pools = [AveragePool(2, padding="same")], [MaxPool(2, padding="same")]
    return Residual(
        Conv(kernels, 3, stride=2 if smaller else 1, padding=1),
        ReLU(),
        Conv(kernels, 3, padding=1, initializer=Zeros()),
        shortcut=[Parallel(*pools)] if smaller else None,
    )


def _inception_small(input_shape: Shape, classes: int) -> list[_Item]:
    return [
        _three_and_five(16),
        ReLU(),
        AveragePool(2),
        Dropout(0.25),
        _three_and_five(32),
        ReLU(),
        Dropout(0.5),
        Dense(classes),
    ]


def _three_and_five(kernels: int) -> Parallel:
    return Parallel([Conv(kernels, 3, padding=1)], [Conv(kernels, 5, padding=2)])


def _mlp(input_shape: Shape, classes: int) -> list[_Item]:
    return [Flatten(), Dense(512), ReLU(), Dense(512), ReLU(), Dense(classes)]


# A first choice for the networks of papers, which nobody has tuned: their own SGD is for ImageNet,
# or for batches of 128 and more.
_NORMALISED = AdamW(2e-3, weight_decay=0.05, decay_factors="weights")


def _cifar_resnet(blocks: int) -> Preset:
    depth = 6 * blocks + 2
    return Preset(
        f"resnet{depth}",
        f"{depth} layers in normalised residual blocks, for CIFAR, by He et al., 2016",
        (3, 32, 32),
        10,
        lambda _, classes: cifar_resnet(blocks, classes),
        _NORMALISED,
        OneCycle(),
        64,
        15,
    )


def _imagenet_resnet(
    depth: int, blocks: tuple[int, int, int, int], bottleneck: bool = False
) -> Preset:
    return Preset(
        f"resnet{depth}",
        f"{depth} layers in residual blocks, for ImageNet, by He et al., 2016",
        (3, 224, 224),
        1000,
        lambda _, classes: resnet(blocks, bottleneck, classes),
        _NORMALISED,
        OneCycle(),
        32,
        30,
    )


_ALL = (
    Preset(
        "digits",
        "three convolutions and one dense layer, for small images such as the 8x8 digits",
        (1, 8, 8),
        10,
        _digits,
        AdamW(4e-3),
        OneCycle(),
        32,
        40,
        0.1,
    ),
    Preset(
        "lenet5",
        "LeNet-5 with ReLU and max pooling, after LeCun, Bottou, Bengio and Haffner, 1998",
        (1, 28, 28),
        10,
        _lenet5,
        Adam(2e-3),
        OneCycle(),
        64,
        5,
    ),
    Preset(
        "lenet-theano",
        "the LeNet of the Deep Learning Tutorials (deeplearning.net)",
        (1, 28, 28),
        10,
        _lenet_theano,
        SGD(0.1),
        Constant(),
        100,
        10,
    ),
    Preset(
        "keras-mnist",
        "the simple MNIST convnet of Keras's code examples",
        (1, 28, 28),
        10,
        _keras_mnist,
        AdamW(3e-3, weight_decay=0.05),
        OneCycle(),
        128,
        12,
    ),
    Preset(
        "pytorch-mnist",
        "the network of PyTorch's basic MNIST example",
        (1, 28, 28),
        10,
        _pytorch_mnist,
        Adadelta(1.0),
        # The example's decay after each of its epochs.
        Step([epoch / 14 for epoch in range(1, 14)], 0.7),
        64,
        14,
    ),
    Preset(
        "cifar-tutorial",
        "the classifier of PyTorch's 60-minute tutorial",
        (3, 32, 32),
        10,
        _cifar_tutorial,
        # The tutorial's 0.001 for batches of 4, in proportion.
        SGD(0.016, momentum=0.9),
        Cosine(),
        64,
        10,
    ),
    Preset(
        "vgg-small",
        "three pairs of 3x3 convolutions, after Simonyan and Zisserman, 2015",
        (3, 32, 32),
        10,
        _vgg_small,
        # Without batch normalisation, SGD at a rate that suits many images fails with few.
        AdamW(1e-3),
        OneCycle(),
        64,
        15,
    ),
    Preset(
        "resnet-plain",
        "twenty layers in residual blocks, after He et al., 2016, without normalisation",
        (3, 32, 32),
        10,
        _resnet_plain,
        AdamW(3e-3),
        OneCycle(),
        64,
        15,
    ),
    Preset(
        "inception-small",
        "3x3 and 5x5 convolutions side by side, twice, after Szegedy et al., 2015",
        (1, 8, 8),
        10,
        _inception_small,
        AdamW(4e-3),
        OneCycle(),
        32,
        40,
        0.1,
    ),
    _cifar_resnet(3),
    _cifar_resnet(5),
    _cifar_resnet(9),
    _imagenet_resnet(18, (2, 2, 2, 2)),
    _imagenet_resnet(34, (3, 4, 6, 3)),
    _imagenet_resnet(50, (3, 4, 6, 3), bottleneck=True),
    Preset(
        "mobilenet-v2",
        "inverted residuals with depthwise convolutions, by Sandler et al., 2018",
        (3, 224, 224),
        1000,
        mobilenet_v2,
        _NORMALISED,
        OneCycle(),
        32,
        30,
    ),
    Preset(
        "efficientnet-lite0",
        "inverted residuals of 3x3 and 5x5 windows, by Tan and Le, 2019",
        (3, 224, 224),
        1000,
        efficientnet_lite0,
        _NORMALISED,
        OneCycle(),
        32,
        30,
    ),
    Preset(
        "squeezenet",
        "1x1 convolutions that narrow, by Iandola et al., 2016",
        (3, 224, 224),
        1000,
        lambda _, classes: squeezenet(classes),
        AdamW(5e-4),
        OneCycle(),
        32,
        30,
    ),
    Preset(
        "densenet-40-12",
        "each layer reads all before it, for CIFAR, by Huang et al., 2017",
        (3, 32, 32),
        10,
        lambda _, classes: densenet(40, 12, classes),
        _NORMALISED,
        OneCycle(),
        64,
        15,
    ),
    Preset(
        "mlp",
        "two hidden layers of 512 units, the perceptron of PyTorch's quickstart tutorial",
        (1, 28, 28),
        10,
        _mlp,
        Adam(1e-3),
        OneCycle(),
        64,
        10,
    ),
)

PRESETS = {entry.name: entry for entry in _ALL}
"""The presets by name."""

NAMES = tuple(PRESETS)


@checks_names
def preset(name: str, input_shape: Sequence[int], classes: int, seed: int = 0) -> Network:
    """Return a new network of the preset ``name`` for images of (C, H, W) and ``classes``.

    Raises
    ------
    InvalidInput
        No such preset, fewer than two classes, or images that are too small for its windows;
        the message then says how large they must be, and traces the shapes.
    """
    entry = PRESETS.get(name)
    if entry is None:
        raise invalid("preset", f"be one of {', '.join(NAMES)}", repr(name))
    return entry.network(input_shape, classes, seed)


def preset_layers(entry: Preset, shape: Shape, outputs: int) -> Sequence[_Item]:
    """Return a preset's layers for images of (C, H, W) and so many outputs.

    Raises
    ------
    InvalidInput
        Images that are too small, as `preset` says.
    """
    layers = entry.build(shape, outputs)
    try:
        graph(layers, shape)
    except InvalidInput as error:
        smallest = _smallest(entry, shape[0], outputs)
        rule = f"be at least {smallest}x{smallest} for the preset {entry.name}"
        received = f"{shape[1]}x{shape[2]} ({error})"
        too_small = invalid("images", rule, received)
        too_small.resizable = True
        raise too_small from None
    return layers


def _smallest(entry: Preset, channels: int, classes: int) -> int:
    """Return the rows and columns of the smallest square image that the preset takes."""
    size = 1
    while True:
        shape = (channels, size, size)
        try:
            graph(entry.build(shape, classes), shape)
        except InvalidInput:
            size += 1
        else:
            return size
