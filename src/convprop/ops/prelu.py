"""The ReLU whose slope below 0 is learned, one for each channel or one for all.

Arrays are (N, C, H, W) or (N, F), float32 or float64. For the sums themselves see
`convprop.equations.prelu`. InvalidInput names the parameter, the rule and what was received.
"""

from __future__ import annotations

from convprop.checks import flag
from convprop.errors import invalid
from convprop.machine.native import engine
from convprop.ops.arrays import Array, checked, checked_maps


def forward(o: Array, a: Array) -> Array:
    """Return x = o above 0, else a o.

    Parameters
    ----------
    o : (N, C, H, W) or (N, F)
    a : (C,) or (1,)
        The slopes, of rows (F,) or (1,).
    """
    o = checked_maps("o", o)
    return engine.prelu_forward(o, _slopes(a, o))


def weight_gradient(o: Array, delta: Array, *, by_channel: bool) -> Array:
    """Return dE/da: each channel's sum of delta min(o, 0), or that of all channels.

    Parameters
    ----------
    o : (N, C, H, W) or (N, F)
        The input.
    delta : ndarray
        dE/dx, in o's shape.
    by_channel : bool

    Returns
    -------
    ndarray
        (C,), of rows (F,); (1,) where by_channel is False.
    """
    o, delta = checked_maps("o", o), checked_maps("delta", delta, like=("o", o))
    return engine.prelu_weight_gradient(o, delta, flag("by_channel", by_channel))


def input_delta(delta: Array, o: Array, a: Array) -> Array:
    """Return dE/do = delta above 0, else a delta; at 0 that from below.

    Parameters
    ----------
    delta : ndarray
        dE/dx, in o's shape.
    o : (N, C, H, W) or (N, F)
        The input.
    a : (C,) or (1,)
    """
    o = checked_maps("o", o)
    delta = checked_maps("delta", delta, like=("o", o))
    return engine.prelu_input_delta(delta, o, _slopes(a, o))


def _slopes(a: object, o: Array) -> Array:
    slopes = checked("a", a, "(C,)", ("o", o))
    if len(slopes) not in (1, o.shape[1]):
        raise invalid("a", f"have shape (1,) or ({o.shape[1]},)", slopes.shape)
    return slopes
