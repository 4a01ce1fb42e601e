"""The products of a dense layer: outputs, weight and bias gradients, input deltas.

It is Eq. 7 with a window as large as the input: the features f in C, H, W order take the place
of c, m and n. Gradients run over the images of a group in order, deltas over the outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.errors import invalid
from convprop.explain import sums
from convprop.explain.explanation import Explanation, Part, Step
from convprop.explain.factor import with_factor
from convprop.explain.place import Place, check_indices, subscript, zero_like
from convprop.explain.tables import table

Array = NDArray[Any]


def output(place: Place, image: int, k: object, i: object = None, j: object = None) -> Explanation:
    """Explain output k: the bias and every feature times its weight."""
    _require_none("i and j", i, j)
    weight = place.parameter("weight")
    (kernel,) = found = check_indices("k", (k,), weight.shape[:1])
    features = np.arange(weight.shape[1])
    terms = table({"w": weight[kernel], "o": place.o[image].reshape(-1)}, {"f": features})
    start = place.parameter("bias")[kernel] if place.has("bias") else zero_like(weight)
    running = sums.chain(terms["w"], terms["o"], start)
    return Explanation(
        name=f"x[k={kernel}] of {place.name}, image {image}",
        source="Eq. 7 with a window of the input's size",
        symbol=rf"x^{{{place.latex_name}}}_{subscript(found)}",
        formula=("b_k + " if place.has("bias") else "") + r"\sum_{f} w_{k,f} \, o_{f}",
        terms=terms,
        factors=("w", "o"),
        start=("b" if place.has("bias") else "", start),
        parts=(Part("", 0, len(terms), running),),
        steps=(),
        total=running[-1] + 0,
        value=place.x[image, kernel],
    )


def weight_gradient(
    place: Place, k: object, f: object, m: object = None, n: object = None
) -> Explanation:
    """Explain dE/dw at [k, f]: the images' deltas times the feature."""
    _require_none("m and n", m, n)
    weight = place.parameter("weight")
    found = check_indices("kc", (k, f), weight.shape)
    o = place.o.reshape(len(place.o), -1)
    return _gradient(
        place,
        {"delta": place.delta[:, found[0]], "o": o[:, found[1]]},
        name=f"dE/dw[k={found[0]}, f={found[1]}] of {place.name}",
        source="Eq. 13 with a window of the input's size",
        symbol=rf"\frac{{\partial E}}{{\partial w^{{{place.latex_name}}}_{subscript(found)}}}",
        formula=r"\sum_{\text{image}} \delta_{k} \, o_{f}",
        value=place.gradient("weight")[found],
    )


def bias_gradient(place: Place, k: object) -> Explanation:
    """Explain dE/db at [k]: the sum of the images' deltas."""
    found = check_indices("k", (k,), place.parameter("bias").shape)
    return _gradient(
        place,
        {"delta": place.delta[:, found[0]]},
        name=f"dE/db[k={found[0]}] of {place.name}",
        source="Eq. 10, with the bias in the weight's place",
        symbol=rf"\frac{{\partial E}}{{\partial b^{{{place.latex_name}}}_{subscript(found)}}}",
        formula=r"\sum_{\text{image}} \delta_{k}",
        value=place.gradient("bias")[found],
    )


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the delta of an input: every output's delta times the weight between them."""
    shape = place.o.shape[1:]
    found = check_indices("cij", (c, i, j), shape)
    feature = int(np.ravel_multi_index(found, shape))
    weight = place.parameter("weight")
    k = np.arange(len(weight))
    terms = table({"delta": place.delta[image], "w": weight[:, feature]}, {"k": k})
    running = sums.chain(terms["delta"], terms["w"])
    return with_factor(
        place,
        image,
        found,
        names="cij" if len(shape) == 3 else "f",
        source=("Eq. 16 with a window of the input's size", "Eq. 20"),
        formula=r"\sum_{k} \delta_{k} \, w_{k,f}",
        terms=terms,
        factors=("delta", "w"),
        parts=(Part("", 0, len(terms), running),),
        total=running[-1] + 0,
    )


def _require_none(names: str, first: object, second: object) -> None:
    if first is not None or second is not None:
        raise invalid(names, "be left out of a Dense", f"{first!r}, {second!r}")


def _gradient(place: Place, factors: dict[str, Array], **described: Any) -> Explanation:
    """Add up the images of each group in order, and then the groups."""
    terms = table(factors, {"image": np.arange(len(place.x))})
    bounds = sums.groups_of(len(terms))
    running = [sums.chain(*(terms[name][a:b] for name in factors)) for a, b in bounds]
    total = sums.tree(np.array([chain[-1] for chain in running]))
    parts = tuple(
        Part("" if len(bounds) == 1 else f"images {first} to {last - 1}", first, last, chain)
        for (first, last), chain in zip(bounds, running, strict=True)
    )
    several = len(bounds) > 1
    steps = (Step(f"{len(bounds)} groups of images, by a tree", "%", total),) if several else ()
    return Explanation(
        terms=terms,
        factors=tuple(factors),
        start=("", zero_like(place.x)),
        parts=parts,
        steps=steps,
        total=total + 0,
        **described,
    )
