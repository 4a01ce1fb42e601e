"""Layers: what each one is, its parameters, its output shape and its place in the article.

A layer is a frozen description; a Network gives it parameters and the engine carries it
out. Shapes are those of one image: (C, H, W), or (F,) once a layer has flattened it.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from convprop.described import (
    Described,
    below_one,
    flag,
    from_dict,
    non_negative,
    number,
    table,
)
from convprop.errors import invalid
from convprop.geometry import (
    Padding,
    Pair,
    PoolSize,
    output_size,
    pair,
    pool_padding,
    pool_window,
    positive_integer,
    resolve_padding,
)
from convprop.initializers import INITIALIZERS, Initializer

Shape = tuple[int, ...]


class Layer(Described, ABC):
    """Base of the layers."""

    source: ClassVar[str]
    """The section of the article, or the paper, that the layer is from."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of one image's output; raise InvalidInput if the input does not fit."""
        return input_shape

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return the shapes of "weight" and "bias", or nothing."""
        return {}

    def multiply_adds(self, input_shape: Shape) -> int:
        """Return the multiply-adds of one image's forward pass."""
        return 0

    def convention(self) -> str | None:
        """Return which of several customary definitions the layer follows, if there are any."""
        return None

    @abstractmethod
    def native(self, input_shape: Shape) -> dict[str, Any]:
        """Return the description that the engine's Plan takes."""


def shape_text(shape: Shape) -> str:
    """Return a shape as "6x28x28"."""
    return "x".join(map(str, shape))


def _maps(input_shape: Shape) -> tuple[int, Pair]:
    """Return the channels and the (rows, columns) of an input that must have them."""
    if len(input_shape) != 3:
        received = f"{shape_text(input_shape)} values in one row"
        raise invalid("input", "have channels, rows and columns", received)
    return input_shape[0], (input_shape[1], input_shape[2])


def _initializer(value: object) -> Initializer | None:
    if value is None or isinstance(value, Initializer):
        return value
    raise invalid("initializer", "be None or one of convprop.initializers", repr(value))


def _name(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value.isidentifier() and len(value) <= 64):
        return value
    raise invalid("name", "be an identifier of at most 64 characters", repr(value))


