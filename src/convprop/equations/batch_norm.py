"""Batch normalisation: Ioffe and Szegedy, "Batch normalization", 2015.

Arrays are (N, C, H, W) or (N, C), real or complex; weight, bias, mean and variance are (C,).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convprop.equations.arrays import Array


def batch_statistics(y: Array) -> tuple[Array, Array]:
    """Return each channel's mean and biased variance over all images and pixels."""
    axes = _others(y)
    mean = y.mean(axis=axes)
    apart = y - _each(mean, y)
    return mean, (apart * apart).mean(axis=axes)


def batch_norm(
    y: Array, weight: Array, bias: Array, mean: Array, variance: Array, epsilon: float
) -> Array:
    """Return x = w x^ + b, x^ = (y - mean) / sqrt(variance + epsilon), Algorithm 1."""
    x: Array = _each(weight, y) * standardised(y, mean, variance, epsilon) + _each(bias, y)
    return x


def standardised(y: Array, mean: Array, variance: Array, epsilon: float) -> Array:
    """Return x^ = (y - mean) / sqrt(variance + epsilon)."""
    return (y - _each(mean, y)) / _each(np.sqrt(variance + epsilon), y)


def batch_norm_gradients(
    delta: Array, y: Array, mean: Array, variance: Array, epsilon: float
) -> tuple[Array, Array]:
    """Return dE/dw = sum of delta x^ and dE/db = sum of delta."""
    axes = _others(y)
    products = delta * standardised(y, mean, variance, epsilon)
    return products.sum(axis=axes), delta.sum(axis=axes)


def batch_norm_delta(
    delta: Array, y: Array, weight: Array, mean: Array, variance: Array, epsilon: float
) -> Array:
    """Return dE/dy where mean and variance do not depend on y: w / sqrt(variance + epsilon) delta.

    (Section 3.1: those of the running statistics.)
    """
    back: Array = _each(weight / np.sqrt(variance + epsilon), y) * delta
    return back


def batch_norm_batch_delta(delta: Array, y: Array, weight: Array, epsilon: float) -> Array:
    """Return dE/dy through the statistics of the batch.

    w / sqrt(v + epsilon) (delta - mean of delta - x^ mean of delta x^): Section 3, gathered.
    """
    mean, variance = batch_statistics(y)
    axes = _others(y)
    x = standardised(y, mean, variance, epsilon)
    centred = delta - _each(delta.mean(axis=axes), y) - x * _each((delta * x).mean(axis=axes), y)
    return batch_norm_delta(centred, y, weight, mean, variance, epsilon)


def _others(y: Array) -> tuple[int, ...]:
    """Return all axes but the channels'."""
    return (0, *range(2, y.ndim))


def _each(channels: Any, y: Array) -> Array:
    values: Array = np.asarray(channels).reshape(-1, *[1] * (y.ndim - 2))
    return values


__all__ = [
    "batch_norm",
    "batch_norm_batch_delta",
    "batch_norm_delta",
    "batch_norm_gradients",
    "batch_statistics",
    "standardised",
]
