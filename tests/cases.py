"""The one table of shapes that correctness, gradients and benchmarks all read.

A case holds an operation's shapes and options as a user writes them; `arrays` makes its inputs,
`options` are the keywords of convprop.ops, `resolved` those of convprop.equations.general.
Cases with `benchmark` set are real layers' sizes: timed by benchmarks/, too large for the tests.

`python tests/cases.py` records the bits of every other case, and of the networks of
convprop.check.bits, in src/convprop/check/bits.txt. Run it after a change that is meant to
change bits, and only then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from convprop import Augment, checks, geometry
from convprop import equations as eq
from convprop.check import bits
from convprop.machine.native import description, engine

Pair = tuple[int, int]
Dtype = type[np.float32] | type[np.float64]


class ConvArrays(NamedTuple):
    """o (N, C, H, W), w (K, C / groups, k1, k2), b (K,) or None, delta (N, K, Ho, Wo)."""

    o: np.ndarray
    w: np.ndarray
    b: np.ndarray | None
    delta: np.ndarray


@dataclass(frozen=True)
class ConvCase:
    """A convolution."""

    name: str
    channels: int
    kernels: int
    kernel_size: Pair
    input_size: Pair
    images: int = 3
    stride: int | Pair = 1
    padding: int | tuple[int, ...] | Literal["same"] = 0
    padding_value: float = 0.0
    dilation: int | Pair = 1
    groups: int = 1
    flip_kernel: bool = False
    bias: bool = True
    benchmark: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of ops.conv.forward and weight_gradient, as the case gives them."""
        names = ("stride", "padding", "padding_value", "dilation", "groups", "flip_kernel")
        return {name: getattr(self, name) for name in names}

    @property
    def input_delta_options(self) -> dict[str, Any]:
        """The keywords of ops.conv.input_delta, which has no use for the padding's value."""
        return {name: value for name, value in self.options.items() if name != "padding_value"}

    @property
    def resolved(self) -> dict[str, Any]:
        """`options` with stride and dilation as pairs and the padding as four sides."""
        stride = checks.pair("stride", self.stride)
        dilation = checks.pair("dilation", self.dilation)
        padding = geometry.resolve_padding(
            self.padding, self.input_size, self.kernel_size, stride, dilation
        )
        return self.options | {"stride": stride, "dilation": dilation, "padding": padding}

    @property
    def resolved_input_delta(self) -> dict[str, Any]:
        """`input_delta_options`, resolved."""
        return {name: self.resolved[name] for name in self.input_delta_options}

    @property
    def output_size(self) -> Pair:
        """(Ho, Wo)."""
        at = self.resolved
        window = geometry.Window(self.kernel_size, at["stride"], at["padding"], at["dilation"])
        return window.outputs(self.input_size)

    @property
    def multiply_adds(self) -> int:
        """The products of one forward pass over all images, the padding's included."""
        outputs = self.images * self.kernels * np.prod(self.output_size)
        return int(outputs * self.channels // self.groups * np.prod(self.kernel_size))

    def arrays(self, dtype: Dtype = np.float64, seed: int = 0) -> ConvArrays:
        """Return the case's arrays, normally distributed."""
        random = np.random.default_rng(seed)
        weights = (self.kernels, self.channels // self.groups, *self.kernel_size)
        return ConvArrays(
            _normal(random, (self.images, self.channels, *self.input_size), dtype),
            _normal(random, weights, dtype),
            _normal(random, (self.kernels,), dtype) if self.bias else None,
            _normal(random, (self.images, self.kernels, *self.output_size), dtype),
        )


class PoolArrays(NamedTuple):
    """o (N, C, H, W) and delta (N, C, Ho, Wo)."""

    o: np.ndarray
    delta: np.ndarray


@dataclass(frozen=True)
class PoolCase:
    """A pooling."""

    name: str
    kind: str
    channels: int
    size: int | Pair | Literal["global"]
    input_size: Pair
    images: int = 3
    stride: int | Pair | None = None
    padding: int | tuple[int, ...] | Literal["same"] = 0
    count_padding: bool = True
    dilation: int | Pair = 1
    ceil_mode: bool = False
    ties: bool = False
    benchmark: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of ops.pool after the kind, as the case gives them."""
        names = ("size", "stride", "padding", "count_padding", "dilation", "ceil_mode")
        return {name: getattr(self, name) for name in names}

    @property
    def window(self) -> geometry.Window:
        """What moves over the maps."""
        given = (self.size, self.stride, self.padding, self.dilation, self.ceil_mode)
        return geometry.pool_window(*given, self.input_size)

    @property
    def resolved(self) -> dict[str, Any]:
        """What an equation takes: `window` as pairs and four sides, and what is counted."""
        return self.window.described() | {"count_padding": self.count_padding}

    @property
    def output_size(self) -> Pair:
        """(Ho, Wo)."""
        return geometry.pool_outputs(self.window, self.input_size, self.channels)

    def arrays(self, dtype: Dtype = np.float64, seed: int = 0) -> PoolArrays:
        """Return the case's arrays, normal; with `ties`, o of a few whole numbers only."""
        random = np.random.default_rng(seed)
        o = _normal(random, (self.images, self.channels, *self.input_size), dtype)
        delta = _normal(random, (self.images, self.channels, *self.output_size), dtype)
        return PoolArrays(np.round(o) if self.ties else o, delta)


class ShuffleArrays(NamedTuple):
    """o and delta (N, C, H, W)."""

    o: np.ndarray
    delta: np.ndarray


@dataclass(frozen=True)
class ShuffleCase:
    """A shuffle of channels."""

    name: str
    channels: int
    groups: int
    size: Pair
    images: int = 3

    def arrays(self, dtype: Dtype = np.float64, seed: int = 0) -> ShuffleArrays:
        """Return the case's arrays, normally distributed."""
        random = np.random.default_rng(seed)
        shape = (self.images, self.channels, *self.size)
        return ShuffleArrays(_normal(random, shape, dtype), _normal(random, shape, dtype))


class DenseArrays(NamedTuple):
    """o (N, F), w (K, F), b (K,) or None, delta (N, K)."""

    o: np.ndarray
    w: np.ndarray
    b: np.ndarray | None
    delta: np.ndarray


@dataclass(frozen=True)
class DenseCase:
    """A dense layer."""

    name: str
    features: int
    units: int
    images: int = 3
    bias: bool = True
    benchmark: bool = False

    @property
    def multiply_adds(self) -> int:
        """The products of one forward pass over all images."""
        return self.images * self.features * self.units

    def arrays(self, dtype: Dtype = np.float64, seed: int = 0) -> DenseArrays:
        """Return the case's arrays, normally distributed."""
        random = np.random.default_rng(seed)
        return DenseArrays(
            _normal(random, (self.images, self.features), dtype),
            _normal(random, (self.units, self.features), dtype),
            _normal(random, (self.units,), dtype) if self.bias else None,
            _normal(random, (self.images, self.units), dtype),
        )


class JoinArrays(NamedTuple):
    """inputs, each (N, C, H, W), and delta in the shape of what they become."""

    inputs: list[np.ndarray]
    delta: np.ndarray


@dataclass(frozen=True)
class JoinCase:
    """A join of as many values as there are numbers of channels."""

    name: str
    kind: Literal["add", "multiply", "concat"]
    channels: tuple[int, ...]
    size: Pair
    images: int = 3
    by_channel: bool = False
    """Whether the second value has one number a channel."""

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """(C, H, W) of each value."""
        last = (1, 1) if self.by_channel else self.size
        return [(c, *(last if n else self.size)) for n, c in enumerate(self.channels)]

    def arrays(self, dtype: Dtype = np.float64, seed: int = 0) -> JoinArrays:
        """Return the case's arrays, normally distributed."""
        random = np.random.default_rng(seed)
        inputs = [_normal(random, (self.images, *shape), dtype) for shape in self.shapes]
        channels = sum(self.channels) if self.kind == "concat" else self.channels[0]
        return JoinArrays(inputs, _normal(random, (self.images, channels, *self.size), dtype))


class NormArrays(NamedTuple):
    """o (N, C, H, W), weight and bias (C,), delta in o's shape."""

    o: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    delta: np.ndarray


@dataclass(frozen=True)
class NormCase:
    """A normalisation of an image by its own numbers; without groups, of each pixel's channels."""

    name: str
    channels: int
    size: Pair
    groups: int | None
    images: int = 3
    epsilon: float = 1e-5
    affine: bool = True

    @property
    def kind(self) -> str:
        """The engine's word for it."""
        return "layer_norm" if self.groups is None else "group_norm"

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of ops.image_norm."""
        return {"groups": self.groups, "epsilon": self.epsilon}

    @property
    def resolved(self) -> dict[str, Any]:
        """What the engine is told beside the kind."""
        grouped = {} if self.groups is None else {"groups": self.groups}
        return grouped | {"epsilon": self.epsilon, "affine": self.affine}

    def arrays(self, dtype: Dtype = np.float64, seed: int = 0) -> NormArrays:
        """Return the case's arrays, normally distributed."""
        random = np.random.default_rng(seed)
        shape = self.images, self.channels, *self.size
        return NormArrays(
            _normal(random, shape, dtype),
            _normal(random, (self.channels,), dtype),
            _normal(random, (self.channels,), dtype),
            _normal(random, shape, dtype),
        )


class ResponseArrays(NamedTuple):
    """o and delta (N, C, H, W)."""

    o: np.ndarray
    delta: np.ndarray


@dataclass(frozen=True)
class ResponseCase:
    """A local response normalisation."""

    name: str
    channels: int
    input_size: Pair
    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0
    images: int = 3

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of ops.local_response_norm."""
        return {name: getattr(self, name) for name in ("size", "alpha", "beta", "k")}

    def arrays(self, dtype: Dtype = np.float64, seed: int = 0) -> ResponseArrays:
        """Return the case's arrays, normally distributed."""
        random = np.random.default_rng(seed)
        shape = self.images, self.channels, *self.input_size
        return ResponseArrays(_normal(random, shape, dtype), _normal(random, shape, dtype))


class MapArrays(NamedTuple):
    """o (N, C, H, W), slopes a and delta in o's shape."""

    o: np.ndarray
    a: np.ndarray
    delta: np.ndarray


@dataclass(frozen=True)
class MapCase:
    """Maps of which channels matter: what a PReLU and a softmax take."""

    name: str
    channels: int
    size: Pair
    images: int = 3
    by_channel: bool = True
    """Whether a PReLU has a slope for each channel."""

    def arrays(self, dtype: Dtype = np.float64, seed: int = 0) -> MapArrays:
        """Return the case's arrays, normally distributed."""
        random = np.random.default_rng(seed)
        shape = (self.images, self.channels, *self.size)
        slopes = (self.channels if self.by_channel else 1,)
        return MapArrays(*(_normal(random, each, dtype) for each in (shape, slopes, shape)))


class LossArrays(NamedTuple):
    """y, targets (shares of one that sum to 1) and labels of N images with K outputs."""

    y: np.ndarray
    targets: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class LossCase:
    """The outputs that a loss is taken of."""

    name: str
    outputs: int
    images: int = 3
    scale: float = 1.0

    def arrays(self, dtype: Dtype = np.float64, seed: int = 0) -> LossArrays:
        """Return outputs that reach about 3 `scale`, soft targets and labels."""
        random = np.random.default_rng(seed)
        y = (self.scale * random.standard_normal((self.images, self.outputs))).astype(dtype)
        shares = random.random((self.images, self.outputs)) + 0.1
        targets = (shares / shares.sum(axis=1, keepdims=True)).astype(dtype)
        return LossArrays(y, targets, random.integers(self.outputs, size=self.images))


def _normal(random: np.random.Generator, shape: tuple[int, ...], dtype: Dtype) -> np.ndarray:
    return random.standard_normal(shape).astype(dtype)


CONVOLUTIONS: tuple[ConvCase, ...] = (
    ConvCase("article", 1, 1, (3, 3), (6, 6), images=1),
    ConvCase("one-pixel", 1, 1, (1, 1), (1, 1), images=1),
    ConvCase("one-channel-odd", 1, 3, (3, 2), (7, 5)),
    ConvCase("one-kernel", 4, 1, (2, 3), (5, 7)),
    ConvCase("window-is-map", 3, 2, (5, 4), (5, 4)),
    ConvCase("one-row", 2, 3, (1, 4), (1, 9)),
    ConvCase("one-column", 2, 3, (4, 1), (9, 1)),
    ConvCase("1x1", 5, 7, (1, 1), (4, 3)),
    ConvCase("1x1-stride-2", 5, 3, (1, 1), (5, 6), stride=2),
    ConvCase("no-bias", 3, 4, (3, 3), (6, 6), bias=False),
    ConvCase("images-15", 3, 5, (3, 3), (7, 6), images=15, padding=1),
    ConvCase("images-16", 3, 5, (3, 3), (7, 6), images=16, padding=1),
    ConvCase("images-17", 3, 5, (3, 3), (7, 6), images=17, padding=1),
    ConvCase("images-33", 3, 5, (3, 3), (7, 6), images=33, padding=1),
    ConvCase("stride-2", 3, 4, (3, 3), (9, 9), stride=2),
    ConvCase("stride-leaves-rest", 3, 4, (3, 3), (10, 8), stride=(3, 2)),
    ConvCase("stride-over-window", 2, 3, (2, 1), (11, 9), stride=(3, 4)),
    ConvCase("padding-1", 2, 3, (3, 3), (5, 6), padding=1),
    ConvCase("padding-full", 2, 3, (3, 4), (5, 5), padding=(2, 3)),
    ConvCase("padding-asymmetric", 3, 4, (3, 3), (6, 5), padding=(0, 2, 3, 1)),
    ConvCase("padding-one-side", 2, 2, (3, 3), (4, 4), padding=(0, 0, 2, 0), stride=2),
    ConvCase("padding-over-window", 2, 3, (2, 2), (3, 4), padding=(4, 3, 2, 5)),
    ConvCase("padding-value", 3, 4, (3, 3), (5, 6), padding=(1, 2, 0, 1), padding_value=-1.5),
    ConvCase("padding-value-stride", 2, 3, (3, 2), (6, 7), stride=2, padding=1, padding_value=0.5),
    ConvCase("window-over-map", 2, 3, (5, 6), (3, 3), padding=2),
    ConvCase("same", 3, 4, (3, 3), (7, 6), padding="same"),
    ConvCase("same-even-window", 3, 4, (4, 2), (7, 6), padding="same"),
    ConvCase("same-stride-2", 3, 4, (5, 3), (8, 7), stride=2, padding="same"),
    ConvCase("dilation-2", 3, 4, (3, 3), (9, 8), dilation=2),
    ConvCase("dilation-padding", 2, 3, (3, 2), (8, 8), dilation=(2, 3), padding=(2, 1, 0, 3)),
    ConvCase("dilation-stride", 2, 3, (3, 3), (11, 12), dilation=(2, 3), stride=(2, 3), padding=1),
    ConvCase("dilation-same", 2, 3, (3, 3), (7, 8), dilation=2, padding="same"),
    ConvCase("groups-2", 4, 6, (3, 3), (6, 7), groups=2, padding=1),
    ConvCase("groups-3-stride", 6, 3, (2, 3), (7, 7), groups=3, stride=2),
    ConvCase("depthwise", 5, 5, (3, 3), (6, 6), groups=5, padding=1),
    ConvCase("depthwise-multiplied", 3, 6, (3, 3), (7, 5), images=17, stride=2, padding=1,
             groups=3),
    ConvCase("depthwise-sides", 4, 4, (3, 3), (8, 11), images=17, padding=(0, 1, 2, 0), groups=4,
             padding_value=0.5),
    ConvCase("depthwise-stride-2", 3, 3, (3, 3), (9, 10), stride=2, padding="same", groups=3),
    ConvCase("depthwise-flip", 2, 4, (3, 3), (7, 8), stride=2, padding=1, groups=2,
             flip_kernel=True),
    ConvCase("depthwise-5x5", 3, 3, (5, 5), (7, 13), padding=2, groups=3, flip_kernel=True),
    ConvCase("depthwise-5x5-stride-2", 3, 6, (5, 5), (11, 8), images=17, stride=2,
             padding=(1, 2, 2, 0), groups=3),
    ConvCase("depthwise-over-map", 2, 2, (5, 5), (2, 3), padding=2, groups=2, bias=False),
    ConvCase("depthwise-dilation", 3, 3, (3, 3), (8, 7), dilation=2, padding=2, groups=3),
    ConvCase("depthwise-strides", 3, 3, (3, 5), (8, 9), stride=(1, 2), padding=(1, 2), groups=3),
    ConvCase("one-kernel-3x3", 7, 1, (3, 3), (6, 5), padding=1),
    ConvCase("two-channels-5x5", 2, 9, (5, 5), (6, 7), stride=2, padding=2),
    ConvCase("1x1-many", 101, 37, (1, 1), (5, 13), images=17),
    ConvCase("1x1-padding", 3, 4, (1, 1), (4, 5), padding=(1, 0, 0, 2), padding_value=0.5),
    ConvCase("1x1-one-row", 4, 6, (1, 1), (1, 9)),
    ConvCase("flip", 2, 3, (3, 2), (6, 7), flip_kernel=True),
    ConvCase("flip-everything", 4, 6, (3, 2), (9, 10), images=17, stride=(2, 1), groups=2,
             padding=(1, 0, 2, 1), padding_value=0.25, dilation=(1, 2), flip_kernel=True),
    ConvCase("everything", 6, 4, (3, 4), (12, 11), images=18, stride=(2, 3), groups=2,
             padding=(3, 1, 0, 4), padding_value=-0.75, dilation=(2, 1)),
    ConvCase("wide", 1, 2, (3, 3), (4, 70)),
    ConvCase("many-channels", 19, 3, (3, 3), (5, 5)),
    ConvCase("many-kernels", 3, 37, (3, 3), (5, 5), padding=1),
    ConvCase("lenet-1", 1, 6, (5, 5), (28, 28), images=2, padding=2),
    ConvCase("lenet5-1", 1, 6, (5, 5), (28, 28), images=64, padding=2, benchmark=True),
    ConvCase("lenet5-2", 6, 16, (5, 5), (14, 14), images=64, benchmark=True),
    ConvCase("lenet-theano-2", 20, 50, (5, 5), (12, 12), images=64, benchmark=True),
    ConvCase("vgg-1", 3, 32, (3, 3), (32, 32), images=64, padding=1, benchmark=True),
    ConvCase("vgg-2", 32, 32, (3, 3), (32, 32), images=64, padding=1, benchmark=True),
    ConvCase("resnet-56", 64, 64, (3, 3), (56, 56), images=32, padding=1, benchmark=True),
    ConvCase("resnet-14", 256, 256, (3, 3), (14, 14), images=32, padding=1, benchmark=True),
    ConvCase("resnet-1x1", 64, 256, (1, 1), (56, 56), images=32, benchmark=True),
    ConvCase("resnet-stem", 3, 64, (7, 7), (224, 224), images=16, stride=2, padding=3,
             benchmark=True),
    ConvCase("resnet-1x1-stride-2", 256, 512, (1, 1), (56, 56), images=32, stride=2,
             benchmark=True),
    ConvCase("mobilenet-expand", 32, 192, (1, 1), (28, 28), images=64, benchmark=True),
    ConvCase("mobilenet-project", 192, 32, (1, 1), (28, 28), images=64, benchmark=True),
    ConvCase("mobilenet-last", 320, 1280, (1, 1), (7, 7), images=64, benchmark=True),
    ConvCase("mobilenet-3x3", 144, 144, (3, 3), (28, 28), images=32, padding=1, groups=144,
             benchmark=True),
    ConvCase("mobilenet-3x3-stride-2", 144, 144, (3, 3), (56, 56), images=32, stride=2, padding=1,
             groups=144, benchmark=True),
    ConvCase("efficientnet-5x5", 240, 240, (5, 5), (28, 28), images=32, padding=2, groups=240,
             benchmark=True),
    ConvCase("efficientnet-5x5-stride-2", 144, 144, (5, 5), (56, 56), images=32, stride=2,
             padding=2, groups=144, benchmark=True),
    ConvCase("depthwise-28", 128, 128, (3, 3), (28, 28), images=64, padding=1, groups=128,
             benchmark=True),
)  # fmt: skip

POOLINGS: tuple[PoolCase, ...] = (
    *(
        case
        for kind in engine.poolings
        for case in (
            PoolCase(f"{kind}-2x2", kind, 3, 2, (6, 8)),
            PoolCase(f"{kind}-rest", kind, 2, (2, 3), (5, 7)),
            PoolCase(f"{kind}-overlap", kind, 3, 3, (7, 9), images=17, stride=2),
            PoolCase(f"{kind}-gaps", kind, 2, 2, (8, 9), stride=(3, 4)),
            PoolCase(f"{kind}-padding", kind, 3, 3, (6, 7), images=16, stride=2, padding=1),
            PoolCase(f"{kind}-sides", kind, 2, 3, (5, 6), stride=(1, 2), padding=(2, 0, 1, 2)),
            PoolCase(f"{kind}-same", kind, 2, (3, 2), (7, 5), stride=2, padding="same"),
            PoolCase(f"{kind}-global", kind, 4, "global", (5, 3), images=33),
            PoolCase(f"{kind}-one-pixel", kind, 1, 1, (1, 1), images=1),
            PoolCase(f"{kind}-window-over-map", kind, 2, 4, (2, 3), padding=(1, 1, 0, 1)),
            PoolCase(f"{kind}-dilation", kind, 3, (3, 2), (7, 9), images=17, stride=(1, 2),
                     padding=(2, 1, 0, 1), dilation=(2, 3)),
            PoolCase(f"{kind}-dilation-gaps", kind, 2, 2, (9, 8), stride=(3, 4), dilation=(2, 1)),
            PoolCase(f"{kind}-ceil-2x2", kind, 3, 2, (5, 7), images=15, ceil_mode=True),
            PoolCase(f"{kind}-ceil", kind, 2, 3, (6, 8), images=16, stride=2, ceil_mode=True),
            PoolCase(f"{kind}-ceil-padding", kind, 2, 3, (4, 6), stride=2, padding=1,
                     ceil_mode=True),
            PoolCase(f"{kind}-ceil-left-out", kind, 2, 2, (5, 6), stride=3, padding=1,
                     ceil_mode=True),
            PoolCase(f"{kind}-ceil-over-map", kind, 1, 4, (2, 3), stride=3, ceil_mode=True),
            PoolCase(f"{kind}-ceil-dilation", kind, 2, (2, 3), (6, 9), images=33, stride=(2, 3),
                     padding=(1, 0, 1, 2), dilation=(3, 2), ceil_mode=True),
        )
    ),
    *(
        PoolCase(f"{kind}-benchmark", kind, 32, 2, (32, 32), images=64, benchmark=True)
        for kind in ("max", "average", "l2")
    ),
    PoolCase("max-ties", "max", 3, 3, (7, 8), images=15, stride=1, padding=1, ties=True),
    PoolCase("average-uncounted", "average", 3, 3, (6, 7), stride=2, padding=1,
             count_padding=False),
    PoolCase("average-uncounted-sides", "average", 2, (2, 3), (5, 5), images=17, stride=1,
             padding=(1, 0, 2, 1), count_padding=False),
    PoolCase("average-ceil-uncounted", "average", 2, 3, (4, 6), images=17, stride=2, padding=1,
             count_padding=False, ceil_mode=True),
    PoolCase("l2-zeros", "l2", 3, (1, 2), (6, 6), ties=True),
)  # fmt: skip

DENSES: tuple[DenseCase, ...] = (
    DenseCase("1-1", 1, 1, images=1),
    DenseCase("7-3", 7, 3),
    DenseCase("no-bias", 9, 4, bias=False),
    DenseCase("images-15", 12, 10, images=15),
    DenseCase("images-16", 12, 10, images=16),
    DenseCase("images-17", 33, 5, images=17),
    DenseCase("images-33", 5, 70, images=33),
    DenseCase("deep-sum", 1000, 3, images=2),
    DenseCase("lenet5-120", 400, 120, images=64, benchmark=True),
    DenseCase("keras-128", 9216, 128, images=64, benchmark=True),
)

JOINS: tuple[JoinCase, ...] = (
    JoinCase("add-2", "add", (3, 3), (5, 4)),
    JoinCase("add-one-number", "add", (1, 1), (1, 1), images=1),
    JoinCase("add-5", "add", (2, 2, 2, 2, 2), (3, 7), images=17),
    JoinCase("add-images-16", "add", (4, 4, 4), (4, 3), images=16),
    JoinCase("multiply", "multiply", (3, 3), (5, 4)),
    JoinCase("multiply-one-number", "multiply", (1, 1), (1, 1), images=1),
    JoinCase("multiply-images-33", "multiply", (2, 2), (3, 7), images=33),
    JoinCase("multiply-by-channel", "multiply", (3, 3), (5, 4), by_channel=True),
    JoinCase("multiply-by-channel-wide", "multiply", (1, 1), (9, 35), images=17, by_channel=True),
    JoinCase("multiply-by-channel-15", "multiply", (19, 19), (2, 1), images=15, by_channel=True),
    JoinCase("concat-2", "concat", (3, 2), (5, 4)),
    JoinCase("concat-one-pixel", "concat", (1, 1), (1, 1), images=1),
    JoinCase("concat-4", "concat", (1, 4, 2, 3), (3, 7), images=17),
    JoinCase("concat-images-16", "concat", (5, 1, 5), (2, 6), images=16),
)

MAPS: tuple[MapCase, ...] = (
    MapCase("one-number", 1, (1, 1), images=1),
    MapCase("one-map", 1, (5, 7)),
    MapCase("one-pixel", 19, (1, 1), images=15),
    MapCase("images-16", 4, (3, 4), images=16, by_channel=False),
    MapCase("images-17", 3, (2, 9), images=17),
    MapCase("images-33", 5, (3, 3), images=33, by_channel=False),
    MapCase("images-150", 2, (2, 1), images=150),
    MapCase("many-channels", 70, (2, 3)),
)

IMAGE_NORMS: tuple[NormCase, ...] = (
    NormCase("group-2", 4, (5, 7), 2),
    NormCase("group-1", 6, (4, 4), 1, images=17),
    NormCase("group-each", 3, (6, 5), 3, images=16),
    NormCase("group-one-channel", 1, (3, 3), 1, images=1),
    NormCase("group-row", 8, (1, 1), 2, images=15),
    NormCase("group-plain", 4, (3, 9), 2, images=33, affine=False),
    NormCase("group-one-row", 2, (1, 13), 2, epsilon=0.5),
    NormCase("group-tall", 6, (11, 1), 3),
    NormCase("layer", 5, (4, 7), None),
    NormCase("layer-two", 2, (3, 3), None, images=1),
    NormCase("layer-row", 37, (1, 1), None, images=33),
    NormCase("layer-plain", 6, (2, 19), None, images=16, affine=False),
    NormCase("layer-many", 12, (5, 5), None, images=17, epsilon=1e-6),
)

RESPONSE_NORMS: tuple[ResponseCase, ...] = (
    ResponseCase("alexnet", 7, (5, 6), alpha=5e-4, k=2.0),
    ResponseCase("response-3", 8, (4, 4), 3, alpha=0.5, images=17),
    ResponseCase("response-1", 3, (3, 5), 1, alpha=0.2, beta=0.5, images=15),
    ResponseCase("response-wide", 4, (3, 3), 9, alpha=1.5, beta=1.25, images=16),
    ResponseCase("response-one-channel", 1, (1, 1), 5, images=1),
)

SHUFFLES: tuple[ShuffleCase, ...] = (
    ShuffleCase("shuffle-2", 6, 2, (5, 4)),
    ShuffleCase("shuffle-3", 12, 3, (2, 7), images=17),
    ShuffleCase("shuffle-1", 5, 1, (3, 3), images=16),
    ShuffleCase("shuffle-each", 5, 5, (1, 1), images=15),
)

LOSSES: tuple[LossCase, ...] = (
    LossCase("one-output", 1),
    LossCase("10", 10),
    LossCase("images-17", 3, images=17),
    LossCase("images-33", 10, images=33),
    LossCase("large-outputs", 5, images=16, scale=40.0),
)

CONV_CASES = tuple(case for case in CONVOLUTIONS if not case.benchmark)
CONV_BENCHMARKS = tuple(case for case in CONVOLUTIONS if case.benchmark)
POOL_CASES = tuple(case for case in POOLINGS if not case.benchmark)
POOL_BENCHMARKS = tuple(case for case in POOLINGS if case.benchmark)
DENSE_CASES = tuple(case for case in DENSES if not case.benchmark)
DENSE_BENCHMARKS = tuple(case for case in DENSES if case.benchmark)
JOIN_CASES = JOINS
SHUFFLE_CASES = SHUFFLES
LOSS_CASES = LOSSES


AUGMENT_CASES = {
    "moves": ((5, 2, 9, 12), Augment(shift=(2, 3), flip="both")),
    "resamples": ((5, 3, 17, 11), Augment(rotation=30, zoom=0.3, crop=0.7, elastic=2)),
    "shades": ((5, 3, 7, 8), Augment(brightness=0.5, contrast=0.4, noise=0.3, erase=0.5)),
    "everything": (
        (4, 1, 28, 28),
        Augment(
            shift=2,
            flip="horizontal",
            rotation=10,
            zoom=0.1,
            crop=0.9,
            elastic=1.5,
            brightness=0.2,
            contrast=0.2,
            noise=0.1,
            erase=0.5,
        ),
    ),
}
"""Shapes (N, C, H, W), and what happens to such images."""


def bit_lines() -> list[str]:
    """Every case but the benchmarks, and every training of convprop.check.bits, as a line."""
    lines = []
    for conv in CONV_CASES:
        given = {
            "name": conv.name,
            "images": conv.images,
            "input": (conv.channels, *conv.input_size),
            "kernels": conv.kernels,
            "kernel_size": conv.kernel_size,
            "padding_value": conv.padding_value,
            "groups": conv.groups,
            "bias": conv.bias,
            "flip_kernel": conv.flip_kernel,
        }
        lines.append(description("conv", **(given | conv.resolved)))
    for pool in POOL_CASES:
        shape = (pool.channels, *pool.input_size)
        given = {"name": pool.name, "images": pool.images, "input": shape, "pool": pool.kind}
        lines.append(description("pool", **given, **pool.resolved))
    for dense in DENSE_CASES:
        given = {"name": dense.name, "images": dense.images, "input": (dense.features, 1, 1)}
        lines.append(description("dense", **given, units=dense.units, bias=False))
    for join in JOIN_CASES:
        given = {"name": join.name, "images": join.images, "join": join.kind}
        shapes = {"channels": join.channels, "size": join.size, "by_channel": join.by_channel}
        lines.append(description("join", **given, **shapes))
    for shuffle in SHUFFLE_CASES:
        shape = (shuffle.channels, *shuffle.size)
        given = {"name": shuffle.name, "images": shuffle.images, "input": shape}
        lines.append(description("channel_shuffle", **given, groups=shuffle.groups))
    for norm in IMAGE_NORMS:
        given = {"name": norm.name, "images": norm.images, "input": (norm.channels, *norm.size)}
        lines.append(description(norm.kind, **given, **norm.resolved))
    for response in RESPONSE_NORMS:
        shape = (response.channels, *response.input_size)
        given = {"name": response.name, "images": response.images, "input": shape}
        lines.append(description("local_response_norm", **given, **response.options))
    for kind in engine.activations:
        if kind != "identity":
            given = {"name": kind, "size": 1024, "activation": kind, "slope": 0.01}
            alpha = {"alpha": 1.0} if "alpha" in eq.activations.ACTIVATIONS[kind].settings else {}
            lines.append(description("activation", **given, **alpha))
    shapes = [(one, (one.channels, *one.size)) for one in MAPS]
    lines += [
        description("prelu", name=m.name, images=m.images, input=shape, by_channel=m.by_channel)
        for m, shape in shapes
    ]
    lines += [
        description("softmax", name=m.name, images=m.images, input=shape) for m, shape in shapes
    ]
    for name, (shape, augment) in AUGMENT_CASES.items():
        settings = {key: float(augment.settings()[key]) for key in bits.AUGMENT_SETTINGS}
        given = {"name": name, "images": shape[0], "input": shape[1:]}
        lines.append(description("augment", **given, **settings))
    return lines + [training.line() for training in bits.TRAININGS]


if __name__ == "__main__":
    # Records the bits anew, from the engine that is running.
    folder = Path(__file__).parents[1] / "src" / "convprop" / "check"
    (folder / bits.RECORDED.name).write_text(bits.text_of(bit_lines()), encoding="ascii")
