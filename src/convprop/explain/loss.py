"""The loss layer: what each output adds to E, and the first delta (Eq. 9 and its kin).

Sums run over the outputs k in order. The softmax takes the largest output out of every
exponent, which changes neither E nor the delta.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.explain import sums
from convprop.explain.explanation import Explanation, Part, Step
from convprop.explain.tables import table
from convprop.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from convprop.machine.native import engine
from convprop.network import Network
from convprop.passes import Backpropagation

Array = NDArray[Any]


def loss(
    net: Network, done: Backpropagation, image: int, targets: Array, weights: Array | None
) -> Explanation:
    """Explain the loss of one image, output by output.

    ``targets`` are int32 (N,) labels or floats (N, K), ``weights`` (N,) or None.
    """
    y = done.layers[-1].output.reshape(len(targets), -1)[image]
    if targets.ndim == 1:
        t = (np.arange(len(y)) == targets[image]).astype(y.dtype)
    else:
        t = targets[image].astype(y.dtype)
    value, _ = engine.loss(
        y[np.newaxis], t[np.newaxis], net.loss.kind, None, net.loss.label_smoothing
    )
    factor = _share(net, len(targets), weights, image, y.dtype)
    build = {
        SoftmaxCrossEntropy: _softmax,
        BinaryCrossEntropy: _binary,
    }.get(type(net.loss), _squared)
    factors, others, steps, total, deltas, words = build(net, y, t)
    terms = table(factors, {"k": np.arange(len(y))})
    running = sums.chain(*(terms[name] for name in factors))
    wide = np.empty(len(y), terms.dtype.descr + [(name, y.dtype) for name in (*others, "delta")])
    for name in terms.dtype.names or ():
        wide[name] = terms[name]
    for name, array in others.items():
        wide[name] = array
    wide["delta"] = sums.flushed(deltas * factor)
    return Explanation(
        name=f"E of image {image}",
        source=net.loss.source,
        symbol="E",
        formula=words,
        terms=wide,
        factors=tuple(factors),
        start=("", y.dtype.type(0)),
        parts=(Part("", 0, len(y), running),),
        steps=steps,
        total=running[-1] if total is None else total,
        value=y.dtype.type(value[0]),
        remark=""
        if factor == 1
        else f"Each delta is the derivative of E times {factor!s}, this image's share of the "
        "batch's loss.",
    )


def _share(net: Network, count: int, weights: Array | None, image: int, dtype: Any) -> Any:
    """Return the factor of an image's loss in that of the batch."""
    all_weights = np.ones(count) if weights is None else weights
    total = 0.0
    for weight in all_weights:
        total += float(weight)
    divisor = total if net.loss.reduction == "mean" and total > 0 else 1.0
    return dtype.type(float(all_weights[image]) / divisor)


def _squared(net: Network, y: Array, t: Array) -> tuple[Any, ...]:
    difference = sums.flushed(y - t)
    factors = {"y-t": difference, "y-t again": difference}
    half = sums.flushed(sums.chain(difference, difference)[-1] * y.dtype.type(0.5))[()]
    steps = (Step("times 1/2", r"\frac{1}{2} \Bigl( % \Bigr)", half),)
    words = r"\frac{1}{2} \sum_{k} (y_k - t_k)^2"
    return factors, {"y": y, "t": t}, steps, half, difference, words


def _softmax(net: Network, y: Array, t: Array) -> tuple[Any, ...]:
    shifted = sums.flushed(y - y.max())
    exponentials = engine.exp(shifted)
    total = sums.chain(exponentials)[-1:]
    target_sum = sums.chain(t)[-1]
    smoothing = net.loss.label_smoothing
    kept = y.dtype.type(1 - smoothing)
    spread = sums.flushed(target_sum * y.dtype.type(smoothing / len(y)))
    column = t[:, np.newaxis]
    smooth = sums.running_sums(
        np.full(len(y), spread, y.dtype), column, np.full_like(column, kept)
    )[:, 0]
    log_probability = sums.flushed(engine.log(total)[0] - shifted)
    share = sums.flushed(target_sum / total[0])
    deltas = sums.running_sums(
        -smooth, exponentials[:, np.newaxis], np.full((len(y), 1), share, y.dtype)
    )[:, 0]
    factors = {"t": smooth, "-log p": log_probability}
    words = r"\sum_{k} t_k \cdot (-\log p_k), \quad p = \text{softmax}(y)"
    return factors, {"y": y, "p": net.loss.prediction(y[np.newaxis])[0]}, (), None, deltas, words


def _binary(net: Network, y: Array, t: Array) -> tuple[Any, ...]:
    each, _ = engine.loss(y[:, np.newaxis].copy(), t[:, np.newaxis].copy(), net.loss.kind)
    p = engine.sigmoid(y)
    factors = {"E": each.astype(y.dtype)}
    words = r"\sum_{k} -t_k \log p_k - (1 - t_k) \log (1 - p_k), \quad p = \sigma(y)"
    return factors, {"y": y, "t": t, "p": p}, (), None, sums.flushed(p - t), words
