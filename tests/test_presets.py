"""Presets: their layers, their sizes, what they adapt to, and what digits reaches."""

import numpy as np
import pytest

import convprop as cp
from convprop import data, presets
from convprop.check.network import check_network, without_zeros
from convprop.cli.train_settings import usual_preset
from convprop.errors import InvalidInput
from convprop.layers import AveragePool
from refusal import refuses

# Parameters by the architectures' sources (or by hand: weights and biases of each layer).
PARAMETERS = {
    "lenet5": 156 + 2_416 + 48_120 + 10_164 + 850,
    "lenet-theano": 520 + 25_050 + 400_500 + 5_010,
    "keras-mnist": 320 + 18_496 + 16_010,
    "pytorch-mnist": 320 + 18_496 + 1_179_776 + 1_290,
    "cifar-tutorial": 456 + 2_416 + 48_120 + 10_164 + 850,
    "vgg-small": 896 + 9_248 + 18_496 + 36_928 + 73_856 + 147_584 + 262_272 + 1_290,
    # Of each of a stage's blocks two convolutions, the first one from the stage before's kernels.
    "resnet-plain": 448 + (6 * 2_320) + (4_640 + 5 * 9_248) + (18_496 + 5 * 36_928) + 650,
    "inception-small": 160 + 416 + 9_248 + 25_632 + 10_250,
    "mlp": 401_920 + 262_656 + 5_130,
}

# Trained parameters, and multiply-adds of one image in millions with how far they may be from a
# figure that was rounded or counts otherwise. resnet20 to 56: He et al. 2016, Table 6, say 0.27,
# 0.46 and 0.85 million with option A; with option B 0.27, 0.47 and 0.86, and these multiply-adds,
# by chenyaofo's pytorch-cifar-models. resnet18 to 50, mobilenet-v2, squeezenet 1.1: torchvision's
# table of models. efficientnet-lite0: 4.7 and 407, with the normalisations' additions, by its
# authors; 4,652,008 in timm. densenet-40-12: Liu et al., "Learning efficient convolutional
# networks through network slimming", 2017, Table 1: 1.02 million, and 533 million operations,
# two a multiply-add.
PUBLISHED = {
    "resnet20": (272_474, 40.81, 0.001),
    "resnet32": (466_906, 69.12, 0.001),
    "resnet56": (855_770, 125.75, 0.001),
    "resnet18": (11_689_512, 1_814, 0.001),
    "resnet34": (21_797_672, 3_664, 0.001),
    "resnet50": (25_557_032, 4_089, 0.001),
    "mobilenet-v2": (3_504_872, 301, 0.002),
    "efficientnet-lite0": (4_652_008, 407, 0.06),
    "squeezenet": (1_235_496, 349, 0.001),
    "densenet-40-12": (1_019_722, 266.5, 0.01),
}


def count(net: cp.Network) -> int:
    return sum(array.size for array in net.parameters.values())


@pytest.mark.parametrize("name", PARAMETERS)
def test_sizes_are_those_of_the_source(name):
    entry = presets.PRESETS[name]
    assert count(cp.preset(name, entry.input_shape, entry.classes)) == PARAMETERS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_those_that_were_published(name):
    entry = presets.PRESETS[name]
    nodes = cp.preset(name, entry.input_shape, entry.classes).graph.nodes
    parameters, multiply_adds, tolerance = PUBLISHED[name]
    assert sum(node.trained_weights for node in nodes) == parameters
    found = sum(node.multiply_adds for node in nodes) / 1e6
    assert found == pytest.approx(multiply_adds, rel=tolerance)


@pytest.mark.parametrize("name", ["mobilenet-v2", "efficientnet-lite0"])
@pytest.mark.parametrize(
    ("size", "last"), [(224, 7), (96, 6), (64, 4), (48, 6), (32, 4), (16, 4), (8, 4), (3, 3)]
)
def test_small_images_keep_their_maps(name, size, last):
    """Strides that would leave fewer than four rows are left out."""
    net = cp.preset(name, (3, size, size), 10)
    (pool,) = [node for node in net.graph.nodes if isinstance(node.layer, AveragePool)]
    assert pool.inputs[0][1:] == (last, last)


def test_names():
    assert (
        "digits",
        "lenet5",
        "lenet-theano",
        "keras-mnist",
        "pytorch-mnist",
        "cifar-tutorial",
        "vgg-small",
        "resnet-plain",
        "inception-small",
        *PUBLISHED,
        "mlp",
    ) == presets.NAMES


def test_pytorch_mnist_decays_after_each_epoch():
    entry = presets.PRESETS["pytorch-mnist"]
    steps = 938  # of 60,000 images
    for epoch in range(entry.epochs):
        for step in (1, steps):
            factor = entry.schedule.factor(epoch * steps + step, entry.epochs * steps)
            assert factor == pytest.approx(0.7**epoch, rel=1e-12)


def test_resnet_plain_has_twenty_layers_with_parameters_and_adds_nothing_at_first():
    net = cp.preset("resnet-plain", (3, 32, 32), 10)
    nodes = net.graph.nodes
    assert sum(bool(node.parameters) for node in nodes) == 20
    assert sum(node.layer.kind == "add" for node in nodes) == 9
    images = np.random.default_rng(0).random((5, 3, 32, 32)).astype(np.float32)
    went = net.backpropagate(images, np.arange(5)).layers
    for node, layer in zip(nodes, went, strict=True):
        if node.layer.kind == "add":
            np.testing.assert_array_equal(layer.output, layer.inputs[1])


