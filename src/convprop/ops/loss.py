"""Losses of a batch of outputs, and the deltas that backpropagation starts from.

Both functions take

y : (N, K), float32 or float64
    The raw outputs of the last layer.
targets : (N, K) of y's dtype, or (N,) integers
    What the outputs should have been; integers are class indices and stand for one-hot rows.
kind : "squared_error" (Eq. 9), "softmax_cross_entropy" or "binary_cross_entropy"
    The last two take logits; each sums over an image's outputs.
label_smoothing : float, 0 <= s < 1
    Of softmax_cross_entropy: (1 - s) t + s / K sum t in the place of t; 0 for the others.
sample_weight : (N,) numbers, optional
    How much each image counts, at least 0; by default 1.
reduction : "mean" (default) or "sum"
    sum w_i E_i / sum w_i, or sum w_i E_i.

and raises InvalidInput, which names the parameter, the rule and what was received.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from convprop.checks import below_one
from convprop.dtypes import is_number
from convprop.errors import invalid
from convprop.machine.native import engine
from convprop.ops.arrays import Array, checked, require_shape

Kind = Literal["squared_error", "softmax_cross_entropy", "binary_cross_entropy"]
KINDS: tuple[Kind, ...] = ("squared_error", "softmax_cross_entropy", "binary_cross_entropy")
Reduction = Literal["mean", "sum"]
Weights = npt.NDArray[np.float64]


def forward(
    y: Array,
    targets: npt.NDArray[Any],
    kind: Kind,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> float:
    """Return the loss, one number, added up in float64."""
    y, targets, weights, total = _checked(y, targets, kind, sample_weight, reduction)
    losses, _ = engine.loss(y, targets, kind, None, _smoothing(kind, label_smoothing))
    return math.fsum(weights * losses) / total


def input_delta(
    y: Array,
    targets: npt.NDArray[Any],
    kind: Kind,
    sample_weight: npt.ArrayLike | None = None,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Return dE/dy (N, K) of the number that `forward` returns."""
    y, targets, weights, total = _checked(y, targets, kind, sample_weight, reduction)
    _, delta = engine.loss(y, targets, kind, weights / total, _smoothing(kind, label_smoothing))
    return delta


def _checked(
    y: object, targets: object, kind: object, sample_weight: object, reduction: object
) -> tuple[Array, npt.NDArray[Any], Weights, float]:
    """Return y, targets and weights as the engine takes them, and what to divide by."""
    outputs = checked("y", y, "(N, K)")
    if kind not in KINDS:
        raise invalid("kind", f"be one of {', '.join(KINDS)}", repr(kind))
    if reduction not in ("mean", "sum"):
        raise invalid("reduction", "be 'mean' or 'sum'", repr(reduction))
    given = as_weights(sample_weight, len(outputs))
    weights = np.ones(len(outputs)) if given is None else given
    total = math.fsum(weights) if reduction == "mean" else 1.0
    return outputs, _targets(targets, outputs), weights, total


def _smoothing(kind: Kind, value: object) -> float:
    share = below_one("label_smoothing", value)
    if share and kind != "softmax_cross_entropy":
        raise invalid("label_smoothing", f"be 0 for {kind}", value)
    return share


def _targets(targets: object, y: Array) -> npt.NDArray[Any]:
    """Return float targets as they are, class indices as int32."""
    if not isinstance(targets, np.ndarray) or targets.dtype.kind not in "iu":
        values = checked("targets", targets, "(N, K)", ("y", y))
        require_shape("targets", values, *y.shape)
        if not np.isfinite(values).all():
            raise invalid("targets", "be finite", "NaN or infinity")
        return values
    if targets.shape != (len(y),):
        raise invalid("targets", f"have shape ({len(y)},) if integers", targets.shape)
    outside = (targets < 0) | (targets >= y.shape[1])
    if outside.any():
        raise invalid("targets", f"be class indices in 0..{y.shape[1] - 1}", targets[outside][0])
    return np.ascontiguousarray(targets, dtype=np.int32)


def as_weights(sample_weight: object, count: int) -> Weights | None:
    """Return sample weights as float64 (N,): finite, none below 0, not all 0. None stays None."""
    if sample_weight is None:
        return None
    array = np.asarray(sample_weight)
    if array.shape != (count,):
        raise invalid("sample_weight", f"have shape ({count},)", f"shape {array.shape}")
    if not is_number(array.dtype):
        raise invalid("sample_weight", "be numbers", f"dtype {array.dtype}")
    weights = np.ascontiguousarray(array, dtype=np.float64)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        index = int(np.argmax(wrong))
        rule = "be finite and at least 0"
        raise invalid("sample_weight", rule, f"{weights[index]} at index {index}")
    if not weights.any():
        raise invalid("sample_weight", "be above 0 for some image", "0 for all")
    return weights


def taking_part(weights: Weights | None) -> npt.NDArray[np.int64] | None:
    """Return which images weigh something; None where all do."""
    return None if weights is None or weights.all() else np.flatnonzero(weights)
