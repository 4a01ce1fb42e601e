"""Augmentation: random changes of training images that leave their class as it is.

The engine makes them anew in every epoch. What becomes of an image is a function of the
training's seed, the epoch and the image's row, so neither batches nor threads nor a resumed
training show in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convprop.checks import is_integer, non_negative, number
from convprop.described import Described
from convprop.errors import invalid
from convprop.machine.native import engine

Array = NDArray[Any]
Flip = Literal["none", "horizontal", "vertical", "both"]

FLIPS: dict[str, tuple[float, float]] = {
    "none": (0.0, 0.0),
    "horizontal": (0.0, 0.5),
    "vertical": (0.5, 0.0),
    "both": (0.5, 0.5),
}
"""How probable it is that top and bottom, and left and right, change places."""

MIXUP_STREAM = 0x4D495855 << 32
"""The engine's random stream for the share of step 0's batch; step t has the t-th after it."""

LEAST_MIXUP, LARGEST_MIXUP = 0.01, 4.0
"""Below, nearly every share is 0 or 1; above, near one half."""

MOST = 1000.0
"""Pixels, factors and deviations far beyond what leaves anything of an image."""
SIZE_RULE = f"be a number with 0 <= value <= {MOST:g}"


@dataclass(frozen=True, repr=False)
class Augment(Described):
    """What may happen to a training image, each independently of the others.

    What comes in from beyond an edge repeats the edge. An image is moved first, all at once,
    then its pixels' values are changed, then a rectangle is erased.

    Parameters
    ----------
    shift : int or (rows, columns)
        By up to so many whole pixels, either way.
    flip : "none", "horizontal", "vertical" or "both"
        Mirrored left to right, top to bottom, or each: with probability 1/2.
    rotation : float
        By up to so many degrees, either way.
    zoom : float
        Larger or smaller by a factor of up to 1 + zoom.
    crop : float
        A part of at least this share of the height and of the width, enlarged to the whole.
    elastic : float
        A smooth distortion, whose knots, 8 pixels apart, move by up to so many pixels; after
        Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied
        to visual document analysis", ICDAR 2003.
    brightness, noise : float
        In standard deviations of the training images' channels: what is added to all pixels
        alike, at most, either way; and the standard deviation of what is added to each.
    contrast : float
        Stronger or weaker about the channels' means by a factor of up to 1 + contrast.
    erase : float
        The probability that a rectangle, a tenth to four tenths of each side, is set to the
        channels' means; after Zhong, Zheng, Kang, Li and Yang, "Random erasing data
        augmentation", AAAI 2020.
    mixup : float
        Average each image, and its target, with another of its batch, by a share drawn for the
        batch from the Beta(mixup, mixup) distribution; Zhang, Cisse, Dauphin and Lopez-Paz,
        "mixup: beyond empirical risk minimization", ICLR 2018. 0: never.
    """

    kind = "augment"

    shift: int | tuple[int, int] = (0, 0)
    flip: Flip = "none"
    rotation: float = 0.0
    zoom: float = 0.0
    crop: float = 1.0
    elastic: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0

    def __post_init__(self) -> None:
        shift = self.shift
        pair = (shift, shift) if is_integer(shift, 0) else shift
        if (
            not isinstance(pair, tuple | list)
            or len(pair) != 2
            or not all(is_integer(pixels, 0) for pixels in pair)
        ):
            raise invalid("shift", "be an integer of at least 0, or two of them", repr(shift))
        if not isinstance(self.flip, str) or self.flip not in FLIPS:
            raise invalid("flip", f"be one of {', '.join(FLIPS)}", repr(self.flip))
        angle, part = "be a number with 0 <= value <= 180", "be a number with 0 < value <= 1"
        share = "be a number with 0 <= value <= 1"
        self._set(
            shift=(int(pair[0]), int(pair[1])),
            rotation=number("rotation", self.rotation, angle, 0.0, math.nextafter(180.0, 181.0)),
            crop=number("crop", self.crop, part, math.ulp(0.0), math.nextafter(1.0, 2.0)),
            erase=number("erase", self.erase, share, 0.0, math.nextafter(1.0, 2.0)),
            mixup=non_negative("mixup", self.mixup),
            **{
                name: number(name, getattr(self, name), SIZE_RULE, 0.0, MOST + 1.0)
                for name in ("zoom", "elastic", "brightness", "contrast", "noise")
            },
        )
        if self.mixup and not LEAST_MIXUP <= self.mixup <= LARGEST_MIXUP:
            rule = f"be 0, or a number with {LEAST_MIXUP} <= value <= {LARGEST_MIXUP}"
            raise invalid("mixup", rule, self.mixup)

    def settings(self) -> dict[str, float]:
        """Return what the engine takes."""
        assert isinstance(self.shift, tuple)
        down, right = self.shift
        vertical, horizontal = FLIPS[self.flip]
        names = ("zoom", "crop", "elastic", "brightness", "contrast", "noise", "erase")
        return {name: getattr(self, name) for name in names} | {
            "shift_rows": down,
            "shift_columns": right,
            "flip_rows": vertical,
            "flip_columns": horizontal,
            "rotation": self.rotation / 360.0,
        }


def mixup_share(parameter: float, seed: int, step: int) -> float:
    """Return the share of a step's batch, drawn from Beta(parameter, parameter).

    Jöhnk's way, "Erzeugung von betaverteilten und gammaverteilten Zufallszahlen", Metrika,
    1964: of two uniform numbers raised to 1 / parameter whose sum is at most 1, the first
    one's part of the sum. The powers are the engine's, so that every machine draws alike.
    """
    pairs = 16
    while True:
        bits = engine.random_bits(seed, MIXUP_STREAM + step, 2 * pairs)
        uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53 + 2.0**-54
        first, second = engine.exp(engine.log(uniform) / parameter).reshape(-1, 2).T
        total = first + second
        if (accepted := np.flatnonzero((total <= 1.0) & (total > 0.0))).size:
            return float(first[accepted[0]] / total[accepted[0]])
        pairs *= 4