@pytest.mark.parametrize(
    "name", [pytest.param("resnet-plain", marks=pytest.mark.slow), "inception-small"]
)
def test_networks_with_branches_are_proved_wholly(name):
    """No gradient is 0 for all weights, as they would be behind weights of 0: it proves nothing."""
    entry = presets.PRESETS[name]
    net = cp.preset(name, entry.input_shape, entry.classes)
    rows = check_network(net)
    assert [row for row in rows if not row.passed] == []
    names = {row.name for row in rows if row.group == "engine and complex steps, float64"}
    assert names == {f"{n.replace('.', ': ')} gradient" for n in net.parameters}
    checked = without_zeros(net)
    went = checked.backpropagate(np.ones((1, *net.input_shape), np.float32), [0])
    assert [name for name, gradient in went.gradients.items() if not gradient.any()] == []


@pytest.mark.parametrize("name", presets.NAMES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 40, 33)])
def test_presets_adapt(name, shape):
    net = cp.preset(name, shape, 7, seed=3)
    assert net.input_shape == shape
    assert net.outputs == 7
    assert net.seed == 3


def test_lenet5_sets_small_images_in_a_margin():
    assert cp.preset("lenet5", (1, 28, 28), 10).shapes[1] == (6, 28, 28)
    assert cp.preset("lenet5", (1, 32, 32), 10).shapes[1] == (6, 28, 28)


@pytest.mark.parametrize(
    ("name", "smallest"),
    [
        ("lenet5", 12),
        ("lenet-theano", 16),
        ("keras-mnist", 10),
        ("pytorch-mnist", 6),
        ("cifar-tutorial", 16),
        ("vgg-small", 8),
        ("inception-small", 2),
    ],
)
def test_smallest_images(name, smallest):
    cp.preset(name, (1, smallest, smallest), 10)
    with pytest.raises(InvalidInput) as caught:
        cp.preset(name, (1, smallest - 1, smallest), 10)
    beginning = (
        f"images must be at least {smallest}x{smallest} for the preset {name},"
        f" got {smallest - 1}x{smallest} (window must fit into its padded input of "
    )
    assert str(caught.value).startswith(beginning)


def test_images_too_small_get_the_trace():
    with refuses(
        InvalidInput,
        "images must be at least 12x12 for the preset lenet5, got 8x8 (window must fit into its"
        " padded input of 4x4, got 5x5, at conv2 = Conv(16, 5): input 1x8x8 -> conv1 6x8x8 ->"
        " relu1 6x8x8 -> max_pool1 6x4x4 -> conv2)",
    ):
        cp.preset("lenet5", (1, 8, 8), 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("alexnet", (1, 28, 28), 10),
            "preset must be one of digits, lenet5, lenet-theano, keras-mnist, pytorch-mnist,"
            " cifar-tutorial, vgg-small, resnet-plain, inception-small, resnet20, resnet32,"
            " resnet56, resnet18, resnet34, resnet50, mobilenet-v2, efficientnet-lite0, squeezenet,"
            " densenet-40-12, mlp, got 'alexnet'",
        ),
        (("lenet5", (1, 28, 28), 1), "classes must be an integer of at least 2, got 1"),
        (("lenet5", (1, 28, 28), "ten"), "classes must be an integer of at least 2, got 'ten'"),
        (
            ("lenet5", (28, 28), 10),
            "input_shape must be (channels, rows, columns), each a positive integer, got (28, 28)",
        ),
    ],
)
def test_refuses(arguments, message):
    with refuses(InvalidInput, message):
        cp.preset(*arguments)


@pytest.mark.parametrize("name", ["digits", "inception-small"])
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_digits_are_learnt(seed, name):
    split = data.load("digits", seed=seed)
    entry = presets.PRESETS[name]
    net = cp.preset(name, split.train.images.shape[1:], 10, seed=seed)
    cp.train(
        net,
        split.train.images,
        split.train.labels,
        optimizer=entry.optimizer,
        schedule=entry.schedule,
        epochs=entry.epochs,
        batch_size=entry.batch_size,
    )
    assert net.evaluate(split.test.images, split.test.labels).accuracy >= 0.98


@pytest.mark.slow
def test_few_photographs_are_learned_by_the_preset_that_they_get():
    """Three shapes on noise, 60 images: as few as a first try with somebody's own folder has."""
    random = np.random.default_rng(1)
    labels = np.arange(60, dtype=np.int32) % 3
    images = random.integers(0, 120, (60, 3, 40, 48), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = random.integers(0, 24, 2)
        shape = (16, 4) if label == 0 else (4, 16) if label == 1 else (9, 9)
        image[:, row : row + shape[0], column : column + shape[1]] += 100
    assert usual_preset(images.shape[1:]) == "vgg-small"
    entry = presets.PRESETS["vgg-small"]
    net = cp.preset("vgg-small", images.shape[1:], 3, seed=0)
    cp.train(
        net,
        images,
        labels,
        optimizer=entry.optimizer,
        schedule=entry.schedule,
        epochs=25,
        batch_size=16,
    )
    assert net.evaluate(images, labels).accuracy > 0.9
