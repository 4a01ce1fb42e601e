"""Eq. 9, the squared error, its delta, and the two losses that start from logits.

y and t end in the P predictions of one image; the sums are over that axis, so (P,) gives one
number and (N, P) one for each image. Each delta is dE/dy of one image's own error.
"""

from __future__ import annotations

import numpy as np

from convprop.equations.activations import sigmoid, softplus
from convprop.equations.arrays import Array


def squared_error(y: Array, t: Array) -> Array:
    """Eq. 9: E = 1/2 sum_p (t_p - y_p)^2.

    The article calls it the mean squared error, but divides by 2 and not by P; the formula
    is followed. The 1/2 leaves the delta without a factor.
    """
    return _sum((t - y) * (t - y)) / 2


def squared_error_delta(y: Array, t: Array) -> Array:
    """The delta that starts backpropagation from Eq. 9: dE/dy_p = y_p - t_p."""
    return y - t


def softmax(y: Array) -> Array:
    """exp(y_p) / sum_q exp(y_q), with the largest y taken off first so that nothing overflows."""
    power: Array = np.exp(y - y.real.max(axis=-1, keepdims=True))
    return power / _sum(power)[..., np.newaxis]


def smoothed_targets(t: Array, smoothing: float) -> Array:
    """t'_p = (1 - s) t_p + s / P sum_q t_q: label smoothing, the part s shared by all."""
    spread: Array = smoothing / t.shape[-1] * _sum(t)[..., np.newaxis]
    return (1 - smoothing) * t + spread


def softmax_cross_entropy(y: Array, t: Array) -> Array:
    """E = -sum_p t_p log softmax(y)_p = sum_p t_p (log sum_q exp(y_q) - y_p)."""
    largest = y.real.max(axis=-1, keepdims=True)
    log_sum = largest + np.log(_sum(np.exp(y - largest)))[..., np.newaxis]
    return _sum(t * (log_sum - y))


def softmax_cross_entropy_delta(y: Array, t: Array) -> Array:
    """dE/dy_p = softmax(y)_p sum_q t_q - t_p; targets that are shares of one sum to 1."""
    return softmax(y) * _sum(t)[..., np.newaxis] - t


def binary_cross_entropy(y: Array, t: Array) -> Array:
    """E = -sum_p (t_p log s_p + (1 - t_p) log(1 - s_p)) with s = sigmoid(y).

    Written as sum_p softplus(y_p) - t_p y_p, which loses nothing where s rounds to 0 or 1.
    """
    return _sum(softplus(y) - t * y)


def binary_cross_entropy_delta(y: Array, t: Array) -> Array:
    """dE/dy_p = sigmoid(y_p) - t_p."""
    return sigmoid(y) - t


def _sum(terms: Array) -> Array:
    """Sum over the predictions."""
    total: Array = terms.sum(axis=-1)
    return total
