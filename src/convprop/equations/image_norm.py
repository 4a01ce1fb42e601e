"""Normalisations of an image by its own numbers, and what comes back through them.

Arrays are (N, C, H, W) or (N, F), real or complex.
What is normalised together has its mean and its biased variance: with n numbers,

    x^ = (o - mean) / sqrt(variance + epsilon),    x = w x^ + b.
"""

from __future__ import annotations

import numpy as np

from convprop.equations.arrays import Array


def group_norm(o: Array, groups: int, epsilon: float = 1e-5) -> Array:
    """Return x^ over all pixels of each group of C / groups channels: Wu and He (2018), Eq. 1-7."""
    return _standardised(_grouped(o, groups), epsilon).reshape(o.shape)


def group_norm_delta(delta: Array, o: Array, groups: int, epsilon: float = 1e-5) -> Array:
    """Return dE/do from dE/dx^."""
    grouped = _grouped(o, groups)
    return _standardised_delta(delta.reshape(grouped.shape), grouped, epsilon).reshape(o.shape)


def layer_norm(o: Array, epsilon: float = 1e-5) -> Array:
    """Return x^ over the channels of each pixel: Ba, Kiros and Hinton (2016), Eq. 3."""
    return _standardised(o, epsilon)


def layer_norm_delta(delta: Array, o: Array, epsilon: float = 1e-5) -> Array:
    """Return dE/do from dE/dx^."""
    return _standardised_delta(delta, o, epsilon)


def by_channel(values: Array, o: Array) -> Array:
    """Return one value a channel (C,) in the form that meets o."""
    return values.reshape(-1, *(1,) * (o.ndim - 2))


def channel_sums(values: Array) -> Array:
    """Return the sum of each channel (C,) over images and pixels."""
    total: Array = values.sum(axis=(0, *range(2, values.ndim)))
    return total


def local_response_norm(o: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """Return o d^-beta, Krizhevsky, Sutskever and Hinton (2012), Section 3.3, for odd sizes.

    d is k plus alpha / size times the sum of squares over the size channels round each one.
    """
    x: Array = o * _divisor(o, size, alpha, k) ** -beta
    return x


def local_response_norm_deltas(
    delta: Array, o: Array, size: int, alpha: float, beta: float, k: float
) -> tuple[Array, Array]:
    """Return the two parts of dE/do: by the number's own output, and by those of its neighbours.

    A neighbour's output falls as its d grows: dx[c'] / do[c] is -2 alpha beta / size times
    o[c] x[c'] / d[c'].
    """
    d = _divisor(o, size, alpha, k)
    ratio = o * d ** (-beta - 1)
    return delta * d**-beta, -2 * alpha * beta / size * o * _window_sum(delta * ratio, size)


def _divisor(o: Array, size: int, alpha: float, k: float) -> Array:
    return k + alpha / size * _window_sum(o * o, size)


def _window_sum(values: Array, size: int) -> Array:
    """Return the sums over channels c - size // 2 ... c + size // 2, as far as there are any."""
    count, half = values.shape[1], size // 2
    total = np.zeros_like(values)
    for c in range(count):
        total[:, c] = values[:, max(c - half, 0) : c + half + 1].sum(axis=1)
    return total


def _grouped(o: Array, groups: int) -> Array:
    """Return the groups of all images in rows."""
    return o.reshape(len(o) * groups, -1)


def _standardised(o: Array, epsilon: float) -> Array:
    apart = o - o.mean(axis=1, keepdims=True)
    standard: Array = apart * _scale(apart, epsilon)
    return standard


def _standardised_delta(delta: Array, o: Array, epsilon: float) -> Array:
    """A number moves the mean and the variance, too: (g - mean g - x^ mean (g x^)) / sigma."""
    apart = o - o.mean(axis=1, keepdims=True)
    scale = _scale(apart, epsilon)
    standard = apart * scale
    along = (delta * standard).mean(axis=1, keepdims=True)
    back: Array = scale * (delta - delta.mean(axis=1, keepdims=True) - standard * along)
    return back


def _scale(apart: Array, epsilon: float) -> Array:
    """Return 1 / sqrt(variance + epsilon) from the distances to the mean."""
    scale: Array = 1 / np.sqrt((apart * apart).mean(axis=1, keepdims=True) + epsilon)
    return scale
