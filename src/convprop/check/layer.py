"""One layer of the engine against the equations, with a bound that rounding explains.

Float64 must agree to 1e-12. In float32 a sum of T products, in any order and with or without
fma, is off by at most T u times the sum of the products' absolute values, u = 2^-24 being half a
unit in the last place (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
section 3.1), and by more than LUCK sqrt(T) u of it with a probability below 1e-7 T, since
roundings go both ways (Higham and Mary, "A new approach to probabilistic rounding error
analysis", 2019). The sum of absolute values is the same equation with absolute values in it, so
nothing is guessed: the bound is min(T, LUCK sqrt(T)) u max(equation of absolute values) /
max|equation|. The engine's exp, log and tanh are within 5 units of the last place, and what is
built from them within FUNCTION_TERMS u.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from convprop import equations as eq
from convprop.check.rows import Array, Row, difference, ratio

DOUBLE_BOUND = 1e-12
UNIT = 2.0**-24
LUCK = 6
FUNCTION_TERMS = 16
# The largest f' of all activations is the scaled tanh's, 1.7159 * 2/3.
LARGEST_SLOPE = 1.1440


@dataclass(frozen=True)
class LayerRun:
    """What the engine made of a layer: its arrays forward and back, in its own dtype.

    w, b and their gradients are None where the layer has none.
    """

    layer: dict[str, Any]
    o: Array
    x: Array
    delta: Array
    input_delta: Array
    w: Array | None = None
    b: Array | None = None
    weight_gradient: Array | None = None
    bias_gradient: Array | None = None


def check_layer(group: str, run: LayerRun, name: str) -> Iterator[Row]:
    """Yield the rows of a layer: output, input delta, and gradients where it has any."""
    network = eq.network
    layer, o, delta = run.layer, _double(run.o), _double(run.delta).reshape(run.x.shape)
    w = None if run.w is None else _double(run.w)
    b = None if run.b is None else _double(run.b)
    sizes = layer | {"padding_value": abs(layer.get("padding_value", 0.0))}
    big_w, big_b = (None if a is None else np.abs(a) for a in (w, b))
    big_o, big_delta = np.abs(o), np.abs(delta)
    terms = _terms(run)

    def row(part: str, got: Array, right: Array, largest: Array) -> Row:
        bound = DOUBLE_BOUND
        if run.x.dtype == np.float32:
            roundings = min(terms[part], LUCK * math.sqrt(terms[part]))
            bound = roundings * UNIT * ratio(float(largest.max()), float(np.abs(right).max()))
        return Row(group, f"{name}: {part}", difference(got, right), bound)

    right = network.layer_forward(layer, o, w, b)
    largest = np.abs(right) if w is None else network.layer_forward(sizes, big_o, big_w, big_b)
    if layer["kind"] == "pool" and layer["pool"] == "average":
        largest = network.layer_forward(layer, big_o, None, None)
    yield row("forward", run.x, right, largest)

    back = network.layer_input_delta(layer, o, w, delta)
    if layer["kind"] == "activation":
        largest = LARGEST_SLOPE * big_delta
    elif layer.get("pool") == "max":
        largest = network.layer_input_delta(layer, o, None, big_delta)
    else:
        largest = network.layer_input_delta(layer, big_o, big_w, big_delta)
    yield row("input_delta", run.input_delta, back, largest)

    if run.weight_gradient is None:
        return
    gradients = network.layer_gradients(layer, o, delta, bias=True)
    largests = network.layer_gradients(sizes, big_o, big_delta, bias=True)
    found = run.weight_gradient, run.bias_gradient
    for part, got, sums, sizes_of_sums in zip(
        ("weight_gradient", "bias_gradient"), found, gradients, largests, strict=True
    ):
        if got is not None and sums is not None and sizes_of_sums is not None:
            yield row(part, got, sums, sizes_of_sums)


def _terms(run: LayerRun) -> dict[str, int]:
    """Return how many roundings each sum has, by the part of the run."""
    layer = run.layer
    if run.w is not None:
        pixels = run.delta.size // run.delta.shape[1] if run.delta.ndim > 1 else 1
        each = run.w.size // len(run.w)
        into = len(run.w) // layer.get("groups", 1) * int(np.prod(run.w.shape[2:]))
        return {
            "forward": each + 1,
            "input_delta": into,
            "weight_gradient": pixels,
            "bias_gradient": pixels,
        }
    if layer["kind"] == "activation":
        return {"forward": FUNCTION_TERMS, "input_delta": FUNCTION_TERMS}
    if layer["kind"] == "pool":
        block = layer["size"][0] * layer["size"][1]
        if layer["pool"] == "max":
            return {"forward": 0, "input_delta": block}
        # The norm's own roundings, the division and the product come on top of the sum.
        return {"forward": block + 2, "input_delta": 2 * block + 4}
    return {"forward": 0, "input_delta": 0}


def _double(a: Array) -> Array:
    return a.astype(np.float64)
