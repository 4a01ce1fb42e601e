"""Image files through Pillow: one file to pixels, and many files to a model's input."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convprop.data.arrays import Array, Shape
from convprop.data.dataset import entries, unusable
from convprop.errors import DataError, invalid

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
FORMATS_TEXT = "PNG, JPEG, BMP, TIFF or WebP"
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_GREYMODES = ("1", "L", "LA", "La")
_WIDEMODES = ("I", "F")


def is_image_name(path: Path) -> bool:
    """Whether the name ends as one of the image formats does."""
    return path.suffix.lower() in ENDINGS


def read_file(path: Path, channels: int | None = None) -> Image:
    """Return the picture in a file, turned as its EXIF orientation says.

    Transparent pixels are laid over white, unless ``channels`` is 4.

    Parameters
    ----------
    channels : 1, 3 or 4, optional
        Grey, RGB or RGBA. Without it grey files stay grey and all others become RGB.

    Returns
    -------
    PIL.Image.Image
        Mode "L", "RGB" or "RGBA".

    Raises
    ------
    DataError
        Not one of the formats, damaged, too large, more than 8 bits a channel, several frames.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    too_large = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            # A file object: Pillow maps a raw TIFF given by name with the turned image's sides.
            with path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
                wide = is_wide(image)
                frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
                if not wide and frames == 1:
                    return flattened(ImageOps.exif_transpose(image), channels)
        except too_large:
            most = Image.MAX_IMAGE_PIXELS
            raise unusable(path, f"have at most {most} pixels", "more") from None
        except UnidentifiedImageError:
            raise unusable(path, f"be a {FORMATS_TEXT} image", "something else") from None
        except MemoryError:
            raise
        except Exception as error:  # Damaged bytes make Pillow's decoders raise almost anything.
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise unusable(path, "be a readable image", f"an error: {reason}") from error
    if wide:
        raise unusable(path, "have 8 bits a channel (others fit in an .npz file)", "more")
    raise unusable(path, "hold one picture", f"{frames} frames")


def is_wide(image: Image) -> bool:
    """Whether an image has more than 8 bits a channel, in its file if it was opened from one."""
    return image.mode in _WIDEMODES or ";16" in f"{image.mode} {getattr(image, 'tile', '')}"


def flattened(image: Image, channels: int | None) -> Image:
    """Return ``image`` in mode "L", "RGB" or "RGBA"; see ``read_file``."""
    from PIL import Image

    if channels is None:
        channels = 1 if image.mode in _GREYMODES else 3
    if channels != 4 and image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(MODES[channels])


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
    if size is not None and not (
        len(size) == 2 and all(isinstance(n, int | np.integer) and n > 0 for n in size)
    ):
        raise invalid("size", "be two positive integers (height, width)", size)


def read_images(
    paths: Iterable[str | os.PathLike[str]],
    shape: Shape,
    *,
    resize: bool = False,
    skipped: list[str] | None = None,
    chunk: int = 256,
) -> Iterator[tuple[NDArray[np.uint8], list[str]]]:
    """Yield image files as a model's input, ``chunk`` of them at a time.

    Parameters
    ----------
    paths : iterable of path-like
        Files, and folders whose image files are taken at any depth in the byte order of names.
    shape : (C, H, W)
        The model's input; C = 1 reads grey, 3 RGB, 4 RGBA.
    resize : bool
        Stretch images of another size instead of refusing them.
    skipped : list of str, optional
        Receives the files that cannot be read, which are then left out.
    chunk : int
        Images held at once.

    Yields
    ------
    images, names : ndarray, list of str
        uint8 (n, C, H, W) with n <= chunk, and the n files.

    Raises
    ------
    DataError
        A missing path, an unreadable file, an image of another size, or no image at all.
    InvalidInput
        A model whose channels are not 1, 3 or 4.
    """
    channels, height, width = shape
    if channels not in MODES:
        raise invalid("input_shape", "have 1, 3 or 4 channels to take image files", channels)
    images = np.empty((chunk, *shape), dtype=np.uint8)
    names: list[str] = []
    found = False
    for path in _files(paths):
        try:
            image = read_file(path, channels)
        except DataError:
            if skipped is None:
                raise
            skipped.append(str(path))
            continue
        if resize:
            image = resized(image, (height, width))
        elif image.size != (width, height):
            rule = f"be {height} x {width} pixels (height x width) as the model's input"
            raise unusable(path, f"{rule}, or be resized", f"{image.height} x {image.width}")
        images[len(names)] = to_array(image)
        names.append(str(path))
        if len(names) == chunk:
            yield images, names
            images, names = np.empty_like(images), []
            found = True
    if names:
        yield images[: len(names)], names
    elif not found:
        raise DataError("files must name at least one readable image, got none")


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    for given in paths:
        path = Path(given)
        # Path("") is this folder; a name that is empty is a mistake.
        if not os.fspath(given):
            raise unusable("''", "be a file or a folder", "neither")
        if path.is_dir():
            for entry in entries(path):
                if entry.is_dir() or is_image_name(entry):
                    yield from _files([entry])
        elif path.exists():
            yield path
        else:
            raise unusable(path, "be a file or a folder", "neither")
