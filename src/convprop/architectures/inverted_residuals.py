"""Networks of inverted residuals: a 1×1 convolution widens, a depthwise one filters, a 1×1 narrows.

MobileNetV2: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: inverted residuals and linear
bottlenecks", 2018, Table 2. EfficientNet-Lite0: Tan and Le, "EfficientNet: rethinking model scaling
for convolutional neural networks", 2019, Table 1, without squeeze-and-excitation and with ReLU6, as
the authors released it for phones in 2020 (github.com/tensorflow/tpu, efficientnet/lite).

A stride that would leave fewer than four rows or columns to the last stage is left out, the first
ones first, so that images of 32×32 keep enough of their maps: at those the first two, as in the
networks of this kind that are trained on CIFAR.
"""

from __future__ import annotations

from dataclasses import dataclass

from convprop.graph import Block, Residual
from convprop.layers import AveragePool, BatchNorm, Conv, Dense, Dropout, Layer, ReLU6, Shape

LEAST = 4
"""Rows or columns that the last stage has at least, of images that have as many."""


@dataclass(frozen=True)
class _Stage:
    widening: int
    kernels: int
    blocks: int
    stride: int
    size: int = 3


_MOBILENET_V2 = (
    _Stage(1, 16, 1, 1),
    _Stage(6, 24, 2, 2),
    _Stage(6, 32, 3, 2),
    _Stage(6, 64, 4, 2),
    _Stage(6, 96, 3, 1),
    _Stage(6, 160, 3, 2),
    _Stage(6, 320, 1, 1),
)

_EFFICIENTNET_LITE0 = (
    _Stage(1, 16, 1, 1),
    _Stage(6, 24, 2, 2),
    _Stage(6, 40, 2, 2, 5),
    _Stage(6, 80, 3, 2),
    _Stage(6, 112, 3, 1, 5),
    _Stage(6, 192, 4, 2, 5),
    _Stage(6, 320, 1, 1),
)


def mobilenet_v2(shape: Shape, classes: int) -> list[Layer | Block]:
    """Return MobileNetV2 of width 1."""
    return _network(_MOBILENET_V2, 1e-5, shape, classes)


def efficientnet_lite0(shape: Shape, classes: int) -> list[Layer | Block]:
    """Return EfficientNet-Lite0."""
    return _network(_EFFICIENTNET_LITE0, 1e-3, shape, classes)


def _network(
    stages: tuple[_Stage, ...], epsilon: float, shape: Shape, classes: int
) -> list[Layer | Block]:
    norm = BatchNorm(epsilon)
    first, *strides = _strides([2, *(stage.stride for stage in stages)], min(shape[1:]))
    layers: list[Layer | Block] = [
        Conv(32, 3, stride=first, padding=1, bias=False),
        norm,
        ReLU6(),
    ]
    before = 32
    for stage, stride in zip(stages, strides, strict=True):
        for block in range(stage.blocks):
            layers += _inverted(before, stage, stride if block == 0 else 1, norm)
            before = stage.kernels
    head: list[Layer] = [Conv(1280, 1, bias=False), norm, ReLU6(), AveragePool("global")]
    return [*layers, *head, Dropout(0.2), Dense(classes)]


def _strides(strides: list[int], size: int) -> list[int]:
    """Return the strides of 1 and 2 without the first ones that an axis is too short for."""
    kept = list(strides)
    for place, stride in reversed(list(enumerate(strides))):
        if stride == 2:
            halved = -(-size // 2)
            if halved < LEAST:
                kept[place] = 1
            else:
                size = halved
    return kept


def _inverted(before: int, stage: _Stage, stride: int, norm: BatchNorm) -> list[Layer | Block]:
    wide = before * stage.widening
    widen = [Conv(wide, 1, bias=False), norm, ReLU6()] if stage.widening > 1 else []
    filters = Conv(
        wide, stage.size, stride=stride, padding=stage.size // 2, groups=wide, bias=False
    )
    narrow = [Conv(stage.kernels, 1, bias=False), norm]
    layers: list[Layer | Block] = [*widen, filters, norm, ReLU6(), *narrow]
    return [Residual(*layers)] if stride == 1 and before == stage.kernels else layers
