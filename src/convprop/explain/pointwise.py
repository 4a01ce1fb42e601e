"""Layers that treat every value alone: activations (Eq. 8 and 18), and what passes values on."""

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
from convprop.layers import Shape


def output(place: Place, image: int, k: object, i: object, j: object) -> Explanation:
    """Explain one value: f of the value before it, or that value itself."""
    shape = place.x.shape[1:]
    found = check_indices("kij", (k, i, j), shape)
    value = place.x[(image, *found)]
    layer = place.node.layer
    bends = layer.family == "activation"
    indices = _indices(place, found, shape, place.o.shape[1:], back=False)
    before = place.o[(image, *indices)]
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
    indices = _indices(place, found, shape, place.x.shape[1:], back=True)
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


def _indices(
    place: Place, found: tuple[int, ...], shape: Shape, other: Shape, back: bool
) -> tuple[int, ...]:
    """Return where a value is on the layer's other side: of an input in its output if ``back``."""
    if place.node.layer.family != "channel_shuffle":
        at = np.unravel_index(np.ravel_multi_index(found, shape), other)
        return tuple(map(int, at))
    channel, *pixel = found
    groups = place.native()["groups"]
    rows = shape[0] // groups if back else groups
    return channel % rows * (shape[0] // rows) + channel // rows, *pixel


_REMARKS = {
    "flatten": "Flatten puts the values in one row; it changes none.",
    "dropout": "Outside of training, Dropout lets every value through as it is.",
    "stochastic_depth": "Outside of training, StochasticDepth lets every image through as it is.",
    "channel_shuffle": "ChannelShuffle puts the channels into another order; it changes no value.",
}
