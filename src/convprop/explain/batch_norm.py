"""Batch normalisation by its running statistics, as predictions go: outputs, gradients, deltas.

An output is a scale and a shift of its input alone, and a delta the scale of its own. Gradients
run over a map's rows and then over the images, as those of other normalisations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.errors import invalid
from convprop.explain import sums
from convprop.explain.explanation import Explanation, Part
from convprop.explain.image_norm import bias_gradient as bias_gradient
from convprop.explain.image_norm import gradient
from convprop.explain.place import (
    NAMES,
    Place,
    check_indices,
    index_text,
    latex_text,
    subscript,
    zero_like,
)
from convprop.explain.tables import table

Array = NDArray[Any]


def output(place: Place, image: int, k: object, i: object, j: object) -> Explanation:
    """Explain one value: what is above the mean, scaled, and the bias."""
    shape = place.x.shape[1:]
    found = check_indices("kij", (k, i, j), shape)
    channel = found[0]
    o, mean = place.o[(image, *found)], place.parameter("running_mean")[channel]
    beside = {
        "o": np.array([o]),
        "mean": np.array([mean]),
        "variance": np.array([place.parameter("running_var")[channel]]),
        "w": np.array([place.parameter("weight")[channel]]),
    }
    factors = {
        "scale": np.array([scales(place)[channel]]),
        "o - mean": sums.flushed(np.array([o - mean])),
    }
    terms = table(factors, {}, beside)
    start = place.parameter("bias")[channel]
    running = sums.chain(terms["scale"], terms["o - mean"], start)
    return Explanation(
        name=f"x[{index_text(NAMES[len(shape)], found)}] of {place.name}, image {image}",
        source=place.node.layer.source,
        symbol=rf"x^{{{place.latex_name}}}_{subscript(found)}",
        formula=r"b + \frac{w}{\sqrt{\text{variance} + \epsilon}} \, (o - \text{mean})",
        terms=terms,
        factors=("scale", "o - mean"),
        start=("b", start),
        parts=(Part("", 0, 1, running),),
        steps=(),
        total=running[-1],
        value=place.x[(image, *found)],
        remark=f"The scale is w / sqrt(variance + {place.native()['epsilon']}). Mean and variance "
        "are the running ones, which predictions take; in training they are those of the batch.",
    )


def weight_gradient(
    place: Place, k: object, c: object = None, m: object = None, n: object = None
) -> Explanation:
    """Explain dE/dw at [k]: the deltas of channel k, each times its x^."""
    if (c, m, n) != (None, None, None):
        raise invalid("c, m and n", "be left out of a normalisation", f"{c!r}, {m!r}, {n!r}")
    found = check_indices("k", (k,), place.parameter("weight").shape)
    channel = place.o[:, found[0]]
    apart = sums.flushed(channel - place.parameter("running_mean")[found])
    standard = sums.flushed(apart * _inverse(place)[found])
    return gradient(
        place,
        {"delta": place.delta[:, found[0]], "x^": standard},
        name=f"dE/dw[k={found[0]}] of {place.name}",
        symbol=rf"\frac{{\partial E}}{{\partial w^{{{place.latex_name}}}_{subscript(found)}}}",
        formula=r"\sum_{\text{image}} \sum_{i} \sum_{j} \delta_{k,i,j} \, \hat{x}_{k,i,j}",
        value=place.gradient("weight")[found],
    )


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the delta of one value: the scale of its output's."""
    shape = place.o.shape[1:]
    found = check_indices("cij", (c, i, j), shape)
    factors = {
        "scale": np.array([scales(place)[found[0]]]),
        "delta": np.array([place.delta[(image, *found)]]),
    }
    total = sums.flushed(factors["scale"] * factors["delta"])[0]
    whose = place.source_name
    return Explanation(
        name=f"delta[{index_text(NAMES[len(shape)], found)}] of {whose}, image {image}, "
        f"through {place.name}",
        source=place.node.layer.source,
        symbol=rf"\delta^{{{latex_text(whose)}}}_{subscript(found)}",
        formula=r"\frac{w}{\sqrt{\text{variance} + \epsilon}} \, \delta",
        terms=table(factors, {}),
        factors=("scale", "delta"),
        start=("", zero_like(total)),
        parts=(),
        steps=(),
        total=total,
        value=place.sent((image, *found), total),
        remark="By the running statistics, which do not depend on this value.",
    )


def scales(place: Place) -> Array:
    """Return w / sqrt(variance + epsilon) of each channel."""
    scaled: Array = (place.parameter("weight") * _root(place)).astype(place.o.dtype)
    return scaled


def _inverse(place: Place) -> Array:
    inverse: Array = _root(place).astype(place.o.dtype)
    return inverse


def _root(place: Place) -> Array:
    variance = place.parameter("running_var").astype(np.float64)
    root: Array = 1 / np.sqrt(variance + place.native()["epsilon"])
    return root
