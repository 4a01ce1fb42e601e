"""Densely connected networks: every layer reads the outputs of all layers before it in its block.

Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", 2017,
Section 3 and Table 2: the network of depth 40 and growth rate 12 for CIFAR, without bottlenecks.
"""

from __future__ import annotations

from convprop.graph import Block, Parallel
from convprop.layers import AveragePool, BatchNorm, Conv, Dense, Layer, ReLU


def densenet(depth: int, growth: int, classes: int) -> list[Layer | Block]:
    """Return the network of three blocks of (depth - 4) / 3 layers, each of `growth` kernels."""
    channels = 16
    layers: list[Layer | Block] = [_conv(channels)]
    for block in range(3):
        if block > 0:
            transition = Conv(channels, 1, bias=False)
            layers += [BatchNorm(), ReLU(), transition, AveragePool(2)]
        for _ in range((depth - 4) // 3):
            layers.append(Parallel([], [BatchNorm(), ReLU(), _conv(growth)]))
            channels += growth
    return [*layers, BatchNorm(), ReLU(), AveragePool("global"), Dense(classes)]


def _conv(kernels: int) -> Conv:
    return Conv(kernels, 3, padding=1, bias=False)
