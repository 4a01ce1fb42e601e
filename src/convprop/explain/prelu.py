"""The ReLU with a learned slope: a value or delta times 1 or the slope; the slope's gradient."""

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
from convprop.explain.tables import table

Array = NDArray[Any]


def output(place: Place, image: int, k: object, i: object, j: object) -> Explanation:
    """Explain one value: the one before it, below 0 times the slope."""
    found = check_indices("kij", (k, i, j), place.x.shape[1:])
    at = (image, *found)
    return _times(
        {"o": place.o[at], "a": _factor(place, at)},
        found,
        name=f"o[{index_text(NAMES[len(found)], found)}] of {place.name}, image {image}",
        source="He et al. 2015, Eq. 1",
        symbol=rf"o^{{{place.latex_name}}}_{subscript(found)}",
        formula=r"\max(0, o) + a \min(0, o)",
        value=place.x[at],
    )


def delta(place: Place, image: int, c: object, i: object, j: object) -> Explanation:
    """Explain the delta of one value: the next one's, below 0 times the slope."""
    found = check_indices("cij", (c, i, j), place.o.shape[1:])
    at, whose = (image, *found), place.source_name
    factor = _factor(place, at)
    return _times(
        {"delta": place.delta[at], "a": factor},
        found,
        name=f"delta[{index_text(NAMES[len(found)], found)}] of {whose}, image {image}, "
        f"through {place.name}",
        source="Eq. 18",
        symbol=rf"\delta^{{{latex_text(whose)}}}_{subscript(found)}",
        formula=r"\delta \, f'(x)",
        value=place.sent(at, _product(place.delta[at], factor)),
    )


def weight_gradient(place: Place, k: object) -> Explanation:
    """Explain dE/da at [k]: the deltas times the values below 0 of a channel, or of all."""
    (number,) = check_indices("k", (k,), place.parameter("slope").shape)
    own = place.native()["by_channel"]
    channels = [number] if own else list(range(place.o.shape[1]))
    images, pixels = len(place.o), place.o[0, 0].size
    deltas, values = (
        np.moveaxis(a.reshape(images, -1, pixels)[:, channels], 1, 0)
        for a in (place.delta, np.minimum(place.o, 0))
    )
    index = dict(
        zip(("channel", "image", "i", "j"), np.indices(_places(place, channels)), strict=False)
    )
    index["channel"] = index["channel"] + channels[0]
    running = sums.running_sums(
        np.zeros(len(channels) * images, values.dtype),
        deltas.reshape(-1, pixels),
        values.reshape(-1, pixels),
    )
    of_channels = [
        sums.over_images(ends)[2] for ends in running[:, -1].reshape(len(channels), images)
    ]
    total = of_channels[0] if own else sums.chain(np.array(of_channels))[-1]
    words = "the images of each channel, as training adds them up"
    steps = [Step(words if own else f"{words}; then the channels", "%", total)]
    return Explanation(
        name=f"dE/da[k={number}] of {place.name}",
        source="He et al. 2015, Eq. 8",
        symbol=rf"\frac{{\partial E}}{{\partial a^{{{place.latex_name}}}_{{{number}}}}}",
        formula=r"\sum_{\text{image}} \sum_{i} \sum_{j} \delta_{k,i,j} \min(0, o_{k,i,j})",
        terms=table(
            {"delta": deltas.reshape(-1), "o": values.reshape(-1)},
            {name: at.reshape(-1) for name, at in index.items()},
        ),
        factors=("delta", "o"),
        start=("", zero_like(values)),
        parts=tuple(
            Part(
                f"image {n % images}" if own else f"channel {n // images} of image {n % images}",
                n * pixels,
                (n + 1) * pixels,
                chain,
            )
            for n, chain in enumerate(running)
        ),
        steps=tuple(steps if len(running) > 1 else ()),
        total=total + 0,
        value=place.gradient("slope")[number],
    )


def _places(place: Place, channels: list[int]) -> tuple[int, ...]:
    """Return how many channels, images, and rows and columns a gradient's terms have."""
    return len(channels), len(place.o), *place.o.shape[2:]


def _factor(place: Place, at: tuple[int, ...]) -> Any:
    """Return 1 or the slope of the value at (image, indices...)."""
    slopes = place.parameter("slope")
    above = place.o[at] > 0
    return slopes.dtype.type(1) if above else slopes[at[1] if len(slopes) > 1 else 0]


def _product(number: Any, factor: Any) -> Any:
    return sums.flushed(number * factor)[()]


def _times(factors: dict[str, Any], found: tuple[int, ...], **described: Any) -> Explanation:
    """Return the explanation of a product of two numbers."""
    indices = {name: np.array([at]) for name, at in zip(NAMES[len(found)], found, strict=True)}
    total = _product(*factors.values())
    return Explanation(
        terms=table({name: np.array([number]) for name, number in factors.items()}, indices),
        factors=tuple(factors),
        start=("", zero_like(total)),
        parts=(),
        steps=(),
        total=total,
        **described,
    )
