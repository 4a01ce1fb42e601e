"""Residual networks: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016.

Shortcuts between maps of different shapes are projections, the paper's option B: a 1×1 convolution
with its normalisation. (Option A, for CIFAR in the paper, pads with maps of zeros: it has 2,752
parameters fewer in each of the three networks there.)
"""

from __future__ import annotations

from convprop.graph import Block, Residual
from convprop.layers import AveragePool, BatchNorm, Conv, Dense, Layer, MaxPool, ReLU


def cifar_resnet(blocks: int, classes: int) -> list[Layer | Block]:
    """Return the network of 6·blocks + 2 layers of Section 4.2: 20 of them for 3 blocks a stage."""
    layers: list[Layer | Block] = [*_conv(16, 3), ReLU()]
    before = 16
    for kernels in (16, 32, 64):
        for block in range(blocks):
            stride = 2 if kernels > before and block == 0 else 1
            layers += [_basic(before if block == 0 else kernels, kernels, stride), ReLU()]
        before = kernels
    return [*layers, AveragePool("global"), Dense(classes)]


def resnet(
    blocks: tuple[int, int, int, int], bottleneck: bool, classes: int
) -> list[Layer | Block]:
    """Return the network of Table 1 with so many blocks in its four stages.

    A stage's stride stands at the 3×3 convolution of a bottleneck, where it loses nothing, and not
    at the 1×1 before it: "ResNet v1.5", as PyTorch and others have it.
    """
    layers: list[Layer | Block] = [*_conv(64, 7, 2), ReLU(), MaxPool(3, stride=2, padding=1)]
    before = 64
    for stage, count in enumerate(blocks):
        kernels = 64 << stage
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append((_bottleneck if bottleneck else _basic)(before, kernels, stride))
            layers.append(ReLU())
            before = kernels * (4 if bottleneck else 1)
    return [*layers, AveragePool("global"), Dense(classes)]


def _conv(kernels: int, size: int, stride: int = 1) -> list[Layer]:
    # Winograd where it exists.
    if size == 3 and stride == 1:
        conv = Conv(kernels, size, padding=1, bias=False, algorithm="winograd")
    else:
        conv = Conv(kernels, size, stride=stride, padding=size // 2, bias=False)
    return [conv, BatchNorm()]


def _basic(before: int, kernels: int, stride: int) -> Residual:
    return Residual(
        *_conv(kernels, 3, stride),
        ReLU(),
        *_conv(kernels, 3),
        shortcut=_shortcut(before, kernels, stride),
    )


def _bottleneck(before: int, kernels: int, stride: int) -> Residual:
    return Residual(
        *_conv(kernels, 1),
        ReLU(),
        *_conv(kernels, 3, stride),
        ReLU(),
        *_conv(4 * kernels, 1),
        shortcut=_shortcut(before, 4 * kernels, stride),
    )


def _shortcut(before: int, after: int, stride: int) -> list[Layer] | None:
    return None if before == after and stride == 1 else _conv(after, 1, stride)
