"""Local response normalisation: what a number is divided by, and the two parts of its delta."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.explain import sums
from convprop.explain.explanation import Explanation, Part, Step
from convprop.explain.place import (
    Place,
    check_indices,
    index_text,
    latex_text,
    subscript,
    zero_like,
)
from convprop.explain.rendering import power
from convprop.explain.tables import table
from convprop.machine.native import engine

Array = NDArray[Any]


def output(place: Place, image: int, k: object, i: object, j: object) -> Explanation:
    """Explain one value: the squares round it, and itself divided by a power of their sum."""
    found = check_indices("kij", (k, i, j), place.x.shape[1:])
    channels = _window(place, found[0])
    units = place.o[image, channels, found[1], found[2]]
    terms = table({"o": units, "o again": units}, {"channel": channels})
    running = sums.chain(terms["o"], terms["o again"])
    d, factor = _divisor(place, running[-1])
    o = place.o[(image, *found)]
    total = sums.flushed(o * factor)[()]
    at = place.native()
    part = _typed(place, at["alpha"] / at["size"])
    return Explanation(
        name=f"x[{index_text('kij', found)}] of {place.name}, image {image}",
        source=place.node.layer.source,
        symbol=rf"x^{{{place.latex_name}}}_{subscript(found)}",
        formula=r"o_{k,i,j} \, d^{-\beta}, \quad d = k + \frac{\alpha}{n} \sum_{c} o_{c,i,j}^2",
        terms=terms,
        factors=("o", "o again"),
        start=("", zero_like(units)),
        parts=(Part("", 0, len(terms), running),),
        steps=(
            Step(
                f"times alpha / n = {part!s}, plus k = {at['k']}",
                rf"\Bigl( % \Bigr) \cdot {power(part)} + {at['k']}",
                d,
            ),
            Step(
                f"to the power of -beta = {-at['beta']}",
                rf"\Bigl( % \Bigr)^{{{-at['beta']}}}",
                factor,
            ),
            Step(f"times o = {o!s}", rf"% \cdot {power(o)}", total),
        ),
        total=total,
        value=place.x[(image, *found)],
    )


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the delta of one value: what the outputs round it send, and what its own sends."""
    found = check_indices("cij", (c, i, j), place.o.shape[1:])
    channels = _window(place, found[0])
    column = place.o[image][:, found[1], found[2]]
    errors = place.delta[image, channels, found[1], found[2]]
    divided = [_divided(place, column, channel) for channel in channels]
    ratios = np.array([ratio for _, ratio in divided])
    terms = table({"delta": errors, "x/d": ratios}, {"channel": channels})
    running = sums.chain(terms["delta"], terms["x/d"])
    at, o = place.native(), column[found[0]]
    slope = _typed(place, 2 * at["alpha"] * at["beta"] / at["size"])
    round_it = sums.flushed(slope * o)[()]
    own = int(np.flatnonzero(channels == found[0])[0])
    straight = sums.flushed(errors[own] * divided[own][0])[()]
    total = sums.chain(np.array([-round_it]), running[-1:], straight)[0]
    whose = place.source_name
    return Explanation(
        name=f"delta[{index_text('cij', found)}] of {whose}, image {image}, through {place.name}",
        source=place.node.layer.source,
        symbol=rf"\delta^{{{latex_text(whose)}}}_{subscript(found)}",
        formula=r"\delta_{c,i,j} \, d_c^{-\beta} - \frac{2 \alpha \beta}{n} \, o_{c,i,j} "
        r"\sum_{c'} \delta_{c',i,j} \, \frac{x_{c',i,j}}{d_{c'}}",
        terms=terms,
        factors=("delta", "x/d"),
        start=("", zero_like(errors)),
        parts=(Part("", 0, len(terms), running),),
        steps=(
            Step(
                f"times -2 alpha beta / n o = {-round_it!s}, plus delta d^-beta = {straight!s}",
                rf"\Bigl( % \Bigr) \cdot ({power(-round_it)}) + ({power(straight)})",
                total,
            ),
        ),
        total=total,
        value=place.sent((image, *found), total),
    )


def _typed(place: Place, value: float) -> Any:
    return place.o.dtype.type(value)


def _window(place: Place, channel: int) -> NDArray[np.int64]:
    """Return the channels of the window round one."""
    half = place.native()["size"] // 2
    return np.arange(max(channel - half, 0), min(channel + half + 1, place.o.shape[1]))


def _divisor(place: Place, squares: Any) -> tuple[Any, Any]:
    """Return d and d^-beta of a sum of squares, as the engine has them."""
    at = place.native()
    part, k, beta = (_typed(place, v) for v in (at["alpha"] / at["size"], at["k"], at["beta"]))
    d = sums.chain(np.array([part]), np.array([squares]), k)
    exponent = sums.flushed(-beta * engine.log(d))
    return d[0], engine.exp(exponent)[0]


def _divided(place: Place, column: Array, channel: int) -> tuple[Any, Any]:
    """Return d^-beta and x / d of one channel of a pixel."""
    units = column[_window(place, channel)]
    d, factor = _divisor(place, sums.chain(units, units)[-1])
    x = sums.flushed(column[channel] * factor)
    return factor, sums.flushed(x / d)[()]
