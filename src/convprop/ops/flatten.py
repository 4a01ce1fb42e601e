"""Maps to one row of features an image, in the order channels, rows, columns, and back."""

from __future__ import annotations

import math

from convprop.errors import invalid
from convprop.ops.arrays import Array, checked, require_shape


def forward(o: Array) -> Array:
    """Return x (N, C·H·W) for o (N, C, H, W): a copy, float32 or float64."""
    o = checked("o", o, "(N, C, H, W)")
    return o.reshape(len(o), -1).copy()


def input_delta(delta: Array, *, input_shape: tuple[int, int, int]) -> Array:
    """Return dE/do (N, C, H, W) for delta (N, C·H·W): a copy; input_shape is (C, H, W)."""
    delta = checked("delta", delta, "(N, F)")
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise invalid("input_shape", "be three positive integers (C, H, W)", input_shape)
    require_shape("delta", delta, "N", math.prod(input_shape))
    return delta.reshape(len(delta), *input_shape).copy()
