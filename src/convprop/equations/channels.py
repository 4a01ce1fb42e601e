"""A permutation of channels. Arrays are (N, C, H, W), real or complex."""

from __future__ import annotations

from convprop.equations.arrays import Array


def channel_shuffle(o: Array, groups: int) -> Array:
    """Return the channels as a matrix of ``groups`` rows, column by column.

    Zhang, Zhou, Lin and Sun, ShuffleNet, 2018, Section 3.1. Of C channels it is undone by a
    shuffle in C / groups groups, the transpose of the transpose; so that is how a delta goes back.
    """
    images, channels, *size = o.shape
    rows = o.reshape(images, groups, channels // groups, *size)
    return rows.swapaxes(1, 2).reshape(o.shape)
