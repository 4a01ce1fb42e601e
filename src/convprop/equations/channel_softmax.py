"""The softmax over the channels of each pixel, or over a row of values.

Arrays are (N, C, H, W) or (N, F), real or complex.
"""

from __future__ import annotations

import numpy as np

from convprop.equations.arrays import Array
from convprop.equations.losses import softmax


def forward(o: Array) -> Array:
    """Return x_c = exp(o_c) / sum_k exp(o_k)."""
    return np.moveaxis(softmax(np.moveaxis(o, 1, -1)), -1, 1)


def input_delta(delta: Array, x: Array) -> Array:
    """Return dE/do_c = x_c (delta_c - sum_k delta_k x_k), x being what `forward` gives."""
    back: Array = x * (delta - (delta * x).sum(axis=1, keepdims=True))
    return back
