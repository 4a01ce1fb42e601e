"""The mean and the standard deviation of the images that a network is trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from convprop.data.arrays import CHUNK_VALUES, Array
from convprop.data.stream import ImageStream, Indices, prefetched
from convprop.errors import invalid

Chunks = Callable[[], Iterator[Array]]
"""Gives the images anew, (n, C, H, W) at a time."""


def normalisation(
    images: Array | ImageStream, rows: Indices | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each channel's mean and the inverse of its standard deviation.

    For uint8 the sums are integers and both results are correctly rounded. Floating-point
    values are added in float64 by elementwise halving, so the bits depend on the values and
    their order alone, not on the machine. A channel that does not vary gets scale 1.

    All images are looked at, some at a time: bytes once, floating-point values twice. A stream
    gives the bits that its images give as an array.

    Parameters
    ----------
    images : ndarray or ImageStream
        (N, C, H, W), as :func:`convprop.data.arrays.as_images` returns them.
    rows : ndarray, optional
        int64: the images that are meant, all if not given.

    Returns
    -------
    offset, scale : ndarray
        float64 (C,); (pixel - offset) * scale has mean 0 and variance 1.

    Raises
    ------
    InvalidInput
        A variance beyond what float64 holds.
    DataError
        From a stream.
    """
    channels = images.shape[1]
    moments = _uint8_moments if images.dtype == np.uint8 else _float_moments
    offset, deviation = moments(_chunks(images, rows), channels)
    for c, value in enumerate(deviation):
        if not math.isfinite(value):
            raise invalid("images", "have a finite variance", f"{value} in channel {c}")
    scale = np.ones(channels)
    # The inverse of a subnormal float32 is infinite: such a channel does not vary.
    varies = deviation >= np.finfo(np.float32).tiny
    scale[varies] = 1.0 / deviation[varies]
    return offset, scale


def weighted_normalisation(
    images: Array | ImageStream, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what `normalisation` does where an image of weight 2 counts as two, of 0 as none.

    Parameters
    ----------
    images : ndarray or ImageStream
        (N, C, H, W), as for `normalisation`.
    weights : ndarray
        float64 (N,), at least 0, not all 0.
    """
    # Zeros among its terms would give the sum by halves another order.
    rows = np.flatnonzero(weights)
    share = weights[rows] / _sum(weights[rows])
    chunks = _chunks(images, rows)
    means = np.concatenate([_map_means(chunk) for chunk in chunks()])
    offset = np.array([_sum(share * channel) for channel in means.T])
    squares = []
    lowest, highest = np.full(len(offset), np.inf), np.full(len(offset), -np.inf)
    for chunk in chunks():
        squares.append(_map_means(chunk, offset))
        lowest = np.minimum(lowest, chunk.min(axis=(0, 2, 3)))
        highest = np.maximum(highest, chunk.max(axis=(0, 2, 3)))
    deviation = np.array([math.sqrt(_sum(share * c)) for c in np.concatenate(squares).T])
    scale = np.ones(len(offset))
    varies = (deviation >= np.finfo(np.float32).tiny) & (lowest < highest)
    scale[varies] = 1.0 / deviation[varies]
    return offset, scale


def _map_means(images: Array, offset: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return (n, C): each map's mean, or that of its squared differences from ``offset``."""
    values = images.reshape(*images.shape[:2], -1).astype(np.float64)
    if offset is not None:
        values = np.square(values - offset[:, np.newaxis])
    count = values.shape[2]
    while values.shape[2] > 1:
        half = values.shape[2] // 2
        folded = values[..., :half] + values[..., half : 2 * half]
        if values.shape[2] % 2:
            folded[..., 0] += values[..., -1]
        values = folded
    means: NDArray[np.float64] = values[..., 0] / count
    return means


def _chunks(images: Array | ImageStream, rows: Indices | None) -> Chunks:
    """Return what goes through the images, about ``CHUNK_VALUES`` values a channel at a time."""
    step = max(1, CHUNK_VALUES // math.prod(images.shape[2:]))
    if isinstance(images, np.ndarray) and rows is None:
        return lambda: (images[n : n + step] for n in range(0, len(images), step))
    chosen = np.arange(images.shape[0]) if rows is None else rows
    batches = [chosen[n : n + step] for n in range(0, len(chosen), step)]
    if isinstance(images, np.ndarray):
        return lambda: (images[batch] for batch in batches)
    return lambda: prefetched(images, batches)


Moments = tuple[NDArray[np.float64], NDArray[np.float64]]


def _uint8_moments(chunks: Chunks, channels: int) -> Moments:
    """Return mean and standard deviation of each channel of uint8 images."""
    from fractions import Fraction

    counts = np.zeros((channels, 256), dtype=np.int64)
    for chunk in chunks():
        for c in range(channels):
            counts[c] += np.bincount(chunk[:, c].reshape(-1), minlength=256)
    levels = np.arange(256)
    mean, deviation = np.empty(channels), np.empty(channels)
    for c in range(channels):
        values = int(counts[c].sum())
        exact = Fraction(int(counts[c] @ levels), values)
        mean[c] = float(exact)
        mean_square = Fraction(int(counts[c] @ levels**2), values)
        deviation[c] = math.sqrt(mean_square - exact * exact)
    return mean, deviation


def _float_moments(chunks: Chunks, channels: int) -> Moments:
    """Return mean and standard deviation of each channel of floating-point images."""
    sums: list[list[float]] = [[] for _ in range(channels)]
    values, first = 0, None
    varies = np.zeros(channels, dtype=bool)
    with np.errstate(over="ignore", invalid="ignore"):
        for chunk in chunks():
            values += chunk[:, 0].size
            first = chunk[0, :, 0, 0].copy() if first is None else first
            for c in range(channels):
                sums[c].append(_sum(_flat(chunk[:, c])))
                varies[c] |= bool((chunk[:, c] != first[c]).any())
        assert first is not None
        mean = np.array([_sum(np.array(part)) / values for part in sums])
        # Of a channel that does not vary, a rounded mean would leave a spurious variance.
        mean[~varies] = first[~varies]
        if not varies.any():
            return mean, np.zeros(channels)
        squares: list[list[float]] = [[] for _ in range(channels)]
        for chunk in chunks():
            for c in range(channels):
                squares[c].append(_sum(np.square(_flat(chunk[:, c]) - mean[c])))
        deviation = np.array([math.sqrt(_sum(np.array(part)) / values) for part in squares])
    deviation[~varies] = 0.0
    return mean, deviation


def _flat(chunk: Array) -> NDArray[np.float64]:
    return chunk.astype(np.float64).reshape(-1)


def _sum(values: NDArray[np.float64]) -> float:
    """Add by halving: elementwise sums alone, so no vector width changes their order."""
    while len(values) > 1:
        half = len(values) // 2
        folded = values[:half] + values[half : 2 * half]
        if len(values) % 2:
            folded[0] += values[-1]
        values = folded
    return float(values[0])
