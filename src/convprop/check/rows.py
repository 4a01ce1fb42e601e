"""What a check finds: rows of a table, and how a difference is measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convprop.machine.native import engine

Array = npt.NDArray[Any]


CANCELLED = 1e-4
"""Of the largest term: what is left of a sum that is as good as 0."""


@dataclass(frozen=True)
class Row:
    """Two computations that must agree.

    Attributes
    ----------
    group, name : str
        What kind of agreement, and of what.
    difference : float
        The largest difference, relative to the largest value of what is right.
    bound : float
        The largest difference that rounding explains.
    """

    group: str
    name: str
    difference: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the bound; NaN is not."""
        return self.difference <= self.bound


def difference(got: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Return max |got - right| / max |right|; infinity for another shape, NaN if any is NaN."""
    left, other = np.asarray(got), np.asarray(right)
    if left.shape != other.shape:
        return math.inf
    return ratio(float(np.max(np.abs(left - other))), float(np.max(np.abs(other))))


def ratio(part: float, whole: float) -> float:
    """Return part / whole, or part itself where the whole is zero."""
    return part / whole if whole else part


def slack(size: float, terms: float) -> float:
    """Return how many times larger terms are than what is left of them where they cancel, else 1.

    A bias whose channel is normalised behind it has no effect: its gradient is 0 but for rounding.
    """
    return ratio(terms, size) if size < CANCELLED * terms else 1.0


def worst(rows: Iterable[Row]) -> list[Row]:
    """Return one row for each group and name: the one that comes closest to its bound."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.group, row.name
        if key not in found or _used(row) > _used(found[key]):
            found[key] = row
    return list(found.values())


def _used(row: Row) -> float:
    return math.inf if math.isnan(row.difference) else ratio(row.difference, row.bound)


def draw(stream: int, *shape: int) -> npt.NDArray[np.float64]:
    """Return numbers in -1 .. 1 of the engine's random stream, always the same."""
    bits = engine.random_bits(0, stream, math.prod(shape))
    return ((bits >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1).reshape(shape)
