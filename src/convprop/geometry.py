"""Window geometry: the forms a size or a padding may take, and the one output-size formula.

Every function takes what a user wrote, says what is wrong with it through
`errors.invalid`, and returns the resolved integers that the engine works with.
Sizes are (rows, columns); padding is (top, bottom, left, right).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from convprop.checks import LARGEST_INTEGER, Pair, check_values, integers, pair
from convprop.errors import invalid

Sides = tuple[int, int, int, int]
Padding = int | Sequence[int] | Literal["same"]
PoolSize = int | Sequence[int] | Literal["global"]

UNKNOWN_SIZE: Pair = (LARGEST_INTEGER, LARGEST_INTEGER)
"""Of maps that a layer has not met: as large as can be, so that what fits into some fits them."""

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
    overhang : (rows, columns)
        Of a pooling in ceil mode: how far its last windows reach beyond the padding below and on
        the right. What lies there is no unit and no padding, so no average counts it.
    """

    size: Pair
    stride: Pair
    padding: Sides
    dilation: Pair = (1, 1)
    overhang: Pair = (0, 0)

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

    def inside(self, axis: int, output: int, length: int) -> Any:
        """Return what an output sees of an axis so long: the padding left out."""
        found = self.seen(axis, output, self.taps(axis))
        return found[(found >= 0) & (found < length)]

    def counted(self, axis: int, output: int, length: int) -> int:
        """Return how many inputs an output sees on an axis so long, its padding included."""
        end = length + self.padding[2 * axis + 1]
        return int((self.seen(axis, output, self.taps(axis)) < end).sum())

    def reach(self, axis: int) -> int:
        """Return how many rows or columns lie from its first position to its last."""
        return self.dilation[axis] * (self.size[axis] - 1) + 1

    @property
    def apart(self) -> bool:
        """Whether windows lie side by side, so that no pixel is under two of them."""
        return all(step >= self.reach(axis) for axis, step in enumerate(self.stride))

    def described(self) -> dict[str, Any]:
        """Return the properties of a pooling that has it; what is as usual goes without saying."""
        told: dict[str, Any] = {"size": self.size, "stride": self.stride, "padding": self.padding}
        if self.dilation != (1, 1):
            told["dilation"] = self.dilation
        if self.overhang != (0, 0):
            told["overhang"] = self.overhang
        return told

    def taps(self, axis: int) -> Any:
        """Return the window's positions, from 0."""
        return np.arange(self.size[axis])

    def outputs(self, input_size: Pair, channels: int = 1) -> Pair:
        """Return (Ho, Wo), the places where the window fits into its padded input.

        Ho = floor((H + top + bottom - dilation (k1 - 1) - 1) / stride) + 1, and Wo alike: with
        stride 1 and nothing else, the article's H - k1 + 1 by W - k2 + 1. What hangs over is
        added to the padding.

        Raises
        ------
        InvalidInput
            There is no such place, or the padded input of all channels is too large for the
            engine.
        """
        top, bottom, left, right = self.padding
        rows = input_size[0] + top + bottom + self.overhang[0]
        columns = input_size[1] + left + right + self.overhang[1]
        check_values("padded input", (channels, rows, columns))
        reach = self.reach(0), self.reach(1)
        if reach[0] > rows or reach[1] > columns:
            dilated = " with its dilation" if self.dilation != (1, 1) else ""
            rule = f"fit into its padded input of {rows}x{columns}"
            raise invalid("window", rule, f"{reach[0]}x{reach[1]}{dilated}")
        return (rows - reach[0]) // self.stride[0] + 1, (columns - reach[1]) // self.stride[1] + 1


def pool_window(
    size: object,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: bool,
    input_size: Pair,
) -> Window:
    """Return the window of a pooling of maps of a size.

    The size "global" is the whole map, and a stride of None is the size. Each side of the padding
    is below the window's reach, so that no window lies in the padding alone: it would have no
    winning unit and nothing to average.

    In ceil mode the last window of a row or a column may hang over its end. It is there if it
    begins before the padding behind the map does, as in PyTorch, and in ONNX from opset 19 on.
    """
    steps = pair("dilation", dilation)
    if isinstance(size, str):
        if size != "global":
            raise invalid("size", "be a positive integer, a pair of them or 'global'", repr(size))
        if stride is not None:
            raise invalid("stride", "be None when size is 'global'", repr(stride))
        if steps != (1, 1):
            raise invalid("dilation", "be 1 when size is 'global'", repr(dilation))
        if ceil_mode:
            raise invalid("ceil_mode", "be False when size is 'global'", ceil_mode)
        block = moved = input_size
    else:
        block = pair("size", size)
        moved = block if stride is None else pair("stride", stride)
    sides = resolve_padding(padding, input_size, block, moved, steps)
    if ceil_mode and isinstance(padding, str):
        raise invalid("ceil_mode", "be False when padding is 'same'", ceil_mode)
    window = Window(block, moved, sides, steps)
    for axis in (0, 1):
        if max(sides[2 * axis : 2 * axis + 2]) >= window.reach(axis):
            dilated = " with its dilation" if steps != (1, 1) else ""
            raise invalid(
                "padding",
                f"be smaller than the {window.reach(0)}x{window.reach(1)} pooling window{dilated}"
                " on every side",
                repr(padding),
            )
    if not ceil_mode:
        return window
    return replace(
        window, overhang=(_overhang(window, 0, input_size[0]), _overhang(window, 1, input_size[1]))
    )


def pool_outputs(window: Window, input_size: Pair, channels: int) -> Pair:
    """Return (Ho, Wo) of a pooling, each of whose windows has a unit of its map.

    One that begins in the padding before the map and takes steps no longer than the map does not
    step over it; longer ones might.
    """
    for axis, length in enumerate(input_size):
        if window.before(axis) and window.dilation[axis] > length:
            rule = (
                f"be at most the input's {length} {('rows', 'columns')[axis]} with padding before"
            )
            raise invalid("dilation", rule, window.dilation[axis])
    return window.outputs(input_size, channels)


def _overhang(window: Window, axis: int, length: int) -> int:
    """Return how far the last window of ceil mode reaches beyond an axis so long, padded."""
    before, behind = window.padding[2 * axis : 2 * axis + 2]
    room = length + before + behind - window.reach(axis)
    last = -(-room // window.stride[axis]) * window.stride[axis]
    return last - room if 0 <= last < length + before else 0


def _same(input_length: int, window: int, stride: int, dilation: int) -> Pair:
    outputs = -(-input_length // stride)
    added = max((outputs - 1) * stride + dilation * (window - 1) + 1 - input_length, 0)
    return added // 2, added - added // 2
