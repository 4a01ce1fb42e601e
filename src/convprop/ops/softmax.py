"""The softmax over the channels of each pixel, or over a row of values.

Arrays are (N, C, H, W) or (N, F), float32 or float64. For the sums themselves see
`convprop.equations.channel_softmax`. InvalidInput names the parameter, the rule and what was
received.
"""

from __future__ import annotations

from convprop.machine.native import engine
from convprop.ops.arrays import Array, checked_maps


def forward(o: Array) -> Array:
    """Return x_c = exp(o_c) / sum_k exp(o_k), in o's shape (N, C, H, W) or (N, F)."""
    return engine.softmax_forward(checked_maps("o", o))


def input_delta(delta: Array, x: Array) -> Array:
    """Return dE/do_c = x_c (delta_c - sum_k delta_k x_k).

    Parameters
    ----------
    delta : ndarray
        dE/dx, in x's shape.
    x : (N, C, H, W) or (N, F)
        What `forward` gave.
    """
    x = checked_maps("x", x)
    return engine.softmax_input_delta(checked_maps("delta", delta, like=("x", x)), x)
