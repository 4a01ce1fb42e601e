"""An uploaded picture: a few bytes of few formats, decoded with a limit on its pixels and sides."""

from __future__ import annotations

import io
import threading
import warnings

import numpy as np
from numpy.typing import NDArray

from convprop.data.image_files import MOST_PIXELS, flattened, is_wide, to_array
from convprop.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MOST_SIDE = 16_384
"""Of a panorama; a row takes memory beside its pixels, and so does a column that is resized."""

_decoding = threading.Lock()


def decoded(data: bytes, channels: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a picture's pixels as (C, H, W) of 0 ... 1, no larger than is needed for ``size``.

    One picture at a time, whoever sends them: each may take some hundred megabytes.

    Raises
    ------
    DataError
        Not one of the formats, damaged, too many pixels, or too long a side.
    """
    with _decoding:
        return _decoded(data, channels, size)


def _decoded(data: bytes, channels: int, size: tuple[int, int]) -> NDArray[np.float32]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if is_wide(image):
                    raise DataError("the picture must have 8 bits a channel, got more")
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                if max(width, height) > MOST_SIDE:
                    rule = f"have sides of at most {MOST_SIDE} pixels"
                    raise DataError(f"the picture must {rule}, got {width} x {height}")
                # A JPEG is decoded at a part of its size where that will do.
                image.draft(None, (2 * size[1], 2 * size[0]))
                # In place: a copy would take as much again.
                ImageOps.exif_transpose(image, in_place=True)
                image.thumbnail((4 * max(size), 4 * max(size)))
                pixels = to_array(flattened(image, 3 if channels >= 3 else 1))
        except UnidentifiedImageError:
            kinds = "PNG, JPEG, WebP or BMP"
            raise DataError(f"the picture must be {kinds}, got something else") from None
        except Image.DecompressionBombError:
            rule = f"have at most {MOST_PIXELS} pixels"
            raise DataError(f"the picture must {rule}, got more") from None
        except (DataError, MemoryError):
            raise
        except Exception as error:  # Damaged bytes make Pillow's decoders raise almost anything.
            raise DataError(f"the picture must be readable, got an error: {error}") from None
    return pixels.astype(np.float32) / np.float32(255)
