"""The ReLU whose slope below 0 is learned.

He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015. Arrays are (N, C, H, W) or (N, F),
real or complex; a has a slope for each channel, (C,), or one for all, (1,).
"""

from __future__ import annotations

import numpy as np

from convprop.equations.activations import relu_derivative
from convprop.equations.arrays import Array


def forward(o: Array, a: Array) -> Array:
    """Return x = o above 0, else a o: Eq. 1."""
    return np.where(o.real > 0, o, _along(a, o) * o)


def weight_gradient(o: Array, delta: Array, *, by_channel: bool) -> Array:
    """Return dE/da: the sum of delta min(o, 0) over images and pixels, Eq. 8.

    One slope's for all channels is a sum over these, too.
    """
    products = delta * (1 - relu_derivative(o)) * o
    by_channels: Array = products.sum(axis=(0, *range(2, o.ndim)))
    return by_channels if by_channel else by_channels.sum(keepdims=True)


def input_delta(delta: Array, o: Array, a: Array) -> Array:
    """Return dE/do = delta above 0, else a delta."""
    return np.where(o.real > 0, delta, _along(a, o) * delta)


def _along(a: Array, o: Array) -> Array:
    """Return the slopes along o's channels."""
    return a.reshape(-1, *(1 for _ in o.shape[2:]))
