"""Joins of branches: values of several layers become one, and its delta goes back to each.

Arrays are (N, C, H, W) or (N, F), real or complex.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convprop.equations.arrays import Array


def add(*values: Array) -> Array:
    """Return x = o_1 + o_2 + ..., He, Zhang, Ren and Sun (2016), Eq. 1."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def add_deltas(delta: Array, *values: Array) -> list[Array]:
    """Return each dE/do = dE/dx."""
    return [delta for _ in values]


def multiply(a: Array, b: Array) -> Array:
    """Return x = a b, where b may have one number a channel: Hu, Shen and Sun (2018), Eq. 4."""
    return a * b


def multiply_deltas(delta: Array, a: Array, b: Array) -> list[Array]:
    """Return dE/da = b dE/dx and dE/db = a dE/dx, summed over what shares a number of b."""
    to_b = delta * a
    if b.shape != a.shape:
        to_b = to_b.sum(axis=(2, 3), keepdims=True)
    return [delta * b, to_b]


def concat(*values: Array) -> Array:
    """Return the channels of all, one after the other: Szegedy et al. (2015), Section 4."""
    return np.concatenate(values, axis=1)


def concat_deltas(delta: Array, *values: Array) -> list[Array]:
    """Return each one's own part of the delta."""
    ends = np.cumsum([value.shape[1] for value in values])[:-1]
    return np.split(delta, ends, axis=1)


FORWARD: dict[str, Callable[..., Array]] = {"add": add, "multiply": multiply, "concat": concat}
DELTAS: dict[str, Callable[..., list[Array]]] = {
    "add": add_deltas,
    "multiply": multiply_deltas,
    "concat": concat_deltas,
}
