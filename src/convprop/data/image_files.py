"""Image files through Pillow: from one file to pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convprop.checks import is_integer
from convprop.data.arrays import Array
from convprop.data.faults import reason, unreadable
from convprop.errors import invalid

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
FORMATS_TEXT = "PNG, JPEG, BMP, TIFF or WebP"
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_GREYMODES = ("1", "L", "LA", "La")
_WIDEMODES = ("I", "F")
_ORIENTATION = 0x0112
# The EXIF orientations that exchange the sides.
_QUARTER_TURNS = (5, 6, 7, 8)

MOST_PIXELS = 24_000_000
"""Of a picture that is taken as it is: a photograph. Where it is stretched, Pillow's limit holds,
which a hundred bytes can claim: some seconds to decode, and half a gigabyte with transparency."""
_STRIP_PIXELS = 1 << 22
_CLAIM = 1 << 20
"""Bytes that are read at once without a look at how many there are."""


def is_image_name(path: Path) -> bool:
    """Whether the name ends as one of the image formats does."""
    return path.suffix.lower() in ENDINGS


def read_file(path: Path, channels: int | None = None, most: int | None = None) -> Image:
    """Return the picture in a file, turned as its EXIF orientation says.

    Transparent pixels are laid over white, unless ``channels`` is 4.

    Parameters
    ----------
    channels : 1, 3 or 4, optional
        Grey, RGB or RGBA. Without it grey files stay grey and all others become RGB.
    most : int, optional
        Refuse a file that says it has more pixels, before any is decoded.

    Returns
    -------
    PIL.Image.Image
        Mode "L", "RGB" or "RGBA".

    Raises
    ------
    DataError
        Not one of the formats, damaged, too large, more than 8 bits a channel, several frames.
    """
    from PIL import ImageOps

    with _opened(path, most) as image:
        # In place: otherwise a picture that is not turned is copied.
        ImageOps.exif_transpose(image, in_place=True)
        return flattened(image, channels)


def measure_file(path: Path, most: int | None = None) -> tuple[int, tuple[int, int]]:
    """Return channels (1 or 3) and size (H, W) of what ``read_file`` returns.

    As a rule a file's first bytes tell them; damage further on is not found.

    Raises
    ------
    DataError
        As for ``read_file``.
    """
    with _opened(path, most) as image:
        # Pillow gives the sides of a TIFF that is to be turned as they will be.
        turned = image.width != image.height and image.format != "TIFF"
        if turned and image.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS:
            return _own_channels(image), (image.width, image.height)
        return _own_channels(image), (image.height, image.width)


class _Bounded(BufferedReader):
    """A file that takes no memory for more than it has, whatever a chunk claims of its length."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _CLAIM:
            left = os.fstat(self.fileno()).st_size - self.tell()
            size = max(min(size, left), 0)
        return super().read(size)


@contextmanager
def _opened(path: Path, most: int | None) -> Iterator[Image]:
    """Open a picture that can be taken, and say what is wrong with all others."""
    from PIL import Image, UnidentifiedImageError

    with suppress(OSError):  # To open it tells what is wrong.
        if path.is_fifo():  # To open it would wait for a writer.
            raise unreadable(path, "be a file", "a pipe")
    too_large = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            # A file object: Pillow maps a raw TIFF given by name with the turned image's sides.
            with _Bounded(FileIO(path)) as file, Image.open(file, formats=FORMATS) as image:
                wide = is_wide(image)
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
                size = image.size
                large = most is not None and size[0] * size[1] > most
                if not wide and frames == 1 and not large:
                    yield image
                    return
        except too_large:
            limit = Image.MAX_IMAGE_PIXELS
            raise unreadable(path, f"have at most {limit} pixels", "more") from None
        except UnidentifiedImageError:
            raise unreadable(path, f"be a {FORMATS_TEXT} image", "something else") from None
        except MemoryError:
            raise
        except Exception as error:  # Damaged bytes make Pillow's decoders raise almost anything.
            received = f"an error: {reason(error)}"
            raise unreadable(path, "be a readable image", received) from error
    if wide:
        raise unreadable(path, "have 8 bits a channel (others fit in an .npz file)", "more")
    if frames != 1:
        raise unreadable(path, "hold one picture", f"{frames} frames")
    rule = f"have at most {most:,} pixels, or be resized (size)"
    raise unreadable(path, rule, f"{size[1]} x {size[0]}")


def _own_channels(image: Image) -> int:
    return 1 if image.mode in _GREYMODES else 3


def is_wide(image: Image) -> bool:
    """Whether an image has more than 8 bits a channel, in its file if it was opened from one."""
    return image.mode in _WIDEMODES or ";16" in f"{image.mode} {getattr(image, 'tile', '')}"


def flattened(image: Image, channels: int | None) -> Image:
    """Return ``image`` in mode "L", "RGB" or "RGBA"; see ``read_file``."""

    if channels is None:
        channels = _own_channels(image)
    if channels != 4 and image.has_transparency_data:
        image = _over_white(image, MODES[channels])
    if image.mode == MODES[channels]:
        image.load()
        return image
    return image.convert(MODES[channels])


def _over_white(image: Image, mode: str) -> Image:
    """Return a transparent image laid over white, made some rows at a time."""
    from PIL import Image

    whole = Image.new(mode, image.size)
    rows = max(_STRIP_PIXELS // image.width, 1)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        white = Image.new("RGBA", strip.size, (255, 255, 255, 255))
        whole.paste(Image.alpha_composite(white, strip).convert(mode), (0, top))
    return whole


def to_array(image: Image) -> NDArray[np.uint8]:
    """Return the pixels as (C, H, W)."""
    pixels = np.asarray(image)
    return pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def resized(image: Image, size: tuple[int, int]) -> Image:
    """Return ``image`` stretched to (H, W); shrinking averages over the covered pixels."""
    from PIL import Image

    height, width = size
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BILINEAR)


def resize_images(images: Array, size: tuple[int, int]) -> Array:
    """Return (N, C, H, W) images stretched to ``size``, each channel by itself."""
    from PIL import Image

    if images.shape[2:] == size:
        return images
    result = np.empty((*images.shape[:2], *size), dtype=images.dtype)
    for i, c in np.ndindex(images.shape[:2]):
        channel = images[i, c]
        if images.dtype != np.uint8:
            channel = channel.astype(np.float32)
        result[i, c] = np.asarray(resized(Image.fromarray(channel), size))
    return result


def check_size(size: tuple[int, int] | None) -> None:
    """Refuse anything but two positive integers, or None."""
    if size is not None and not (len(size) == 2 and all(is_integer(length, 1) for length in size)):
        raise invalid("size", "be two positive integers (height, width)", size)
