"""SqueezeNet.

Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x
fewer parameters and <0.5MB model size", 2016, Table 1, in the authors' version 1.1 of that year,
which asks for 2.4 times fewer multiply-adds (github.com/forresti/SqueezeNet).
"""

from __future__ import annotations

from convprop.graph import Block, Parallel
from convprop.layers import AveragePool, Conv, Dropout, Flatten, Layer, MaxPool, ReLU


def squeezenet(classes: int) -> list[Layer | Block]:
    """Return SqueezeNet 1.1."""
    layers: list[Layer | Block] = [Conv(64, 3, stride=2), ReLU()]
    for squeezed, *expanded in ((16, 64, 64), (32, 128, 128), (48, 192, 192, 256, 256)):
        layers.append(MaxPool(3, stride=2, ceil_mode=True))
        for place, kernels in enumerate(expanded):
            layers += _fire(squeezed + 16 * (place // 2), kernels)
    layers += [Dropout(0.5), Conv(classes, 1), ReLU()]
    return [*layers, AveragePool("global"), Flatten()]


def _fire(squeezed: int, expanded: int) -> list[Layer | Block]:
    wide = Conv(expanded, 3, padding=1, algorithm="winograd")
    return [
        Conv(squeezed, 1),
        ReLU(),
        Parallel([Conv(expanded, 1)], [wide]),
        ReLU(),
    ]
