"""An uploaded picture: a few bytes of few formats, decoded with a limit on its pixels."""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray

from convprop.data.image_files import MOST_PIXELS, flattened, is_wide, to_array
from convprop.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


def decoded(data: bytes, channels: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a picture's pixels as (C, H, W) of 0 ... 1, no larger than is needed for ``size``.

    Raises
    ------
    DataError
        Not one of the formats, damaged, or too many pixels.
    """
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
                # A JPEG is decoded at a part of its size where that will do.
                image.draft(None, (2 * size[1], 2 * size[0]))
                turned = ImageOps.exif_transpose(image)
                turned.thumbnail((4 * max(size), 4 * max(size)))
                pixels = to_array(flattened(turned, 3 if channels >= 3 else 1))
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
