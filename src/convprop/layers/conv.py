"""Convolution."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from convprop.checks import Pair, flag, number, pair, positive_integer
from convprop.errors import invalid
from convprop.geometry import Padding, Window, resolve_padding
from convprop.initializers import Initializer
from convprop.layers.layer import (
    Layer,
    Parameter,
    Shape,
    Trainable,
    checked_initializer,
    checked_name,
    checked_trainable,
    maps_of,
    weight_and_bias,
)


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
        None: He's uniform one before a ReLU or what is like one, LeCun's before a SELU, Glorot's
        elsewhere. Biases begin at 0.
    trainable : bool, "weight" or "bias"
        False: no optimizer updates its parameters, which have no gradients. A name: that one alone.
    name : str, optional
        In the place of "conv1", "conv2", ...
    """

    kind = family = "conv"
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
    trainable: Trainable = True
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
            initializer=checked_initializer(self.initializer),
            trainable=checked_trainable(self.trainable, self.bias),
            name=checked_name(self.name),
        )
        sides = self._window((1, 1)).padding
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

    def _window(self, input_size: Pair) -> Window:
        size, stride, dilation = (
            pair(name, getattr(self, name)) for name in ("kernel_size", "stride", "dilation")
        )
        sides = resolve_padding(self.padding, input_size, size, stride, dilation)
        return Window(size, stride, sides, dilation)

    def window(self, *inputs: Shape) -> Window:
        """Return the kernel's window."""
        return self._window(maps_of(inputs[0])[1])

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (K, Ho, Wo)."""
        channels, size = maps_of(inputs[0])
        if channels % self.groups:
            raise invalid("groups", f"divide the {channels} input channels", self.groups)
        return self.kernels, *self.window(*inputs).outputs(size, channels)

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight (K, C / groups, k1, k2) and bias (K,)."""
        window = pair("kernel_size", self.kernel_size)
        weight = (self.kernels, inputs[0][0] // self.groups, *window)
        return weight_and_bias(weight, self.initializer, self.bias, self.trainable)

    def multiply_adds(self, *inputs: Shape) -> int:
        """Return K Ho Wo (C / groups) k1 k2, the padding's products included."""
        weights = math.prod(self.parameters(*inputs)["weight"].shape)
        return weights * math.prod(self.output_shape(*inputs)[1:])

    def convention(self) -> str:
        """Return which way the kernel lies."""
        return "convolution, Eq. 2" if self.flip_kernel else "cross-correlation, Eq. 7"

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        window = self.window(*inputs)
        return {
            "kind": "conv",
            "kernels": self.kernels,
            "kernel_size": window.size,
            "stride": window.stride,
            "padding": window.padding,
            "padding_value": self.padding_value,
            "dilation": window.dilation,
            "groups": self.groups,
            "bias": self.bias,
            "flip_kernel": self.flip_kernel,
            "algorithm": self.algorithm,
        }
