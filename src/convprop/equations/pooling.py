"""The pooling section: maximum, average and L2-norm of a block, and the routing of each.

The article pools N x N blocks that do not overlap. Here a block is (rows, columns), blocks
start `stride` apart (by default the block's own size), the rows and columns of a block lie
`dilation` apart, and the map may be padded by (top, bottom, left, right); where blocks overlap, a
pixel gets the sum of what each routes to it. The last blocks may hang over the padded map's end by
`overhang` rows and columns, where there are neither units nor padding: the frameworks' ceil mode.
Maps are the last two axes of an array (..., H, W).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from convprop.equations.arrays import Array, Indices, Pair, Sides
from convprop.equations.general import NO_PADDING, crop, pad, places, window

__all__ = [
    "average_pooling",
    "average_routing",
    "l2_pooling",
    "l2_routing",
    "max_pooling",
    "max_routing",
]


def max_pooling(
    o: Array,
    size: Pair,
    stride: Pair | None = None,
    padding: Sides = NO_PADDING,
    dilation: Pair = (1, 1),
    overhang: Pair = (0, 0),
) -> tuple[Array, Indices]:
    """Return each block's largest value and its winning unit, as the index i W + j of the map.

    On a tie the first in row order wins. Padding has no unit, so it never wins; complex values
    are compared by their real part.
    """
    stride, sides = stride or size, _hung(padding, overhang)
    unit = np.arange(o.shape[-2] * o.shape[-1]).reshape(o.shape[-2:])
    values = pad(o, sides)
    units = np.broadcast_to(pad(unit, sides, -1), values.shape)
    count = places(o.shape[-2:], size, stride, sides, dilation)
    best = np.zeros((*o.shape[:-2], *count), o.dtype)
    winner = np.full(best.shape, -1)
    for m, n in np.ndindex(size):
        at = window(m, n, count, stride, dilation)
        wins = (units[at] >= 0) & ((winner < 0) | (values[at].real > best.real))
        best = np.where(wins, values[at], best)
        winner = np.where(wins, units[at], winner)
    return best, winner


def max_routing(delta: Array, winner: Indices, input_size: Pair) -> Array:
    """Assign each block's delta to its winning unit; every other unit gets zero."""
    height, width = input_size
    total = np.zeros((delta[..., 0, 0].size, height * width), delta.dtype)
    of_map = np.arange(len(total))[:, np.newaxis]
    blocks = (len(total), -1)
    np.add.at(total, (of_map, winner.reshape(blocks)), delta.reshape(blocks))
    return total.reshape(*delta.shape[:-2], height, width)


def average_pooling(
    o: Array,
    size: Pair,
    stride: Pair | None = None,
    padding: Sides = NO_PADDING,
    count_padding: bool = True,
    dilation: Pair = (1, 1),
    overhang: Pair = (0, 0),
) -> Array:
    """Return the sum of each block over its number of units.

    count_padding says whether the padding, whose value is zero, counts among the units.
    """
    stride, sides = stride or size, _hung(padding, overhang)
    values = pad(o, sides)
    count = places(o.shape[-2:], size, stride, sides, dilation)
    total = np.zeros((*o.shape[:-2], *count), o.dtype)
    for m, n in np.ndindex(size):
        total = total + values[window(m, n, count, stride, dilation)]
    exists = _counted(o, padding, count_padding, overhang)
    return total / _units(exists, count, size, stride, dilation)


def average_routing(
    delta: Array,
    input_size: Pair,
    size: Pair,
    stride: Pair | None = None,
    padding: Sides = NO_PADDING,
    count_padding: bool = True,
    dilation: Pair = (1, 1),
    overhang: Pair = (0, 0),
) -> Array:
    """Assign each block's delta, over its number of units, to every unit of the block."""
    stride, sides = stride or size, _hung(padding, overhang)
    total = pad(np.zeros((*delta.shape[:-2], *input_size), delta.dtype), sides)
    exists = _counted(crop(total, sides), padding, count_padding, overhang)
    share = delta / _units(exists, delta.shape[-2:], size, stride, dilation)
    for m, n in np.ndindex(size):
        at = window(m, n, delta.shape[-2:], stride, dilation)
        total[at] = total[at] + share
    return crop(total, sides)