@dataclass(frozen=True, repr=False)
class Conv(Layer):
    """Convolution with a bank of kernels, in the article's sense of Eq. 7.

    Parameters
    ----------
    kernels : int
        K, the number of output channels.
    kernel_size : int or (rows, columns)
        k1 x k2.
    stride, dilation : int or (rows, columns)
    padding : int, (vertical, horizontal), (top, bottom, left, right) or "same"
        "same" gives ceil(size / stride) outputs, an odd remainder after the image.
    padding_value : float
        What stands in the padding.
    groups : int
        Divides the kernels and the input's channels into as many independent convolutions.
    bias : bool
        Add b_k to every output of kernel k.
    flip_kernel : bool
        False: cross-correlation, Eq. 7, as in every framework. True: convolution, Eq. 2.
    algorithm : "direct" or "winograd"
        "direct" sums the products of Eq. 7, 13 and 17 one by one. "winograd" is Winograd's minimal
        filtering F(2 x 2, 3 x 3), for windows of 3 x 3 without stride, dilation and groups: the
        same up to rounding from 4/9 of the multiplications, and faster from about 16 channels and
        kernels on, in batches of more than 8 images (docs/explanation/cost.md).
    initializer : Initializer, optional
        None: He's uniform one before a ReLU, Glorot's elsewhere. Biases begin at 0.
    name : str, optional
        In the place of "conv1", "conv2", ...
    """

    kind = "conv"
    source = "Forward Propagation, Eq. 4-7; gradients Eq. 10-14; deltas Eq. 15-22"
    positional = ("kernels", "kernel_size")

    kernels: int
    kernel_size: int | Sequence[int]
    _: KW_ONLY
    stride: int | Sequence[int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    padding_value: float = 0.0
    dilation: int | Sequence[int] = (1, 1)
    groups: int = 1
    bias: bool = True
    flip_kernel: bool = False
    algorithm: Literal["direct", "winograd"] = "direct"
    initializer: Initializer | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        finite = "be a finite number"
        self._set(
            kernels=positive_integer("kernels", self.kernels),
            kernel_size=pair("kernel_size", self.kernel_size),
            stride=pair("stride", self.stride),
            padding_value=number("padding_value", self.padding_value, finite, -sys.float_info.max),
            dilation=pair("dilation", self.dilation),
            groups=positive_integer("groups", self.groups),
            bias=flag("bias", self.bias),
            flip_kernel=flag("flip_kernel", self.flip_kernel),
            initializer=_initializer(self.initializer),
            name=_name(self.name),
        )
        sides = self._padding((1, 1))
        if self.padding != "same":
            self._set(padding=sides)
        if self.kernels % self.groups:
            raise invalid("groups", f"divide the {self.kernels} kernels", self.groups)
        if self.algorithm not in ("direct", "winograd"):
            raise invalid("algorithm", "be 'direct' or 'winograd'", repr(self.algorithm))
        one = (1, 1)
        given = (self.kernel_size, self.stride, self.dilation, self.groups)
        if self.algorithm == "winograd" and given != ((3, 3), one, one, 1):
            rule = "be 'direct' but for a 3x3 window with stride, dilation and groups of 1"
            raise invalid("algorithm", rule, repr(self.algorithm))

    def _padding(self, input_size: Pair) -> tuple[int, int, int, int]:
        return resolve_padding(
            self.padding,
            input_size,
            pair("kernel_size", self.kernel_size),
            pair("stride", self.stride),
            pair("dilation", self.dilation),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (K, Ho, Wo)."""
        channels, size = _maps(input_shape)
        if channels % self.groups:
            raise invalid("groups", f"divide the {channels} input channels", self.groups)
        rows, columns = output_size(
            size,
            pair("kernel_size", self.kernel_size),
            pair("stride", self.stride),
            self._padding(size),
            pair("dilation", self.dilation),
            channels,
        )
        return self.kernels, rows, columns

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return weight (K, C / groups, k1, k2) and bias (K,)."""
        window = pair("kernel_size", self.kernel_size)
        shapes: dict[str, Shape] = {
            "weight": (self.kernels, input_shape[0] // self.groups, *window)
        }
        return shapes | ({"bias": (self.kernels,)} if self.bias else {})

    def multiply_adds(self, input_shape: Shape) -> int:
        """Return K Ho Wo (C / groups) k1 k2, the padding's products included."""
        weights = math.prod(self.parameter_shapes(input_shape)["weight"])
        return weights * math.prod(self.output_shape(input_shape)[1:])

    def convention(self) -> str:
        """Return which way the kernel lies."""
        return "convolution, Eq. 2" if self.flip_kernel else "cross-correlation, Eq. 7"

    def native(self, input_shape: Shape) -> dict[str, Any]:
        """Return the description that the engine's Plan takes."""
        return {
            "kind": "conv",
            "kernels": self.kernels,
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "padding": self._padding(_maps(input_shape)[1]),
            "padding_value": self.padding_value,
            "dilation": self.dilation,
            "groups": self.groups,
            "bias": self.bias,
            "flip_kernel": self.flip_kernel,
            "algorithm": self.algorithm,
        }


@dataclass(frozen=True, repr=False)
class Pool(Layer):
    """Base of the pooling layers.

    Parameters
    ----------
    size : int, (rows, columns) or "global"
        The window; "global" is the whole map.
    stride : int or (rows, columns), optional
        None: the size, so that windows do not overlap.
    padding : int, (vertical, horizontal), (top, bottom, left, right) or "same"
        Smaller than the window on each side.
    """

    pool: ClassVar[Literal["max", "average", "l2"]]
    positional = ("size",)

    size: PoolSize
    stride: int | Sequence[int] | None = None
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        window, stride = pool_window(self.size, self.stride, (1, 1))
        sides = resolve_padding(self.padding, (1, 1), window, stride, (1, 1))
        if self.size != "global":
            pool_padding(self.padding, (1, 1), window, stride)
            self._set(size=window)
        if self.stride is not None:
            self._set(stride=stride)
        if self.padding != "same":
            self._set(padding=sides)

    def _window(self, input_shape: Shape) -> tuple[Pair, Pair, tuple[int, int, int, int]]:
        """Return size, stride and padding for an input."""
        _, input_size = _maps(input_shape)
        size, stride = pool_window(self.size, self.stride, input_size)
        return size, stride, pool_padding(self.padding, input_size, size, stride)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (C, Ho, Wo)."""
        size, stride, padding = self._window(input_shape)
        channels, input_size = _maps(input_shape)
        return channels, *output_size(input_size, size, stride, padding, channels=channels)

    def native(self, input_shape: Shape) -> dict[str, Any]:
        """Return the description that the engine's Plan takes."""
        size, stride, padding = self._window(input_shape)
        return {
            "kind": "pool",
            "pool": self.pool,
            "size": size,
            "stride": stride,
            "padding": padding,
            "count_padding": True,
        }


class MaxPool(Pool):
    """The largest unit of each window; its delta goes to that winning unit alone.

    On a tie the first in row order wins. Padding never wins. Parameters as in Pool.
    """

    kind = "max_pool"
    source = "Pooling Layer, max-pooling"
    pool = "max"

    def convention(self) -> str:
        """Return who wins a tie."""
        return "first winner in row order"


@dataclass(frozen=True, repr=False)
class AveragePool(Pool):
    """The mean of each window; its delta goes to every unit in equal shares.

    Parameters as in Pool, and

    Parameters
    ----------
    count_padding : bool
        True: divide by the window's size everywhere. False: by the units that are not padding.
    """

    kind = "average_pool"
    source = "Pooling Layer, average pooling"
    pool = "average"

    count_padding: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(count_padding=flag("count_padding", self.count_padding))

    def convention(self) -> str:
        """Return what the sum of a window is divided by."""
        return "padding counted" if self.count_padding else "padding not counted"

    def native(self, input_shape: Shape) -> dict[str, Any]:
        """Return the description that the engine's Plan takes."""
        return super().native(input_shape) | {"count_padding": self.count_padding}


class L2Pool(Pool):
    """The root of each window's sum of squares; its delta goes to units as o / x of it.

    Where the root is 0 the gradient is taken as 0. Parameters as in Pool.
    """

    kind = "l2_pool"
    source = "Pooling Layer, L2-norm pooling"
    pool = "l2"

    def convention(self) -> str:
        """Return whether the sum of squares is averaged."""
        return "root of the sum of squares, gradient 0 at 0"


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """Every output a weighted sum of every input, which is flattened in C, H, W order.

    Parameters
    ----------
    units : int
        K, the number of outputs.
    bias : bool
    initializer : Initializer, optional
        None: He's uniform one before a ReLU, Glorot's elsewhere. Biases begin at 0.
    name : str, optional
        In the place of "dense1", "dense2", ...
    """

    kind = "dense"
    source = "Introduction, the fully connected layers; Eq. 7 with a window of the input's size"
    positional = ("units",)

    units: int
    _: KW_ONLY
    bias: bool = True
    initializer: Initializer | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        self._set(
            units=positive_integer("units", self.units),
            bias=flag("bias", self.bias),
            initializer=_initializer(self.initializer),
            name=_name(self.name),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (K,)."""
        return (self.units,)

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return weight (K, F) and bias (K,)."""
        shapes: dict[str, Shape] = {"weight": (self.units, math.prod(input_shape))}
        return shapes | ({"bias": (self.units,)} if self.bias else {})

    def multiply_adds(self, input_shape: Shape) -> int:
        """Return K F."""
        return self.units * math.prod(input_shape)

    def native(self, input_shape: Shape) -> dict[str, Any]:
        """Return the description that the engine's Plan takes."""
        return {"kind": "dense", "units": self.units, "bias": self.bias}


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """All of an image's values in one row, in C, H, W order."""

    kind = "flatten"
    source = "Introduction, the squashing into a one-dimensional vector"

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return (F,)."""
        return (math.prod(input_shape),)

    def native(self, input_shape: Shape) -> dict[str, Any]:
        """Return the description that the engine's Plan takes."""
        return {"kind": "flatten"}


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training, each value 0 with probability ``rate`` and else divided by 1 - rate.

    Parameters
    ----------
    rate : float
        0 <= rate < 1.
    """

    kind = "dropout"
    source = "Srivastava et al., Dropout, JMLR 15, 2014"
    positional = ("rate",)

    rate: float = 0.5

    def __post_init__(self) -> None:
        self._set(rate=below_one("rate", self.rate))

    def native(self, input_shape: Shape) -> dict[str, Any]:
        """Return the description that the engine's Plan takes."""
        return {"kind": "dropout", "rate": self.rate}


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """Base of the activations: o = f(x), value by value (Eq. 8)."""

    source = "Forward Propagation, Eq. 8; deltas Eq. 18-20"

    def native(self, input_shape: Shape) -> dict[str, Any]:
        """Return the description that the engine's Plan takes."""
        return {"kind": "activation", "activation": self.kind}


class ReLU(Activation):
    """f(x) = max(0, x), f'(0) = 0."""

    kind = "relu"


@dataclass(frozen=True, repr=False)
class LeakyReLU(Activation):
    """f(x) = x for x > 0 and slope x elsewhere.

    Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
    2013.

    Parameters
    ----------
    slope : float
        At least 0.
    """

    kind = "leaky_relu"

    slope: float = 0.01

    def __post_init__(self) -> None:
        self._set(slope=non_negative("slope", self.slope))

    def native(self, input_shape: Shape) -> dict[str, Any]:
        """Return the description that the engine's Plan takes."""
        return super().native(input_shape) | {"slope": self.slope}


class Sigmoid(Activation):
    """f(x) = 1 / (1 + exp(-x))."""

    kind = "sigmoid"


class Tanh(Activation):
    """f(x) = tanh(x)."""

    kind = "tanh"


class ScaledTanh(Activation):
    """f(x) = 1.7159 tanh(2 x / 3): LeCun et al., "Efficient BackProp", 1998, Section 4.4."""

    kind = "scaled_tanh"


class Softplus(Activation):
    """f(x) = log(1 + exp(x))."""

    kind = "softplus"


class Identity(Activation):
    """f(x) = x."""

    kind = "identity"


LAYERS = table(
    Conv,
    MaxPool,
    AveragePool,
    L2Pool,
    Dense,
    Flatten,
    Dropout,
    ReLU,
    LeakyReLU,
    Sigmoid,
    Tanh,
    ScaledTanh,
    Softplus,
    Identity,
)
"""The layers that a model file may name."""


def layer_from_dict(description: object, what: str) -> Layer:
    """Build a layer from its ``to_dict``; raise ModelFileError, beginning with ``what``."""
    if isinstance(description, dict) and isinstance(description.get("initializer"), dict):
        initializer = from_dict(description["initializer"], INITIALIZERS, f"{what}'s initializer")
        description = description | {"initializer": initializer}
    return from_dict(description, LAYERS, what)
