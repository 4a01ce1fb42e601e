"""Layers that treat every value alone: activations (Eq. 8 and 18), Flatten, Dropout."""

from __future__ import annotations

import numpy as np

from convprop.equations.activations import ACTIVATIONS
from convprop.explain import sums
from convprop.explain.explanation import Explanation
from convprop.explain.factor import applied, slope
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


def output(place: Place, image: int, k: object, i: object, j: object) -> Explanation:
    """Explain one value: f of the value before it, or that value itself."""
    shape = place.x.shape[1:]
    found = check_indices("kij", (k, i, j), shape)
    value = place.x[(image, *found)]
    before = place.o[image].reshape(-1)[np.ravel_multi_index(found, shape)]
    layer = place.node.layer
    bends = layer.family == "activation"
    indices = np.unravel_index(np.ravel_multi_index(found, shape), place.o.shape[1:])
    names = NAMES[len(indices)]
    letter = "x" if bends else "o"
    return Explanation(
        name=f"o[{index_text(NAMES[len(shape)], found)}] of {place.name}, image {image}",
        source="Eq. 8" if bends else type(layer).__name__,
        symbol=rf"o^{{{place.latex_name}}}_{subscript(found)}",
        formula=f"f({letter}), \\quad f(x) = {_latex(place)}" if bends else letter,
        terms=table(
            {letter: np.array([before])},
            {name: np.array([at]) for name, at in zip(names, indices, strict=True)},
        ),
        factors=(letter,),
        start=("", zero_like(value)),
        parts=(),
        steps=(),
        total=applied(place, before) if bends else before,
        value=value,
        remark="" if bends else _REMARKS[layer.kind],
        brackets=("f(", "", ")") if bends else ("", "", ""),
    )


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the delta of one value: the next one's delta, times f' where there is an f."""
    shape = place.o.shape[1:]
    found = check_indices("cij", (c, i, j), shape)
    indices = np.unravel_index(np.ravel_multi_index(found, shape), place.x.shape[1:])
    error = place.delta[(image, *indices)]
    names = NAMES[len(indices)]
    index = {name: np.array([at]) for name, at in zip(names, indices, strict=True)}
    factors = {"delta": np.array([error])}
    total = error
    layer = place.node.layer
    bends = layer.family == "activation"
    if bends:
        derivative = slope(place, (image, *found))
        factors["f'"] = np.array([derivative])
        total = sums.flushed(error * derivative)[()]
    whose = place.source_name
    return Explanation(
        name=f"delta[{index_text(NAMES[len(shape)], found)}] of {whose}, image {image}, "
        f"through {place.name}",
        source="Eq. 18" if bends else type(layer).__name__,
        symbol=rf"\delta^{{{latex_text(whose)}}}_{subscript(found)}",
        formula=r"\delta \, f'(x)" if bends else r"\delta",
        terms=table(factors, index),
        factors=tuple(factors),
        start=("", zero_like(error)),
        parts=(),
        steps=(),
        total=total,
        value=place.sent((image, *found), total),
        remark="" if bends else _REMARKS[layer.kind],
    )


def _latex(place: Place) -> str:
    """Return f(x) of an activation."""
    return ACTIVATIONS[place.native()["activation"]].latex


_REMARKS = {
    "flatten": "Flatten puts the values in one row; it changes none.",
    "dropout": "Outside of training, Dropout lets every value through as it is.",
}
