"""Window geometry: the forms a size or a padding may take, and the one output-size formula.

Every function takes what a user wrote, says what is wrong with it through
`errors.invalid`, and returns the resolved integers that the engine works with.
Sizes are (rows, columns); padding is (top, bottom, left, right).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from convprop.checks import Pair, check_values, integers, pair
from convprop.errors import invalid

Sides = tuple[int, int, int, int]
Padding = int | Sequence[int] | Literal["same"]
PoolSize = int | Sequence[int] | Literal["global"]

_PADDING_RULE = (
    "be a non-negative integer, (vertical, horizontal), (top, bottom, left, right) or 'same'"
)


def resolve_padding(
    padding: object, input_size: Pair, window_size: Pair, stride: Pair, dilation: Pair
) -> Sides:
    """Return padding as (top, bottom, left, right).

    "same" gives ceil(input / stride) outputs; where the rows (or columns) to add are odd in
    number, the smaller half comes before, as in TensorFlow and ONNX's SAME_UPPER.
    """
    if isinstance(padding, str):
        if padding != "same":
            raise invalid("padding", _PADDING_RULE, repr(padding))
        top, bottom = _same(input_size[0], window_size[0], stride[0], dilation[0])
        left, right = _same(input_size[1], window_size[1], stride[1], dilation[1])
        return top, bottom, left, right
    sides = integers("padding", padding, smallest=0)
    if len(sides) == 2:
        return sides[0], sides[0], sides[1], sides[1]
    if len(sides) == 4:
        return sides[0], sides[1], sides[2], sides[3]
    raise invalid("padding", _PADDING_RULE, repr(padding))


@dataclass(frozen=True)
class Window:
    """What moves over the maps of an image: sizes of pixels, (rows, columns) each.

    An output's row i sees, through the window's row m, the input's row
    ``stride i + dilation m - before``; columns alike.

    Attributes
    ----------
    size, stride, dilation : (rows, columns)
    padding : (top, bottom, left, right)
    """

    size: Pair
    stride: Pair
    padding: Sides
    dilation: Pair = (1, 1)

    def before(self, axis: int) -> int:
        """Return the padding before the first row (axis 0) or column (axis 1)."""
        return self.padding[2 * axis]

    def seen(self, axis: int, outputs: Any, taps: Any) -> Any:
        """Return the inputs that outputs see through the window's positions ``taps``."""
        return self.stride[axis] * outputs + self.dilation[axis] * taps - self.before(axis)

    def seeing(self, axis: int, inputs: Any, taps: Any, outputs: int) -> tuple[Any, Any]:
        """Return the outputs that see inputs through positions, and which of them there are.

        It is the region Q of Eq. 16, of ``outputs`` rows or columns.
        """
        reached = inputs + self.before(axis) - self.dilation[axis] * taps
        found = reached // self.stride[axis]
        return found, (reached % self.stride[axis] == 0) & (found >= 0) & (found < outputs)

    def clipped(self, axis: int, output: int, length: int) -> tuple[int, int]:
        """Return where an output's window of a pooling begins and ends on a map's axis."""
        first = int(self.seen(axis, output, 0))
        return max(first, 0), min(first + self.size[axis], length)

    @property
    def apart(self) -> bool:
        """Whether no pixel lies under two windows."""
        return all(s >= k for s, k in zip(self.stride, self.size, strict=True))

    def taps(self, axis: int) -> Any:
        """Return the window's positions, from 0."""
        return np.arange(self.size[axis])

    def outputs(self, input_size: Pair, channels: int = 1) -> Pair:
        """Return (Ho, Wo), the places where the window fits into its padded input.

        Ho = floor((H + top + bottom - dilation (k1 - 1) - 1) / stride) + 1, and Wo alike: with
        stride 1 and nothing else, the article's H - k1 + 1 by W - k2 + 1.

        Raises
        ------
        InvalidInput
            There is no such place, or the padded input of all channels is too large for the
            engine.
        """
        top, bottom, left, right = self.padding
        rows, columns = input_size[0] + top + bottom, input_size[1] + left + right
        check_values("padded input", (channels, rows, columns))
        reach = (
            self.dilation[0] * (self.size[0] - 1) + 1,
            self.dilation[1] * (self.size[1] - 1) + 1,
        )
        if reach[0] > rows or reach[1] > columns:
            dilated = " with its dilation" if self.dilation != (1, 1) else ""
            rule = f"fit into its padded input of {rows}x{columns}"
            raise invalid("window", rule, f"{reach[0]}x{reach[1]}{dilated}")
        return (rows - reach[0]) // self.stride[0] + 1, (columns - reach[1]) // self.stride[1] + 1


def pool_window(size: object, stride: object, input_size: Pair) -> tuple[Pair, Pair]:
    """Return (size, stride) of a pooling: "global" is the whole input, stride None the size."""
    if isinstance(size, str):
        if size != "global":
            raise invalid("size", "be a positive integer, a pair of them or 'global'", repr(size))
        if stride is not None:
            raise invalid("stride", "be None when size is 'global'", repr(stride))
        return input_size, input_size
    window = pair("size", size)
    return window, window if stride is None else pair("stride", stride)


def pool_padding(padding: object, input_size: Pair, window: Pair, stride: Pair) -> Sides:
    """Return a pooling's padding as (top, bottom, left, right), each side below the window's.

    A window that lay in the padding alone would have no winning unit and nothing to average.
    """
    sides = resolve_padding(padding, input_size, window, stride, (1, 1))
    if max(sides[:2]) >= window[0] or max(sides[2:]) >= window[1]:
        raise invalid(
            "padding",
            f"be smaller than the {window[0]}x{window[1]} pooling window on every side",
            repr(padding),
        )
    return sides


def _same(input_length: int, window: int, stride: int, dilation: int) -> Pair:
    outputs = -(-input_length // stride)
    added = max((outputs - 1) * stride + dilation * (window - 1) + 1 - input_length, 0)
    return added // 2, added - added // 2
