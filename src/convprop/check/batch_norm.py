"""How far rounding may take the numbers of a batch normalisation.

All of them come from sums over a channel's pixels in all images, whose terms are of both signs: the
sum of their absolute values, times the roundings of so many terms, is what a sum may be off by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convprop import equations as eq
from convprop.check.rows import Array

# Of what is made of the sums: differences, products and a root.
STEPS = 16


def sizes(
    layer: Mapping[str, Any],
    o: Array,
    delta: Array,
    parameters: Mapping[str, Array],
    roundings: Callable[[int], float] = lambda _: 1.0,
) -> dict[str, Array]:
    """Return the sums of absolute values by "forward", "input_delta", "weight" and "bias"."""
    weight, bias = np.abs(parameters["weight"]), np.abs(parameters["bias"])
    zero, one, axes = np.zeros_like(weight), np.ones_like(weight), (0, *range(2, o.ndim))
    standard, sent, sums = [], [], [zero, zero]
    errors = np.abs(delta)
    for part, (mean, variance) in eq.network.normalised_parts(layer, o, parameters):
        error, errors = errors[: len(part)], errors[len(part) :]
        x = np.abs(eq.batch_norm.standardised(part, mean, variance, layer["epsilon"]))
        means = [terms.mean(axis=axes, keepdims=True) for terms in (error, error * x)]
        back = error if layer["statistics"] == "running" else error + means[0] + x * means[1]
        options = weight, zero, variance, layer["epsilon"]
        sent.append(eq.batch_norm.batch_norm_delta(back, part, *options))
        sums = [sums[0] + (error * x).sum(axis=axes), sums[1] + error.sum(axis=axes)]
        standard.append(x)
    found = {
        "forward": eq.batch_norm.batch_norm(np.concatenate(standard), weight, bias, zero, one, 0.0),
        "input_delta": np.concatenate(sent),
        "weight": sums[0],
        "bias": sums[1],
    }
    times = roundings(o.size // o.shape[1] + STEPS)
    return {name: times * size for name, size in found.items()}
