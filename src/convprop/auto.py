"""What "auto" stands for: a sound small network for the data's shape, and its training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from convprop.layers import AveragePool, Conv, Dense, Dropout, Layer, ReLU, Shape
from convprop.optimizers import AdamW, Optimizer
from convprop.presets import Preset
from convprop.schedules import OneCycle, Schedule

NAME = "auto"
"""What it is called among the presets, of which it is none: it has no shape of its own."""

STEPS = 1000
"""How many steps training takes where epochs are not given, between 5 and 100 epochs."""

LARGE = 32
"""Images of twice as many pixels along an axis, or more, are first averaged down to as many."""


def auto_layers(shape: Shape, outputs: int, *, dropout: bool = False) -> list[Layer]:
    """Return a sound small network for images of (C, H, W): what "auto" stands for.

    Pairs of 3×3 convolutions with 32, 64 and then 128 kernels, with a 2×2 average pooling after
    each pair as long as there are eight rows or columns, and the dense layer of outputs. Along
    an axis of fewer than three pixels a window is one pixel long, along one of fewer than eight
    there is no pooling. Images of 64 rows or columns or more are first averaged, to 32 to 63.

    It is made to be right and not to be fast. With the 100 epochs that it is given for few images,
    180 pictures of 40×40 pixels took it about a minute on two busy cores (592 thousand weights);
    the preset "cifar-tutorial" learned them in 40 epochs, batches of 16 and 1.5 s (107 thousand).

    Parameters
    ----------
    shape : (C, H, W)
    outputs : int
    dropout : bool
        Drop a quarter of the values after each pooling and half of those before the last layer.
    """
    _, *size = shape
    layers: list[Layer] = []
    shrink = tuple(max(pixels // LARGE, 1) for pixels in size)
    if max(shrink) > 1:
        layers.append(AveragePool(shrink))
        size = [pixels // step for pixels, step in zip(size, shrink, strict=True)]
    kernels = 32
    while True:
        window = tuple(3 if pixels >= 3 else 1 for pixels in size)
        pool = tuple(2 if pixels >= 8 else 1 for pixels in size)
        if max(window) > 1:
            for _ in range(2):
                layers += [Conv(min(kernels, 128), window, padding="same"), ReLU()]
        if max(pool) == 1:
            break
        layers.append(AveragePool(pool))
        if dropout:
            layers.append(Dropout(0.25))
        size = [pixels // step for pixels, step in zip(size, pool, strict=True)]
        kernels *= 2
    if max(shape[1:]) < 3:
        layers += [Dense(128), ReLU()]
    if dropout:
        layers.append(Dropout(0.5))
    return [*layers, Dense(outputs)]


@dataclass(frozen=True)
class Recipe:
    """How networks that are no preset are trained where nothing else is said."""

    optimizer: Optimizer = AdamW(4e-3)
    schedule: Schedule = OneCycle()
    batch_size: int = 64
    label_smoothing: float = 0.1

    def epochs(self, images: int, batch_size: int) -> int:
        """Return how many epochs make some 1000 steps, at least 5 and at most 100."""
        return min(max(-(-STEPS * batch_size // images), 5), 100)


AUTO = Recipe()


def auto_preset(shape: Shape, classes: int, images: int, batch_size: int | None = None) -> Preset:
    """Return what "auto" is for so many images of (C, H, W), as a classifier is trained.

    Parameters
    ----------
    shape : (C, H, W)
    classes, images : int
    batch_size : int, optional
        Where it is not the recipe's: epochs follow from it, and whether there is dropout.
    """
    channels, height, width = shape
    size = min(AUTO.batch_size, images) if batch_size is None else batch_size

    def build(shape: Shape, classes: int) -> list[Layer]:
        return auto_layers(shape, classes, dropout=images > size)

    return Preset(
        NAME,
        "a sound small network for the shape of the data",
        (channels, height, width),
        classes,
        build,
        AUTO.optimizer,
        AUTO.schedule,
        size,
        AUTO.epochs(images, size),
        AUTO.label_smoothing,
    )


def square_guess(features: int) -> tuple[int, int, int]:
    """Return the (C, H, W) that rows of so many features are taken for.

    A square grey image if the number is a square, a square colour image if it is three times
    one, otherwise a grey one of a single row.
    """
    for channels in (1, 3):
        side = math.isqrt(features // channels)
        if channels * side * side == features:
            return channels, side, side
    return 1, 1, features
