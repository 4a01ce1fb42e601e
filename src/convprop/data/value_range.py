"""Whether images have values like those that a network was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convprop.data.arrays import Array, Rows
from convprop.data.stream import ImageStream
from convprop.errors import RangeWarning, warn

FAR = 10.0
"""Standard deviations of the training images from their mean: no usual image is so on average."""
NARROW, MOST_NARROW = 0.05, 0.5
"""Of such a deviation: no usual image has all its values, if they differ, within so little, and
several have not within so many times that, up to the latter."""
MOST_IMAGES = 256
SOME_IMAGES = 16
"""So many of an array are looked at, and of a stream, whose images have to be read for it."""


def warn_of_range(
    images: Array | ImageStream,
    normalisation: tuple[NDArray[np.float64], NDArray[np.float64]],
    parameter: str,
    rows: Rows = None,
) -> None:
    """Warn where images have other values than those that the normalisation was made from.

    0..1 where it was 0..255, say, or the other way round. A single channel that is far off is
    enough. An offset of 0 with a scale of 1 says nothing of the values.

    Parameters
    ----------
    images : ndarray or ImageStream
        (N, C, H, W); the first ones are looked at.
    normalisation : (offset, scale)
    parameter : str
        What the message calls the images.
    rows : ndarray, optional
        int64: the images that are meant, all if not given.
    """
    meant = np.arange(images.shape[0]) if rows is None else rows
    some = images[meant[: MOST_IMAGES if isinstance(images, np.ndarray) else SOME_IMAGES]]
    low, high = float(some.min()), float(some.max())
    channels = zip(*(part.tolist() for part in normalisation), strict=True)
    known = [
        (channel, offset, abs(scale))
        for channel, (offset, scale) in enumerate(channels)
        if (offset, scale) != (0.0, 1.0)
    ]
    for channel, offset, scale in known:
        # The bounds are quick to see, and as a rule enough.
        if max(high - offset, offset - low) * scale > FAR and _far(some[:, channel], offset, scale):
            break
    else:
        least = min(NARROW * len(some), MOST_NARROW)
        if not known or not 0.0 < (high - low) * max(scale for *_, scale in known) < least:
            return
        _, offset, scale = known[0]
    warn(
        f"{parameter} have values from {low:.4g} to {high:.4g}, unlike those that the network was"
        f" trained on (mean {offset:.4g}, standard deviation {1.0 / scale:.4g}): they have to come"
        " in the same scale, 0..255 or 0..1 or whatever it was",
        RangeWarning,
    )


def warn_of_targets(values: Array, mean: Array, deviation: Array) -> None:
    """Warn where a later chunk's targets, (N, K), are far from the first one's."""
    for output, offset, width in zip(values.T, mean, deviation, strict=True):
        if _far(output, offset, 1.0 / width):
            warn(
                f"y has values from {output.min():.4g} to {output.max():.4g}, unlike those of the"
                f" first call (mean {offset:.4g}, standard deviation {width:.4g})",
                RangeWarning,
            )
            return


def _far(values: Array, offset: float, scale: float) -> bool:
    """Whether values are on average, by root mean square, far from the offset."""
    with np.errstate(over="ignore"):
        away = (values.astype(np.float64) - offset) * scale
        return float(np.sqrt(np.mean(np.square(away)))) > FAR
