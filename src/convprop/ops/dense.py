"""The fully connected layer: Eq. 7 with a window as large as its input.

Arrays are float32 or float64, all of one dtype; F features, K units. InvalidInput names the
parameter, the rule and what was received.
"""

from __future__ import annotations

from convprop.machine.native import engine
from convprop.ops.arrays import Array, checked, require_shape


def forward(o: Array, w: Array, b: Array | None = None) -> Array:
    """Return x (N, K) = o w^T + b, for o (N, F), w (K, F) and b (K,) or None."""
    o = checked("o", o, "(N, F)")
    w = checked("w", w, "(K, F)", ("o", o))
    require_shape("w", w, "K", o.shape[1])
    if b is not None:
        b = checked("b", b, "(K,)", ("o", o))
        require_shape("b", b, len(w))
    return engine.dense_forward(o, w, b)


def weight_gradient(o: Array, delta: Array) -> Array:
    """Return dE/dw (K, F), Eq. 13 summed over the images, for o (N, F) and delta (N, K)."""
    o = checked("o", o, "(N, F)")
    delta = checked("delta", delta, "(N, K)", ("o", o))
    require_shape("delta", delta, len(o), "K")
    return engine.dense_weight_gradient(o, delta)


def bias_gradient(delta: Array) -> Array:
    """Return dE/db (K,), delta (N, K) summed over the images."""
    return engine.dense_bias_gradient(checked("delta", delta, "(N, K)"))


def input_delta(delta: Array, w: Array) -> Array:
    """Return dE/do (N, F), Eq. 20 without f', for delta (N, K) and w (K, F)."""
    delta = checked("delta", delta, "(N, K)")
    w = checked("w", w, "(K, F)", ("delta", delta))
    require_shape("w", w, delta.shape[1], "F")
    return engine.dense_input_delta(delta, w)
