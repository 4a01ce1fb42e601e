"""The softmax over channels: the exponentials that share a pixel, and how a delta comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.explain import sums
from convprop.explain.explanation import Explanation, Part, Step
from convprop.explain.place import (
    NAMES,
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
    """Explain one value: its exponential over the sum of its pixel's."""
    found = check_indices("kij", (k, i, j), place.x.shape[1:])
    pixel: tuple[Any, ...] = (image, slice(None), *found[1:])
    before = place.o[pixel]
    largest = before.max()
    powers = engine.exp(sums.flushed(before - largest))
    running = sums.chain(powers)
    own = powers[found[0]]
    total = sums.flushed(own / running[-1])[()]
    return Explanation(
        name=f"o[{index_text(NAMES[len(found)], found)}] of {place.name}, image {image}",
        source=place.node.layer.source,
        symbol=rf"o^{{{place.latex_name}}}_{subscript(found)}",
        formula=r"\frac{e^{x_c}}{\sum_{k} e^{x_k}}",
        terms=table({"e": powers}, _indices(found, len(powers))),
        factors=("e",),
        start=("", zero_like(powers)),
        parts=(Part("", 0, len(powers), running),),
        steps=(Step(f"its own one, {own!s}, over that", rf"\frac{{{power(own)}}}{{%}}", total),),
        total=total,
        value=place.x[(image, *found)],
        remark=f"The pixel's largest value, {largest!s}, is taken out of every exponent.",
    )


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the delta of one value: how far its own one is from the pixel's mean, times o."""
    found = check_indices("cij", (c, i, j), place.o.shape[1:])
    pixel: tuple[Any, ...] = (image, slice(None), *found[1:])
    deltas, shares = place.delta[pixel], place.x[pixel]
    terms = table({"delta": deltas, "o": shares}, _indices(found, len(shares)))
    running = sums.chain(terms["delta"], terms["o"])
    error, share = deltas[found[0]], shares[found[0]]
    apart = sums.flushed(error - running[-1])[()]
    total = sums.flushed(share * apart)[()]
    whose = place.source_name
    return Explanation(
        name=f"delta[{index_text(NAMES[len(found)], found)}] of {whose}, image {image}, "
        f"through {place.name}",
        source=place.node.layer.source,
        symbol=rf"\delta^{{{latex_text(whose)}}}_{subscript(found)}",
        formula=r"o_c \Bigl( \delta_c - \sum_{k} \delta_k \, o_k \Bigr)",
        terms=terms,
        factors=("delta", "o"),
        start=("", zero_like(deltas)),
        parts=(Part("", 0, len(terms), running),),
        steps=(
            Step(
                f"that taken from the channel's own delta, {error!s}",
                rf"{power(error)} - (%)",
                apart,
            ),
            Step(f"times its o, {share!s}", rf"{power(share)} \Bigl( % \Bigr)", total),
        ),
        total=total,
        value=place.sent((image, *found), total),
    )


def _indices(found: tuple[int, ...], channels: int) -> dict[str, Array]:
    """Return where the numbers of a pixel are, one a channel."""
    pixel = {name: np.full(channels, at) for name, at in zip("ij", found[1:], strict=False)}
    return {"k": np.arange(channels)} | pixel
