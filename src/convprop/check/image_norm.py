"""How large the roundings of a normalisation by an image's own numbers may be.

A sum of terms about one of the n numbers, c, is off by gamma times the sum of their absolute
values, where gamma stands for the roundings of check/layer.py. So the mean is off by
gamma mean |o - c|, and the variance by 3 gamma mean (o - c)^2, two parts of the three through the
square of the mean. Let z be the largest |x^| of the numbers that are normalised together, and
sigma = sqrt(variance + epsilon): |c - mean| is at most z sigma, and these are at most
gamma (1 + z) sigma and 3 gamma (1 + z^2) sigma^2. Of 1 / sigma that is a part of
P = 1.5 (1 + z^2) gamma, and x^ is off by X = (1 + z + P |x^|) gamma.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convprop import equations as eq
from convprop.check.rows import Array

KINDS = ("group_norm", "layer_norm")

# Roundings of single numbers: of x^, and of what is made of it.
SINGLE = 8


def sizes(
    layer: Mapping[str, Any],
    o: Array,
    delta: Array,
    parameters: Mapping[str, Array],
    gamma: Callable[[int], float],
) -> dict[str, Array]:
    """Return how many units in the last place each number of each part may be off.

    Parts are "forward", "input_delta", "weight" and "bias"; gamma gives the roundings of a sum.
    """
    standard = np.abs(eq.network.layer_forward(layer, [o], {}))
    w = np.abs(_of_channels(parameters, "weight", o, 1.0))
    b = np.abs(_of_channels(parameters, "bias", o, 0.0))
    rows, columns = o.shape[2:] if o.ndim == 4 else (1, 1)
    own = gamma(columns if "groups" in layer else o.shape[1])
    of_maps = gamma(rows + columns if "groups" in layer else o.shape[1])
    pixels = gamma(o.size // o.shape[1])
    z = _over_sets(layer, standard, np.max)
    part = own * 1.5 * (1 + z * z)
    off = own * (1 + z) + part * standard
    g = w * np.abs(delta)
    mean, along = (_over_sets(layer, values, np.mean) for values in (g, g * standard))
    # The three terms of a delta by the scale, by x^, and by the sums in them.
    terms = g + mean + standard * along
    through = _over_sets(layer, g * off, np.mean) * standard + along * off
    summed = of_maps * (mean + standard * along)
    sums, errors = eq.image_norm.channel_sums, np.abs(delta)
    return {
        "forward": w * (off + SINGLE * standard) + b,
        "input_delta": _scale(layer, o) * ((part + SINGLE) * terms + through + summed),
        "weight": sums(errors * (off + (pixels + SINGLE) * standard)),
        "bias": pixels * sums(errors),
    }


def _of_channels(parameters: Mapping[str, Array], part: str, o: Array, without: float) -> Array:
    values = parameters.get(part, np.full(o.shape[1], without))
    return eq.image_norm.by_channel(values, o)


def _over_sets(layer: Mapping[str, Any], values: Array, what: Any) -> Array:
    """Return what(values) of the numbers that are normalised together, in the place of each."""
    if "groups" not in layer:
        return np.broadcast_to(what(values, axis=1, keepdims=True), values.shape)
    rows = values.reshape(len(values) * layer["groups"], -1)
    found: Array = np.broadcast_to(what(rows, axis=1, keepdims=True), rows.shape)
    return found.reshape(values.shape)


def _scale(layer: Mapping[str, Any], o: Array) -> Array:
    """Return 1 / sqrt(variance + epsilon) in the place of each number."""
    apart = o - _over_sets(layer, o, np.mean)
    scale: Array = 1 / np.sqrt(_over_sets(layer, apart * apart, np.mean) + layer["epsilon"])
    return scale
