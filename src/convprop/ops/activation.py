"""Activations: o = f(x) (Eq. 8), and the factor f'(x) of the deltas (Eq. 19).

kind is the ``kind`` of one of the activation layers, such as "relu"; slope is the leaky ReLU's
below zero, and only its. Arrays have any shape, dtype float32 or float64. InvalidInput names the
parameter, the rule and what was received.
"""

from __future__ import annotations

from convprop.checks import non_negative
from convprop.errors import invalid
from convprop.machine.native import description, engine
from convprop.ops.arrays import Array, checked, require_shape


def forward(x: Array, kind: str, slope: float = 0.01) -> Array:
    """Return f(x), in x's shape."""
    x = checked("x", x, "")
    return engine.activation_forward(x, _described(kind, slope))


def input_delta(delta: Array, o: Array, kind: str, slope: float = 0.01) -> Array:
    """Return dE/dx = delta f'(x), in o's shape.

    f' is computed from the output o = f(x), which every one of these functions allows (of a
    leaky ReLU's slope it asks that it is not negative). At the corner of a ReLU it is the
    derivative from below: 0, or the slope.

    Parameters
    ----------
    delta : ndarray
        dE/do.
    o : ndarray
        f(x), the shape and dtype of delta.
    """
    delta = checked("delta", delta, "")
    o = checked("o", o, "", ("delta", delta))
    if delta.ndim != o.ndim:
        raise invalid("delta", f"have shape {o.shape}", delta.shape)
    require_shape("delta", delta, *o.shape)
    return engine.activation_input_delta(delta, o, _described(kind, slope))


def _described(kind: object, slope: object) -> str:
    if kind not in engine.activations:
        raise invalid("kind", f"be one of {', '.join(engine.activations)}", repr(kind))
    return description("activation", activation=kind, slope=non_negative("slope", slope))
