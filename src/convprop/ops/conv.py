"""Convolution of a batch with a bank of kernels, and its two gradients.

Arrays are NCHW, float32 or float64, all of one dtype. Every function takes

stride : int or (rows, columns), default 1
    Distance between the windows of neighbouring outputs.
padding : int, (vertical, horizontal), (top, bottom, left, right) or "same", default 0
    Rows and columns of `padding_value` put round the input; "same" gives ceil(input / stride)
    outputs, the smaller half of the padding before.
dilation : int or (rows, columns), default 1
    Distance between neighbouring pixels of one window.
groups : int, default 1
    Channel group g meets kernel group g alone; divides C and K.
flip_kernel : bool, default False
    False is the cross-correlation of Eq. 7, as in every framework; True the convolution of
    Eq. 2, which reads the kernel from its end.

and raises InvalidInput, which names the parameter, the rule and what was received. For the
sums themselves see `convprop.equations.general`.
"""

from __future__ import annotations

import functools
import sys
from typing import NamedTuple

from convprop.checks import check_values, flag, number, pair, positive_integer
from convprop.errors import invalid
from convprop.geometry import Padding, Window, resolve_padding
from convprop.machine.native import description, engine
from convprop.ops.arrays import Array, checked, require_shape

Lengths = int | tuple[int, int]


def forward(
    o: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: Lengths = 1,
    padding: Padding = 0,
    padding_value: float = 0.0,
    dilation: Lengths = 1,
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array:
    """Return x, the convolved input plus bias (Eq. 4, 7).

    Parameters
    ----------
    o : (N, C, H, W)
    w : (K, C / groups, k1, k2)
    b : (K,), optional

    Returns
    -------
    x : (N, K, Ho, Wo)
    """
    o = checked("o", o, "(N, C, H, W)")
    w = checked("w", w, "(K, C / groups, k1, k2)", ("o", o))
    at = _geometry(len(w), o.shape[1:], w.shape[2:], stride, padding, dilation, groups, flip_kernel)
    at.require_groups(channels=o.shape[1])
    require_shape("w", w, "K", o.shape[1] // at.groups, "k1", "k2")
    if b is not None:
        b = checked("b", b, "(K,)", ("o", o))
        require_shape("b", b, len(w))
    return engine.conv_forward(o, w, b, at.description(padding_value))


def weight_gradient(
    o: Array,
    delta: Array,
    *,
    kernel_size: Lengths,
    stride: Lengths = 1,
    padding: Padding = 0,
    padding_value: float = 0.0,
    dilation: Lengths = 1,
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array:
    """Return dE/dw, the gradient of the weights (Eq. 13), summed over the images.

    Parameters
    ----------
    o : (N, C, H, W)
    delta : (N, K, Ho, Wo)
        dE/dx.
    kernel_size : int or (k1, k2)

    Returns
    -------
    gradient : (K, C / groups, k1, k2)
    """
    o = checked("o", o, "(N, C, H, W)")
    delta = checked("delta", delta, "(N, K, Ho, Wo)", ("o", o))
    size = pair("kernel_size", kernel_size)
    kernels = delta.shape[1]
    at = _geometry(kernels, o.shape[1:], size, stride, padding, dilation, groups, flip_kernel)
    at.require_groups(channels=o.shape[1])
    check_values("weights", (kernels, o.shape[1] // at.groups, *size))
    require_shape("delta", delta, len(o), "K", *at.output_size)
    return engine.conv_weight_gradient(o, delta, at.description(padding_value))


def bias_gradient(delta: Array) -> Array:
    """Return dE/db (K,): delta (N, K, Ho, Wo) summed over images and pixels."""
    return engine.conv_bias_gradient(checked("delta", delta, "(N, K, Ho, Wo)"))


def input_delta(
    delta: Array,
    w: Array,
    *,
    input_size: Lengths,
    stride: Lengths = 1,
    padding: Padding = 0,
    dilation: Lengths = 1,
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array:
    """Return dE/do, the delta carried back to the input (Eq. 20 without f').

    The activation's factor f' is `ops.activation.input_delta`.

    Parameters
    ----------
    delta : (N, K, Ho, Wo)
        dE/dx.
    w : (K, C / groups, k1, k2)
    input_size : int or (H, W)

    Returns
    -------
    delta : (N, C, H, W)
    """
    delta = checked("delta", delta, "(N, K, Ho, Wo)")
    w = checked("w", w, "(K, C / groups, k1, k2)", ("delta", delta))
    size = pair("input_size", input_size)
    channels = w.shape[1] * positive_integer("groups", groups)
    shape = (channels, *size)
    at = _geometry(len(w), shape, w.shape[2:], stride, padding, dilation, groups, flip_kernel)
    at.require_groups(channels)
    require_shape("delta", delta, "N", len(w), *at.output_size)
    return engine.conv_input_delta(delta, w, size, f"{_words(at)} padding_value=0.0")


class _Geometry(NamedTuple):
    """The checked and resolved options of a call."""

    kernels: int
    window: Window
    groups: int
    flip_kernel: bool
    output_size: tuple[int, int]

    def description(self, padding_value: object) -> str:
        """Return the convolution as the engine is told of it."""
        rule = "be a finite number"
        value = number("padding_value", padding_value, rule, -sys.float_info.max)
        return f"{_words(self)} padding_value={value}"

    def require_groups(self, channels: int) -> None:
        """Raise InvalidInput unless the groups divide channels and kernels."""
        if channels % self.groups:
            raise invalid("groups", f"divide the {channels} input channels", self.groups)
        if self.kernels % self.groups:
            raise invalid("groups", f"divide the {self.kernels} kernels", self.groups)


def _geometry(
    kernels: int,
    input_shape: tuple[int, ...],
    kernel_size: tuple[int, ...],
    stride: object,
    padding: object,
    dilation: object,
    groups: object,
    flip_kernel: object,
) -> _Geometry:
    channels, rows, columns = input_shape
    size, window_size = (rows, columns), (kernel_size[0], kernel_size[1])
    steps, spread = pair("stride", stride), pair("dilation", dilation)
    sides = resolve_padding(padding, size, window_size, steps, spread)
    window = Window(window_size, steps, sides, spread)
    return _Geometry(
        kernels,
        window,
        positive_integer("groups", groups),
        flag("flip_kernel", flip_kernel),
        window.outputs(size, channels),
    )


@functools.lru_cache
def _words(at: _Geometry) -> str:
    # Kept, since to make them takes longer than a small convolution.
    return description(
        "conv",
        kernels=at.kernels,
        kernel_size=at.window.size,
        stride=at.window.stride,
        padding=at.window.padding,
        dilation=at.window.dilation,
        groups=at.groups,
        flip_kernel=at.flip_kernel,
    )
