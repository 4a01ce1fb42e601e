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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convprop import equations as eq
from convprop.check import batch_norm, image_norm
from convprop.check.rows import Array, Row, difference, ratio, slack

DOUBLE_BOUND = 1e-12
UNIT = 2.0**-24
LUCK = 6
FUNCTION_TERMS = 16
# What gives the very numbers that it reads.
PASSING = ("flatten", "dropout", "stochastic_depth", "channel_shuffle")


@dataclass(frozen=True)
class ComputedLayer:
    """What the engine made of a layer: its arrays forward and back, in its own dtype.

    Inputs and their deltas are one for each value that it reads, None where others had a part in
    the delta; parameters and gradients are by name, the latter of what is trained.
    """

    layer: dict[str, Any]
    inputs: Sequence[Array]
    x: Array
    delta: Array
    input_deltas: Sequence[Array | None]
    parameters: Mapping[str, Array] = field(default_factory=dict)
    gradients: Mapping[str, Array] = field(default_factory=dict)


def check_layer(group: str, run: ComputedLayer, name: str) -> Iterator[Row]:
    """Yield the rows of a layer: output, input deltas, and gradients where it has any."""
    network = eq.network
    layer, delta = run.layer, _double(run.delta).reshape(run.x.shape)
    inputs = [_double(o) for o in run.inputs]
    parameters = {part: _double(array) for part, array in run.parameters.items()}
    sizes = layer | {"padding_value": abs(layer.get("padding_value", 0.0))}
    big_inputs, big_delta = [np.abs(o) for o in inputs], np.abs(delta)
    big = {part: np.abs(array) for part, array in parameters.items()}
    terms = _terms(run)
    own = _normalisation(layer)
    sizes_own = own(layer, inputs[0], delta, parameters, _roundings) if own else {}

    def row(part: str, got: Array, right: Array, largest: Array, of: str = "") -> Row:
        size, whole = float(np.abs(right).max()), float(largest.max())
        bound = DOUBLE_BOUND * slack(size, whole)
        if run.x.dtype == np.float32:
            bound = _roundings(terms[part]) * UNIT * ratio(whole, size)
        return Row(group, f"{name}: {part}{of}", difference(got, right), bound)

    right = network.layer_forward(layer, inputs, parameters)
    sums = parameters or len(inputs) > 1
    largest = network.layer_forward(sizes, big_inputs, big) if sums else np.abs(right)
    if layer["kind"] == "prelu":
        largest = np.abs(right)
    if layer["kind"] == "pool":
        largest = network.layer_forward(layer, big_inputs, {})
    if own:
        largest = sizes_own["forward"]
    yield row("forward", run.x, right, largest)

    backs = network.layer_input_deltas(layer, inputs, delta, parameters)
    if layer["kind"] == "activation":
        # f' is found from o, whose rounding is not small beside f' where that is nearly 0.
        (slopes,) = network.layer_input_deltas(layer, inputs, np.ones_like(delta), {})
        bigs: list[Array] = [np.abs(slopes).max(initial=1.0) * big_delta]
    elif layer["kind"] == "softmax":
        # What is taken from a delta may be as large as that, whatever is left.
        mean = (right * big_delta).sum(axis=1, keepdims=True)
        bigs = [right * (big_delta + mean)]
    elif layer["kind"] == "prelu":
        bigs = [np.abs(back) for back in backs]
    elif layer["kind"] == "pool":
        # All that the windows over one unit pass on to it has one sign, where no delta has one.
        bigs = [np.abs(back) for back in network.layer_input_deltas(layer, inputs, big_delta, {})]
    elif own:
        bigs = [sizes_own["input_delta"]]
    elif layer["kind"] == "local_response_norm":
        at = {name: layer[name] for name in ("size", "alpha", "beta", "k")}
        parts = eq.image_norm.local_response_norm_deltas(big_delta, big_inputs[0], **at)
        bigs = [parts[0] - parts[1]]
    else:
        bigs = network.layer_input_deltas(layer, big_inputs, big_delta, big)
    each = zip(run.input_deltas, backs, bigs, strict=True)
    for number, (got, back, largest) in enumerate(each, start=1):
        if got is not None:
            of = f" of input {number}" if len(inputs) > 1 else ""
            yield row("input_delta", got, back, largest, of)

    gradients = network.layer_gradients(layer, inputs, delta, parameters)
    # A PReLU's gradient has the values below 0.
    signed = [-o for o in big_inputs] if layer["kind"] == "prelu" else big_inputs
    largests = sizes_own or network.layer_gradients(sizes, signed, big_delta, big)
    for part in filter(run.gradients.__contains__, gradients):
        right, largest = gradients[part], np.abs(largests[part])
        yield row(f"{part}_gradient", run.gradients[part], right, largest)


def _normalisation(layer: Mapping[str, Any]) -> Callable[..., dict[str, Array]] | None:
    """Return what tells how far the numbers of a normalisation may be off."""
    if layer["kind"] in image_norm.KINDS:
        return image_norm.sizes
    return batch_norm.sizes if layer["kind"] == "batch_norm" else None


def _roundings(terms: int) -> float:
    """Return how many units in the last place a sum of so many terms may be off."""
    return min(terms, LUCK * math.sqrt(terms))


def _terms(run: ComputedLayer) -> dict[str, int]:
    """Return how many roundings each sum has, by the part of the run."""
    layer = run.layer
    if _normalisation(layer):
        return {"forward": 1, "input_delta": 1, "weight_gradient": 1, "bias_gradient": 1}
    if layer["kind"] == "local_response_norm":
        # The power is exp(-beta log d), whose argument may be off by a rounding of its own size.
        window, power = 2 * layer["size"], math.ceil(layer["beta"] * 8) + FUNCTION_TERMS
        return {"forward": window + power, "input_delta": 2 * window + 2 * power}
    if layer["kind"] == "prelu":
        pixels = run.delta.size // (len(run.parameters["slope"]) if layer["by_channel"] else 1)
        return {"forward": 1, "input_delta": 1, "slope_gradient": pixels}
    if layer["kind"] == "softmax":
        # The sum over the channels; a difference, an exponential and a division, or two products.
        terms = run.x.shape[1] + FUNCTION_TERMS
        return {"forward": terms, "input_delta": terms}
    if run.parameters:
        w = run.parameters["weight"]
        pixels = run.delta.size // run.delta.shape[1] if run.delta.ndim > 1 else 1
        each = w.size // len(w)
        into = len(w) // layer.get("groups", 1) * int(np.prod(w.shape[2:]))
        return {
            "forward": each + 1,
            "input_delta": into,
            "weight_gradient": pixels,
            "bias_gradient": pixels,
        }
    if len(run.inputs) > 1:
        # What an Add adds, or the product of two and its sum over a map.
        pixels = int(np.prod(run.x.shape[2:]))
        return {"forward": len(run.inputs), "input_delta": pixels + 1}
    if layer["kind"] == "pool":
        block = layer["size"][0] * layer["size"][1]
        if layer["pool"] == "max":
            return {"forward": 0, "input_delta": block}
        # The norm's own roundings, the division and the product come on top of the sum.
        return {"forward": block + 2, "input_delta": 2 * block + 4}
    roundings = 0 if layer["kind"] in PASSING else FUNCTION_TERMS
    return {"forward": roundings, "input_delta": roundings}


def _double(a: Array) -> Array:
    return a.astype(np.float64)
