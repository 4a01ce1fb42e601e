"""Activations: o = f(x) (Eq. 8), and the factor f'(x) of the deltas (Eq. 19).

kind is the ``activation`` of one of the activation layers, such as "relu"; slope is the leaky
ReLU's below zero and alpha the ELU's, and only theirs. Arrays have any shape, dtype float32 or
float64. Where x and f(x) are normal numbers, f is right to 6 units in the last place; "gelu_tanh"
left of -1 to 5 + 2 |v|, v = 1.6 x + 0.07 x^3. InvalidInput names the parameter, the rule and what
was received.
"""

from __future__ import annotations

from convprop.checks import non_negative
from convprop.errors import invalid
from convprop.machine.native import description, engine
from convprop.ops.arrays import Array, checked, require_shape


def forward(x: Array, kind: str, slope: float = 0.01, alpha: float = 1.0) -> Array:
    """Return f(x), in x's shape."""
    x = checked("x", x, "")
    return engine.activation_forward(x, _described(kind, slope, alpha))


def input_delta(
    delta: Array,
    o: Array,
    kind: str,
    slope: float = 0.01,
    alpha: float = 1.0,
    *,
    x: Array | None = None,
) -> Array:
    """Return dE/dx = delta f'(x), in o's shape.

    f' is computed from the output o = f(x), which most of these functions allow (of a leaky
    ReLU's slope and an ELU's alpha it asks that they are not negative). Those that fall and rise,
    "gelu", "gelu_tanh", "silu", "mish" and "hard_swish", ask for x, too. At a corner f' is what the
    layer says; at that of a ReLU the derivative from below, 0, or the slope.

    Parameters
    ----------
    delta : ndarray
        dE/do.
    o : ndarray
        f(x), the shape and dtype of delta.
    x : ndarray, optional
        What f was taken of, the shape and dtype of delta.
    """
    delta = checked("delta", delta, "")
    o = checked("o", o, "", ("delta", delta))
    if delta.ndim != o.ndim:
        raise invalid("delta", f"have shape {o.shape}", delta.shape)
    require_shape("delta", delta, *o.shape)
    described = _described(kind, slope, alpha)
    if x is None and kind not in engine.activations_from_output:
        raise invalid("x", f"be given, as the slope of {kind} is not found from its output", None)
    before = o if x is None else checked("x", x, "", ("delta", delta))
    if before.shape != o.shape:
        raise invalid("x", f"have the shape of o, {o.shape}", before.shape)
    return engine.activation_input_delta(delta, before, o, described)


def _described(kind: object, slope: object, alpha: object) -> str:
    if kind not in engine.activations:
        raise invalid("kind", f"be one of {', '.join(engine.activations)}", repr(kind))
    settings = {"slope": non_negative("slope", slope), "alpha": non_negative("alpha", alpha)}
    return description("activation", activation=kind, **settings)
