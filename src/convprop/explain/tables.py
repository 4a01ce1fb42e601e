"""Structured arrays of terms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def table(
    factors: dict[str, Array], indices: dict[str, Array], beside: dict[str, Array] | None = None
) -> Array:
    """Return terms: their product as "value", what is told beside, the factors, and the indices.

    All arrays are of one shape, or broadcast to one; the terms are in its row order.
    """
    numbers = (beside or {}) | factors
    arrays = np.broadcast_arrays(*numbers.values(), *indices.values())
    names = [*numbers, *indices]
    dtype: list[tuple[str, Any]] = [("value", np.float64)]
    dtype += [(name, array.dtype) for name, array in zip(numbers, arrays, strict=False)]
    dtype += [(name, np.dtype(np.int64)) for name in indices]
    terms = np.empty(math.prod(arrays[0].shape), dtype)
    for name, array in zip(names, arrays, strict=True):
        terms[name] = array.reshape(-1)
    value = np.ones(len(terms))
    for name in factors:
        value *= terms[name]
    terms["value"] = value
    return terms
