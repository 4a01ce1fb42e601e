"""Normalisations by an image's own numbers: outputs, weight and bias gradients, input deltas.

An output is w x^ + b. Gradients run over a map's rows, each a chain, which are added downwards, and
then over the images as those of a convolution. The three terms of a delta are one chain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop import ops
from convprop.errors import invalid
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

Array = NDArray[Any]


def output(place: Place, image: int, k: object, i: object, j: object) -> Explanation:
    """Explain one value: from the mean and the variance x^, and of that w x^ + b."""
    shape = place.x.shape[1:]
    found = check_indices("kij", (k, i, j), shape)
    standard = _standard(place, image)[found]
    together = place.o[image][_together(place, found)].astype(np.float64)
    beside = {
        "o": np.array([place.o[(image, *found)]]),
        "mean": np.array([together.mean()]),
        "variance": np.array([together.var()]),
    }
    affine = place.has("weight")
    factors = {"w": np.array([_weight(place, found[0])])} if affine else {}
    terms = table(factors | {"x^": np.array([standard])}, {}, beside)
    start = place.parameter("bias")[found[0]] if affine else zero_like(standard)
    running = sums.chain(terms["w"], terms["x^"], start) if affine else np.array([standard])
    epsilon = place.native()["epsilon"]
    return Explanation(
        name=f"x[{index_text(NAMES[len(shape)], found)}] of {place.name}, image {image}",
        source=place.node.layer.source,
        symbol=rf"x^{{{place.latex_name}}}_{subscript(found)}",
        formula=(r"b + w \, \hat{x}" if affine else r"\hat{x}")
        + r", \quad \hat{x} = \frac{o - \text{mean}}{\sqrt{\text{variance} + \epsilon}}",
        terms=terms,
        factors=(*factors, "x^"),
        start=("b" if affine else "", start),
        parts=(Part("", 0, 1, running),),
        steps=(),
        total=running[-1],
        value=place.x[(image, *found)],
        remark=f"x^ is (o - mean) / sqrt(variance + {epsilon}); mean and variance are those of "
        f"{_whose(place, found)}, {together.size} numbers.",
    )


def weight_gradient(
    place: Place, k: object, c: object = None, m: object = None, n: object = None
) -> Explanation:
    """Explain dE/dw at [k]: the deltas of channel k, each times its x^."""
    if (c, m, n) != (None, None, None):
        raise invalid("c, m and n", "be left out of a normalisation", f"{c!r}, {m!r}, {n!r}")
    found = check_indices("k", (k,), place.parameter("weight").shape)
    standard = np.stack([_standard(place, image)[found] for image in range(len(place.o))])
    return gradient(
        place,
        {"delta": place.delta[:, found[0]], "x^": standard},
        name=f"dE/dw[k={found[0]}] of {place.name}",
        symbol=rf"\frac{{\partial E}}{{\partial w^{{{place.latex_name}}}_{subscript(found)}}}",
        formula=r"\sum_{\text{image}} \sum_{i} \sum_{j} \delta_{k,i,j} \, \hat{x}_{k,i,j}",
        value=place.gradient("weight")[found],
    )


def bias_gradient(place: Place, k: object) -> Explanation:
    """Explain dE/db at [k]: the sum of the deltas of channel k."""
    found = check_indices("k", (k,), place.parameter("bias").shape)
    return gradient(
        place,
        {"delta": place.delta[:, found[0]]},
        name=f"dE/db[k={found[0]}] of {place.name}",
        symbol=rf"\frac{{\partial E}}{{\partial b^{{{place.latex_name}}}_{subscript(found)}}}",
        formula=r"\sum_{\text{image}} \sum_{i} \sum_{j} \delta_{k,i,j}",
        value=place.gradient("bias")[found],
    )


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the delta of one value: by its own output, and by the mean and the variance."""
    shape = place.o.shape[1:]
    found = check_indices("cij", (c, i, j), shape)
    standard = _standard(place, image)[found]
    mean, along = _means(place, image, found)
    weight, error = _weight(place, found[0]), place.delta[(image, *found)]
    a, b = np.array([-np.ones_like(weight), weight, -along]), np.array([mean, error, standard])
    terms = table({"a": a, "b": b}, {})
    running = sums.chain(terms["a"], terms["b"])
    scale = _scale(place, image, found)
    total = sums.flushed(running[-1] * scale)[()]
    whose = place.source_name
    return Explanation(
        name=f"delta[{index_text(NAMES[len(shape)], found)}] of {whose}, image {image}, "
        f"through {place.name}",
        source=place.node.layer.source,
        symbol=rf"\delta^{{{latex_text(whose)}}}_{subscript(found)}",
        formula=r"\frac{-\overline{g} + w \, \delta - \overline{g \hat{x}} \, \hat{x}}"
        r"{\sqrt{\text{variance} + \epsilon}}, \quad g = w \, \delta",
        terms=terms,
        factors=("a", "b"),
        start=("", zero_like(error)),
        parts=(Part("", 0, len(terms), running),),
        steps=(
            Step(
                f"times 1 / sqrt(variance + epsilon) = {scale!s}",
                rf"\Bigl( % \Bigr) \cdot {power(scale)}",
                total,
            ),
        ),
        total=total,
        value=place.sent((image, *found), total),
        remark="The terms are -1 times the mean of g = w delta, w times delta, and minus the mean "
        f"of g x^ times x^. The means are those of {_whose(place, found)}.",
    )