def l2_pooling(
    o: Array,
    size: Pair,
    stride: Pair | None = None,
    padding: Sides = NO_PADDING,
    dilation: Pair = (1, 1),
    overhang: Pair = (0, 0),
) -> Array:
    """Return each block's norm, the square root of the sum of its units' squares."""
    stride, sides = stride or size, _hung(padding, overhang)
    values = pad(o, sides)
    count = places(o.shape[-2:], size, stride, sides, dilation)
    total = np.zeros((*o.shape[:-2], *count), o.dtype)
    for m, n in np.ndindex(size):
        unit: Array = values[window(m, n, count, stride, dilation)]
        total = total + unit * unit
    return np.sqrt(total)


def l2_routing(
    delta: Array,
    o: Array,
    size: Pair,
    stride: Pair | None = None,
    padding: Sides = NO_PADDING,
    dilation: Pair = (1, 1),
    overhang: Pair = (0, 0),
) -> Array:
    """Assign to each unit the block's delta times o / norm, the norm's derivative.

    The article names L2 pooling and gives no routing; this is the chain rule's. A block of
    zeros has no derivative and routes zero.
    """
    stride, sides = stride or size, _hung(padding, overhang)
    norm = l2_pooling(o, size, stride, padding, dilation, overhang)
    share = np.where(norm == 0, 0, delta / np.where(norm == 0, 1, norm))
    values = pad(o, sides)
    total = np.zeros_like(values)
    for m, n in np.ndindex(size):
        at = window(m, n, delta.shape[-2:], stride, dilation)
        total[at] = total[at] + share * values[at]
    return crop(total, sides)


def _hung(padding: Sides, overhang: Pair) -> Sides:
    """Return the padding with room for what hangs over its end."""
    top, bottom, left, right = padding
    return top, bottom + overhang[0], left, right + overhang[1]


def _counted(o: Array, padding: Sides, count_padding: bool, overhang: Pair) -> Array:
    """Return 1 for what an average counts of the padded map, and 0 for the rest."""
    exists = pad(np.ones(o.shape[-2:], o.real.dtype), padding, float(count_padding))
    return pad(exists, (0, overhang[0], 0, overhang[1]))


def _units(
    exists: Array, count: tuple[int, ...], size: Pair, stride: Pair, dilation: Pair
) -> Array:
    """Return each block's number of units, (Ho, Wo)."""
    units: Array = np.zeros(count, exists.dtype)
    for m, n in np.ndindex(size):
        units = units + exists[window(m, n, count, stride, dilation)]
    return units


def _size(o: Array) -> Pair:
    return o.shape[-2], o.shape[-1]


class Pooling(NamedTuple):
    """A pooling of maps o, and the routing of a delta back to them.

    ``at`` has its size, stride, padding, dilation and overhang, and whether padding counts:
    "count_padding".
    """

    forward: Callable[[Array, dict[str, Any]], Array]
    input_delta: Callable[[Array, Array, dict[str, Any]], Array]


def _window(at: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in at.items() if name != "count_padding"}


POOLINGS = {
    "max": Pooling(
        lambda o, at: max_pooling(o, **_window(at))[0],
        lambda delta, o, at: max_routing(delta, max_pooling(o, **_window(at))[1], _size(o)),
    ),
    "average": Pooling(
        lambda o, at: average_pooling(o, **at),
        lambda delta, o, at: average_routing(delta, _size(o), **at),
    ),
    "l2": Pooling(
        lambda o, at: l2_pooling(o, **_window(at)),
        lambda delta, o, at: l2_routing(delta, o, **_window(at)),
    ),
}
