"""Sums as the engine makes them: one fused multiply-add after the other, in one order.

A product is not rounded before it is added, which NumPy cannot do, so the chains are the
engine's own. All else here rounds once, as NumPy does; the engine besides takes subnormal
numbers for zero.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.machine.native import engine

Array = NDArray[Any]

LANES = 16
MOST_GROUPS = 8


def flushed(values: Array) -> Array:
    """Return the values with subnormal ones as zeros of the same sign."""
    values = np.asarray(values)
    tiny = np.abs(values) < np.finfo(values.dtype).tiny
    whole: Array = np.where(tiny, np.copysign(values.dtype.type(0), values), values)
    return whole


def running_sums(start: Array, a: Array, b: Array) -> Array:
    """Return start + a b after each product, row by row: (R,), (R, T), (R, T) -> (R, T)."""
    return engine.running_sums(
        np.ascontiguousarray(start), np.ascontiguousarray(a), np.ascontiguousarray(b)
    )


def chain(a: Array, b: Array | None = None, start: Any = 0) -> Array:
    """Return the running sums of one row of products, or of the numbers a."""
    factor = np.ones_like(a) if b is None else b
    sums = running_sums(np.array([start], a.dtype), a[np.newaxis], factor[np.newaxis])
    return sums.reshape(-1)


def over_images(sums: Array) -> tuple[Array, Array, Any]:
    """Add up the images' sums of a convolution's gradient (N,), as training does.

    Returns
    -------
    blocks : ndarray
        The sum of each block of sixteen images, its lanes added by halves.
    groups : ndarray
        The blocks' sums in order, within each of at most eight runs of blocks.
    total : floating
        The groups' sum by the tree.
    """
    count = -(-len(sums) // LANES)
    lanes = np.zeros((count, LANES), sums.dtype)
    lanes.reshape(-1)[: len(sums)] = sums
    half = LANES // 2
    while half:
        lanes = flushed(lanes[:, :half] + lanes[:, half:])
        half //= 2
    blocks = lanes[:, 0]
    groups = np.array([chain(blocks[a:b])[-1] for a, b in _groups(count)], sums.dtype)
    return blocks, groups, tree(groups)


def _groups(blocks: int) -> list[tuple[int, int]]:
    """Return where the groups of so many blocks begin and end."""
    number = min(blocks, MOST_GROUPS)
    return list(pairwise(blocks * g // number for g in range(number + 1)))


def groups_of(images: int) -> list[tuple[int, int]]:
    """Return where the groups of a batch's images begin and end."""
    bounds = _groups(-(-images // LANES))
    return [(first * LANES, min(last * LANES, images)) for first, last in bounds]


def tree(groups: Array) -> Any:
    """Return the groups' sum: neighbours, then neighbours of these, and so on."""
    sums = list(groups)
    apart = 1
    while apart < len(sums):
        for g in range(0, len(sums) - apart, 2 * apart):
            sums[g] = flushed(sums[g] + sums[g + apart])[()]
        apart *= 2
    return sums[0]
