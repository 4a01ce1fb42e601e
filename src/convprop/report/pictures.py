"""Arrays as pictures, and pictures as bytes that a page can hold."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[Any]
Bytes = NDArray[np.uint8]

# Blue and orange that every kind of colour vision tells apart; Okabe and Ito, "Color universal
# design", 2008.
NEGATIVE, POSITIVE = (0, 114, 178), (213, 94, 0)


# Bytes that all lie below it are no dark pictures but another scale, as the digits' 0 to 16.
_OTHER_SCALE = 64


def value_range(images: Array) -> tuple[float, float]:
    """Return what is shown black and white: 0 and 255 for most bytes, else the extremes."""
    low, high = float(images.min()), float(images.max())
    if images.dtype == np.uint8:
        return 0.0, high if high < _OTHER_SCALE else 255.0
    return low, high


def coarse(image: Array, side: int) -> Array:
    """Return an image (C, H, W), or of a far larger one than is shown some of the pixels."""
    every = max(max(image.shape[1:]) // (2 * side), 1)
    return image[:, ::every, ::every].copy()


def pixels(image: Array, low: float, high: float) -> Bytes:
    """Return an image (C, H, W) as (H, W), (H, W, 3) or (H, W, 4) bytes.

    Other numbers of channels are shown as their mean.
    """
    values = image if image.shape[0] in (1, 3, 4) else image.mean(axis=0, keepdims=True)
    scaled = (values.astype(np.float64) - low) * (255.0 / (high - low) if high > low else 0.0)
    shown = np.clip(np.rint(scaled), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return shown[:, :, 0] if shown.shape[2] == 1 else shown


def signed_pixels(values: Array, largest: float) -> Bytes:
    """Return (H, W) numbers as colours (H, W, 3): blue below 0, white at 0, orange above."""
    part = np.clip(values.astype(np.float64) / (largest or 1.0), -1.0, 1.0)[..., np.newaxis]
    colour = np.where(part < 0, np.array(NEGATIVE), np.array(POSITIVE))
    return np.rint(255 + np.abs(part) * (colour - 255.0)).astype(np.uint8)


def picture(shown: Bytes, side: int) -> Image:
    """Return a picture whose longer side is about ``side``: whole pixels enlarged, or reduced."""
    from PIL import Image

    image = Image.fromarray(shown)
    longer = max(image.size)
    if longer <= side:
        times = max(side // longer, 1)
        size = (image.width * times, image.height * times)
        return image.resize(size, Image.Resampling.NEAREST)
    width, height = (max(round(length * side / longer), 1) for length in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def png(image: Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_url(image: Image) -> str:
    """Return a picture as the address of an ``img`` that brings its bytes with it."""
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"
