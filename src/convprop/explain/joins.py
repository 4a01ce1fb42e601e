"""Joins of branches: what several layers give becomes one value, and what goes back to each.

A value that several layers read has the sum of the deltas that these send.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convprop.explain import sums
from convprop.explain.explanation import Explanation, Part
from convprop.explain.place import (
    NAMES,
    Place,
    check_index,
    check_indices,
    index_text,
    latex_text,
    subscript,
    zero_like,
)
from convprop.explain.tables import table
from convprop.layers import Shape
from convprop.shown import shortened


def output(place: Place, image: int, k: object, i: object, j: object) -> Explanation:
    """Explain one value: of an Add the sum, of a Multiply the product, of a Concat its own one."""
    shape = place.x.shape[1:]
    found = check_indices("kij", (k, i, j), shape)
    inputs = place.done.layers[place.index].inputs
    described: dict[str, Any] = {
        "name": f"o[{index_text(NAMES[len(shape)], found)}] of {place.name}, image {image}",
        "source": place.node.layer.source,
        "symbol": rf"o^{{{place.latex_name}}}_{subscript(found)}",
        "value": place.x[(image, *found)],
        "steps": (),
    }
    match place.node.layer.family:
        case "add":
            values = np.array([o[(image, *found)] for o in inputs])
            terms = table({"o": values}, {"reads": np.arange(len(inputs))})
            running = sums.chain(values)
            return Explanation(
                formula=r"\sum_{\text{branch}} o",
                terms=terms,
                factors=("o",),
                start=("", zero_like(values)),
                parts=(Part("", 0, len(terms), running),),
                total=running[-1] + 0,
                **described,
            )
        case "multiply":
            a, b = (np.broadcast_to(o[image], shape)[found] for o in inputs)
            terms = table({"a": np.array([a]), "b": np.array([b])}, {})
            running = sums.chain(terms["a"], terms["b"])
            return Explanation(
                formula=r"a \cdot b",
                terms=terms,
                factors=("a", "b"),
                start=("", zero_like(a)),
                parts=(Part("", 0, 1, running),),
                total=running[-1],
                **described,
            )
        case _:
            read, channel = _own(place, found[0])
            value = inputs[read][(image, channel, *found[1:])]
            whose = place.net.graph.value_name(place.node.reads[read])
            indices = {"reads": np.array([read]), "channel": np.array([channel])}
            return Explanation(
                formula="o",
                terms=table({"o": np.array([value])}, indices),
                factors=("o",),
                start=("", zero_like(value)),
                parts=(),
                total=value,
                remark=f"It is channel {channel} of {whose}.",
                **described,
            )


def _own(place: Place, channel: int) -> tuple[int, int]:
    """Return which value a Concat's channel is of, and its number there."""
    read = 0
    while channel >= place.node.inputs[read][0]:
        channel -= place.node.inputs[read][0]
        read += 1
    return read, channel


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain what a join sends back to one value that it reads."""
    shape = place.o.shape[1:]
    found = check_indices("cij", (c, i, j), shape)
    inputs = place.done.layers[place.index].inputs
    at, errors = (image, *found), place.delta
    match place.node.layer.family:
        case "add":
            factors = {"delta": np.array([errors[at]])}
            formula = r"\delta"
        case "multiply":
            other = inputs[1 - place.read]
            if shape == place.x.shape[1:]:
                factor = np.broadcast_to(other[image], shape)[found]
                factors = {"delta": np.array([errors[at]]), "o": np.array([factor])}
            else:
                maps = (image, found[0])
                factors = {"delta": errors[maps].reshape(-1), "o": other[maps].reshape(-1)}
            formula = r"\sum \delta \, o"
        case _:
            first = sum(size[0] for size in place.node.inputs[: place.read])
            factors = {"delta": np.array([errors[(image, first + found[0], *found[1:])]])}
            formula = r"\delta"
    terms = table(factors, _pixels(found, place.x.shape[1:], len(factors["delta"])))
    running = sums.chain(*(terms[name] for name in factors))
    total = running[-1] if len(factors) > 1 else factors["delta"][0]
    return Explanation(
        name=f"delta[{index_text(NAMES[len(shape)], found)}] of {place.source_name}, "
        f"image {image}, through {place.name}",
        source=place.node.layer.source,
        symbol=rf"\delta^{{{latex_text(place.source_name)}}}_{subscript(found)}",
        formula=formula,
        terms=terms,
        factors=tuple(factors),
        start=("", zero_like(total)),
        parts=(Part("", 0, len(terms), running),),
        steps=(),
        total=total,
        value=place.sent(at, total),
    )


def _pixels(found: tuple[int, ...], shape: Shape, count: int) -> dict[str, Any]:
    """Return where the deltas of an output of that shape are: at a value's own pixel, or at all."""
    if len(shape) < 3:
        return {"term": np.arange(count)}
    rows, columns = (np.full(count, at) for at in found[1:])
    if count > 1:
        rows, columns = (at.reshape(-1) for at in np.indices(shape[1:]))
    return {"i": rows, "j": columns}


def received(
    sent: dict[str, Explanation], name: str, value: Any, found: tuple[int, ...]
) -> Explanation:
    """Explain a value's delta by what each layer that reads it sends, the last one first."""
    parts = np.array([one.total for one in sent.values()])
    numbered = ", ".join(f"{number} is {reader}" for number, reader in enumerate(sent))
    running = sums.chain(parts)
    several = len(parts) > 1
    return Explanation(
        name=name,
        source="Eq. 15, summed over all that read the value",
        symbol=rf"\delta_{subscript(found)}",
        formula=r"\sum_{\text{readers}} \delta",
        terms=table({"sent": parts}, {"reader": np.arange(len(parts))}),
        factors=("sent",),
        start=("", zero_like(parts)),
        parts=(Part("", 0, len(parts), running),),
        steps=(),
        total=running[-1] + 0 if several else parts[0],
        value=value,
        remark=f"Of the readers {numbered}.",
    )


def read_of(place: Place, of: object) -> int:
    """Return which of the values that a join reads is meant: by its name, or its number."""
    names = [place.net.graph.value_name(value) for value in place.node.reads]
    if isinstance(of, str) and of in names:
        return names.index(of)
    return check_index(f"of ({shortened(', '.join(names))})", of, len(names))