def _settings(place: Place) -> dict[str, Any]:
    native = place.native()
    return {"groups": native.get("groups"), "epsilon": native["epsilon"]}


def _standard(place: Place, image: int) -> Array:
    """Return x^ of an image."""
    standard: Array = ops.image_norm.forward(place.o[image : image + 1], **_settings(place))[0]
    return standard


def _scale(place: Place, image: int, found: tuple[int, ...]) -> Any:
    """Return 1 / sqrt(variance + epsilon) for a value."""
    scales = ops.image_norm.scales(place.o[image : image + 1], **_settings(place))[0]
    groups = place.native().get("groups")
    return scales[found[1:] if groups is None else found[0] // (place.o.shape[1] // groups)]


def _together(place: Place, found: tuple[int, ...]) -> tuple[Any, ...]:
    """Return the index, in an image, of what is normalised together with a value."""
    groups = place.native().get("groups")
    if groups is None:
        return slice(None), *found[1:]
    each = place.o.shape[1] // groups
    first = found[0] // each * each
    return (slice(first, first + each),)


def _whose(place: Place, found: tuple[int, ...]) -> str:
    channels = range(*_together(place, found)[0].indices(place.o.shape[1]))
    several = len(channels) > 1
    named = f"channels {channels[0]} to {channels[-1]}" if several else f"channel {channels[0]}"
    return named if "groups" in place.native() else f"{named} of the pixel"


def _weight(place: Place, channel: int) -> Any:
    return place.parameter("weight")[channel] if place.has("weight") else place.o.dtype.type(1)


def _means(place: Place, image: int, found: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the means of g and of g x^, as the engine has them."""
    dtype, at = place.o.dtype.type, _together(place, found)
    ones = np.ones(place.o.shape[1], dtype)
    weights = (place.parameter("weight") if place.has("weight") else ones)[at[0]]
    if "groups" not in place.native():
        g = sums.flushed(weights * place.delta[image][at])
        both = sums.chain(g)[-1], sums.chain(g, _standard(place, image)[at])[-1]
        means = sums.flushed(np.array(both) * (dtype(1) / dtype(len(g))))
        return means[0], means[1]
    own = slice(image, image + 1)
    wide, part = weights.astype(np.float64), 1.0 / place.o[image][at].size
    products = []
    # The gradients of one image alone are the sums of its maps.
    for gradient in (ops.image_norm.bias_gradient, ops.image_norm.weight_gradient):
        of_maps = gradient(place.o[own], place.delta[own], **_settings(place))[at[0]]
        products.append(sums.chain(wide, of_maps.astype(np.float64))[-1])
    means = sums.flushed((np.array(products) * part).astype(dtype))
    return means[0], means[1]


def gradient(place: Place, factors: dict[str, Array], **described: Any) -> Explanation:
    """Add up each row's terms, the rows of each image, and then the images as training does."""
    shape = place.o.shape[:1] + (place.o.shape[2:] or (1, 1))
    images, i, j = np.indices(shape).reshape(3, -1)
    terms = table(
        {name: values.reshape(-1) for name, values in factors.items()},
        {"image": images, "i": i, "j": j},
    )
    count, rows, columns = shape
    a = terms["delta"].reshape(-1, columns)
    b = terms["x^"].reshape(-1, columns) if "x^" in factors else np.ones_like(a)
    zero = zero_like(a)
    running = sums.running_sums(np.full(len(a), zero), a, b)
    ends = running[:, -1].reshape(count, rows)
    of_images = sums.running_sums(np.full(count, zero), ends, np.ones_like(ends))[:, -1]
    blocks, groups, total = sums.over_images(of_images)
    steps = []
    if rows > 1:
        steps.append(Step("the rows of each image, added downwards", "%", of_images[0]))
    if count > 1:
        steps.append(Step("the images of each block of 16, added by halves", "%", blocks[0]))
    if len(blocks) > 1:
        steps.append(Step(f"{len(blocks)} blocks, in {len(groups)} groups, by a tree", "%", total))
    parts = (
        Part(f"image {n // rows}, row {n % rows}", n * columns, (n + 1) * columns, running[n])
        for n in range(len(a))
    )
    return Explanation(
        source=place.node.layer.source,
        terms=terms,
        factors=tuple(factors),
        start=("", zero),
        parts=tuple(parts),
        steps=tuple(steps),
        total=total + 0,
        **described,
    )
