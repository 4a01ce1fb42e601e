"""Pooling: what a window makes of its units, and which unit receives what of a delta.

The units of a window are taken in row order, and so are the windows over one unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convprop.explain import sums
from convprop.explain.explanation import Explanation, Part, Step
from convprop.explain.factor import with_factor
from convprop.explain.place import Place, check_indices, index_text, subscript, zero_like
from convprop.explain.rendering import power
from convprop.explain.tables import table
from convprop.geometry import Window

Array = NDArray[Any]


class Block(NamedTuple):
    """The units of a map under one window, at the crossings of rows and columns, and 1 / count."""

    rows: Array
    columns: Array
    part: Any


def block(place: Place, i: int, j: int) -> Block:
    """Return the block of output pixel (i, j)."""
    window, size = place.window, place.o.shape[2:]
    rows, columns = (window.inside(axis, at, size[axis]) for axis, at in enumerate((i, j)))
    count = len(rows) * len(columns)
    if place.native()["count_padding"]:
        count = window.counted(0, i, size[0]) * window.counted(1, j, size[1])
    one = place.o.dtype.type(1)
    return Block(rows, columns, one / place.o.dtype.type(count))


def output(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the value of window (i, j) of channel c."""
    found = check_indices("cij", (c, i, j), place.x.shape[1:])
    at = block(place, *found[1:])
    rows, columns = np.repeat(at.rows, len(at.columns)), np.tile(at.columns, len(at.rows))
    units = place.o[image, found[0], rows, columns]
    indices = {"row": rows, "column": columns}
    described: dict[str, Any] = {
        "name": f"x[{index_text('cij', found)}] of {place.name}, image {image}",
        "symbol": rf"x^{{{place.latex_name}}}_{subscript(found)}",
        "value": place.x[(image, *found)],
        "start": ("", zero_like(units)),
    }
    return Explanation(
        source=place.node.layer.source,
        **_of(place).value(units, indices, at.part),
        **described,
    )


def winner(units: Array) -> int:
    """Return which of a window's units wins: the first of the largest, a NaN before all."""
    return int(np.argmax(units))


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the delta of the unit (i, j): what the windows over it pass on to it."""
    found = check_indices("cij", (c, i, j), place.o.shape[1:])
    channel, row, column = found
    pooling = _of(place)
    spans = [
        _windows_over(place.window, axis, position, size)
        for axis, (position, size) in enumerate(zip(found[1:], place.x.shape[2:], strict=True))
    ]
    places = [(p, q) for p in spans[0] for q in spans[1]]
    unit = place.o[(image, *found)]
    zero = zero_like(unit)
    deltas, shares, routed = [], [], []
    for p, q in places:
        here = block(place, p, q)
        under = place.o[image, channel][np.ix_(here.rows, here.columns)]
        mine = int(
            np.searchsorted(here.rows, row) * len(here.columns)
            + np.searchsorted(here.columns, column)
        )
        error = place.delta[image, channel, p, q]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
            share, part = pooling.share(
                error, under.reshape(-1), mine, place.x[image, channel, p, q], here.part
            )
        deltas.append(error)
        shares.append(share)
        routed.append(part)
    arrays = [np.array(values, place.o.dtype) for values in (deltas, shares, routed)]
    indices = np.array(places, np.int64).reshape(-1, 2).T
    terms = table({"delta": arrays[0], "share": arrays[1]}, {"i": indices[0], "j": indices[1]})
    terms["value"] = arrays[2]
    running = sums.chain(arrays[2])
    # Windows that do not overlap write what they pass on; only others add, from 0.
    total = zero if not places else arrays[2][0] if place.window.apart else running[-1]
    return with_factor(
        place,
        image,
        found,
        names="cij",
        source=(f"Pooling Layer, {pooling.routing}",) * 2,
        formula=rf"\sum_{{\text{{windows}}}} \delta_{{i,j}} \cdot {pooling.share_latex}",
        terms=terms,
        factors=("delta", "share"),
        parts=(Part("", 0, len(terms), running),),
        total=total,
    )


class Pooling(NamedTuple):
    """How one kind of pooling is explained, in the order of its sums.

    ``value(units, indices, part)`` returns what an Explanation says of the value of a window with
    these units, ``part`` being 1 / count; ``share(delta, units, unit, x, part)`` a unit's share of
    the window's delta, and what it gets. ``routing`` and ``share_latex`` are the share in words and
    in LaTeX.
    """

    value: Callable[[Array, dict[str, Array], Any], dict[str, Any]]
    share: Callable[[Any, Array, int, Any, Any], tuple[Any, Any]]
    routing: str
    share_latex: str


def _max(units: Array, indices: dict[str, Array], part: Any) -> dict[str, Any]:
    wins = np.arange(len(units)) == winner(units)
    return {
        "formula": r"\max_{(i,j) \in \text{window}} o_{i,j}",
        "terms": table({"o": units}, indices | {"wins": wins}),
        "factors": ("o",),
        "parts": (),
        "steps": (),
        "total": units[wins][0],
        "brackets": (r"\max \{ ", r",\; ", r" \}"),
    }


def _max_share(delta: Any, units: Array, unit: int, x: Any, part: Any) -> tuple[Any, Any]:
    wins = winner(units) == unit
    return units.dtype.type(wins), delta if wins else zero_like(units)


def _average(units: Array, indices: dict[str, Array], part: Any) -> dict[str, Any]:
    running = sums.chain(units)
    total = sums.flushed(running[-1] * part)[()]
    words = f"times {part!s}, one part of {round(1 / float(part))}"
    return {
        "formula": r"\frac{1}{n} \sum_{(i,j) \in \text{window}} o_{i,j}",
        "terms": table({"o": units}, indices),
        "factors": ("o",),
        "parts": (Part("", 0, len(units), running),),
        "steps": (Step(words, rf"\Bigl( % \Bigr) \cdot {power(part)}", total),),
        "total": total,
    }


def _average_share(delta: Any, units: Array, unit: int, x: Any, part: Any) -> tuple[Any, Any]:
    return part, sums.flushed(delta * part)[()]


def _l2(units: Array, indices: dict[str, Array], part: Any) -> dict[str, Any]:
    running = sums.chain(units, units)
    total = np.sqrt(running[-1])
    return {
        "formula": r"\sqrt{\sum_{(i,j) \in \text{window}} o_{i,j}^2}",
        "terms": table({"o": units, "o again": units}, indices),
        "factors": ("o", "o again"),
        "parts": (Part("", 0, len(units), running),),
        "steps": (Step("the square root", r"\sqrt{%}", total),),
        "total": total,
    }


def _l2_share(delta: Any, units: Array, unit: int, x: Any, part: Any) -> tuple[Any, Any]:
    zero = zero_like(units)
    share, ratio = (units[unit] / x, delta / x) if x > 0 else (zero, zero)
    return share, sums.flushed(sums.flushed(ratio) * units[unit])[()]


POOLINGS = {
    "max": Pooling(_max, _max_share, "all of the delta to the winning unit", r"[o \text{ wins}]"),
    "average": Pooling(_average, _average_share, "an equal share to each unit", r"\frac{1}{n}"),
    "l2": Pooling(_l2, _l2_share, "to each unit its o / x of the delta", r"\frac{o}{x_{i,j}}"),
}


def _of(place: Place) -> Pooling:
    return POOLINGS[place.native()["pool"]]


def _windows_over(window: Window, axis: int, position: int, outputs: int) -> list[int]:
    """Return the windows that a row or column lies under, in order."""
    found, there = window.seeing(axis, position, window.taps(axis), outputs)
    return sorted(found[there].tolist())
