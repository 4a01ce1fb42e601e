"""Pictures, their files and folders of them as one array of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convprop.data.arrays import Array, Rows
from convprop.data.dataset import entries
from convprop.data.faults import unusable
from convprop.data.image_files import (
    FORMATS_TEXT,
    MODES,
    flattened,
    is_image_name,
    is_wide,
    read_file,
    resized,
    to_array,
)
from convprop.data.reading import image_paths
from convprop.errors import invalid

if TYPE_CHECKING:
    from PIL.Image import Image

HELD_OUT = ("test", "val")


def as_list(X: Any) -> list[Any] | None:
    """Return pictures or paths as a list, or None where X is something else.

    A list, a tuple, an array of objects or strings, (n,) or (n, 1), a pandas column or a frame
    of one column: the first element tells.
    """
    if isinstance(X, list | tuple):
        values = list(X)
    elif hasattr(X, "to_numpy") or isinstance(X, np.ndarray):
        shape = X.shape
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
            return None
        array = X.to_numpy() if hasattr(X, "to_numpy") else X
        if array.dtype.kind not in "OUT":
            return None
        values = list(array.reshape(-1))
    else:
        return None
    return values if values and _is_picture(values[0]) else None


def _is_picture(value: object) -> bool:
    return isinstance(value, str | PathLike) or _is_image(value)


def _is_image(value: object) -> bool:
    """Whether a value is a PIL image; without importing Pillow, as it may be something else."""
    return any(cls.__module__ == "PIL.Image" for cls in type(value).__mro__)


def is_folder(X: object) -> bool:
    """Whether X names a folder or file, rather than holding images."""
    return isinstance(X, str | PathLike)


def labelled_files(folder: str | PathLike[str]) -> tuple[list[Path], NDArray[np.str_]]:
    """Return the files in the subfolders of a folder, and the subfolders' names as labels.

    Both in the byte order of their names. Where there are train/ and test/ (or val/), train/ is
    taken, as `convprop.data.load` does.

    Raises
    ------
    DataError
        No such folder, none in it, or one without images.
    """
    top = Path(folder)
    if not os.fspath(folder) or not top.is_dir():
        raise unusable("X", "be a folder", repr(os.fspath(folder)))
    if (top / "train").is_dir() and any((top / name).is_dir() for name in HELD_OUT):
        top = top / "train"
    files: list[Path] = []
    labels: list[str] = []
    for subfolder in (entry for entry in entries(top) if entry.is_dir()):
        found = [path for path in entries(subfolder) if is_image_name(path)]
        if not found:
            raise unusable(subfolder, f"hold at least one image ({FORMATS_TEXT})", "none")
        files += found
        labels += [subfolder.name] * len(found)
    if not files:
        raise unusable(top, "hold one subfolder of images per class", "none")
    return files, np.array(labels)


def files_of(folder: str | PathLike[str]) -> list[Path]:
    """Return the image files of a folder at any depth, in the byte order of their names."""
    top = Path(folder)
    if not os.fspath(folder) or not top.is_dir():
        raise unusable("X", "be a folder", repr(os.fspath(folder)))
    files = [Path(file) for file in image_paths([top])]
    if not files:
        raise unusable(top, f"hold at least one image ({FORMATS_TEXT})", "none")
    return files


def as_array(
    pictures: list[Any],
    channels: int | None,
    size: tuple[int, int] | None,
    stretch: bool,
    rows: Rows = None,
) -> Array:
    """Return pictures, or the files they are in, as uint8 (N, C, H, W).

    Each is decoded, stretched and given up before the next, so that no two are held in full.

    Parameters
    ----------
    pictures : list of path or PIL image
    channels : int, optional
        None: grey if all are, otherwise RGB.
    size : (H, W), optional
        None: that of the first.
    stretch : bool
        Make them that size, instead of refusing others.
    rows : ndarray, optional
        int64: the pictures that take part, None: all. The others stay black.

    Raises
    ------
    DataError
        A file that cannot be read.
    InvalidInput
        Sizes that differ, something that is no picture, or channels that pictures have not.
    """
    if channels is not None and channels not in MODES:
        raise invalid("input_shape", "have 1, 3 or 4 channels for pictures", channels)
    numbers = range(len(pictures)) if rows is None else rows.tolist()
    arrays = list(_arrays(pictures, numbers, channels, size, stretch))
    depth = max(map(len, arrays)) if channels is None else channels
    images = np.zeros((len(pictures), depth, *arrays[0].shape[1:]), dtype=np.uint8)
    while arrays:
        # Grey is the same in every channel. Given up one by one: no image is held twice.
        last = arrays.pop()
        images[numbers[len(arrays)]] = last
    return images


def _arrays(
    pictures: Sequence[Any],
    numbers: Iterable[int],
    channels: int | None,
    size: tuple[int, int] | None,
    stretch: bool,
) -> Iterator[NDArray[np.uint8]]:
    rule = f"have pictures of {_text(size)}, as in fit, or be fitted" if size else ""
    first = ""
    for number in numbers:
        image, name = _image(pictures[number], number, channels)
        actual = (image.height, image.width)
        if size is None:
            size, first = actual, f"{_text(actual)} ({name}) and "
            rule = "have pictures of one size, or come"
        if stretch:
            image = resized(image, size)
        elif actual != size:
            received = f"{first}{_text(actual)} ({name})"
            raise invalid("X", f"{rule} with an input_shape to stretch them to", received)
        yield to_array(image)


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _image(picture: Any, number: int, channels: int | None) -> tuple[Image, str]:
    if isinstance(picture, str | PathLike):
        return read_file(Path(picture), channels), os.fspath(picture)
    if not _is_image(picture):
        raise invalid("X", "hold pictures or paths alone", f"{picture!r:.80} at index {number}")
    if is_wide(picture):
        received = f"mode {picture.mode} at index {number}"
        raise invalid("X", "hold pictures of 8 bits a channel", received)
    return flattened(picture, channels), f"index {number}"
