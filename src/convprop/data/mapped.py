"""A folder of .npy files, whose images are mapped from the disk and never read as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convprop.data import npy
from convprop.data.arrays import Array, channels_first
from convprop.data.dataset import Reading, Split, labelled_split
from convprop.data.faults import unusable
from convprop.data.image_files import resize_images
from convprop.data.npz import NAMES
from convprop.data.stream import Indices
from convprop.dtypes import is_float
from convprop.errors import DataError, InvalidInput


class MappedImages:
    """Some rows of an array of images on the disk, as a stream.

    Parameters
    ----------
    array : ndarray
        (N, C, H, W) as a view of the mapped array, of bytes, booleans or floating type.
    name : str
        For messages.
    size : (H, W), optional
        What each image is stretched to.
    rows : ndarray, optional
        int64: the array's rows that are the stream's, all if not given.

    Raises
    ------
    DataError
        From ``stream[rows]``: NaN or infinity; the message names the row of the array.
    """

    def __init__(
        self, array: Array, name: str, size: tuple[int, int] | None, rows: Indices | None = None
    ) -> None:
        self.array, self.name, self.size = array, name, size
        self.rows = np.arange(len(array)) if rows is None else rows
        self.dtype = np.dtype(np.float32 if is_float(array.dtype) else np.uint8)
        channels, height, width = array.shape[1:]
        self.shape = (len(self.rows), channels, *(size or (height, width)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> Array:
        chosen = self.rows[rows]
        if chosen.ndim == 0:
            image: Array = self[[rows]][0]
            return image
        with np.errstate(over="ignore"):
            images = np.ascontiguousarray(self.array[chosen], dtype=self.dtype)
        finite = np.isfinite(images).all(axis=(1, 2, 3))
        if not finite.all():
            row = int(chosen[int(np.argmin(finite))])
            raise unusable(self.name, "hold finite numbers", f"another in image {row}")
        return images if self.size is None else resize_images(images, self.size)

    def subset(self, rows: Indices) -> MappedImages:
        """Return the images of some rows, in that order."""
        return MappedImages(self.array, self.name, self.size, self.rows[rows])


def is_array_folder(folder: Path) -> bool:
    """Whether ``folder`` holds training images or labels that :func:`load_folder` reads."""
    return any((folder / f"{name}.npy").is_file() for names in NAMES for name in names[:2])


def load_folder(folder: Path, name: str, how: Reading) -> Split:
    """Load the arrays of an .npz file from files of their own, NAME.npy.

    Images of bytes stay so, floating-point ones become float32 as they are read.
    """
    names = next(n for n in NAMES if any((folder / f"{part}.npy").is_file() for part in n[:2]))
    data_format = "".join(_texts(folder, "data_format")) if _has(folder, "data_format") else None
    class_names = _texts(folder, "class_names") if _has(folder, "class_names") else None
    train, test = _pair(folder, names[0], names[1], data_format, how), None
    if _has(folder, names[2]) or _has(folder, names[3]):
        test = _pair(folder, names[2], names[3], data_format, how)
    test_path = folder / f"{names[2]}.npy"
    return labelled_split(name, train, test, class_names, how, test_path)


def _has(folder: Path, name: str) -> bool:
    return (folder / f"{name}.npy").is_file()


def _pair(
    folder: Path,
    images_name: str,
    labels_name: str,
    data_format: str | None,
    how: Reading,
) -> tuple[MappedImages, Array]:
    array = _map(folder, images_name)
    file = str(folder / f"{images_name}.npy")
    if not is_float(array.dtype) and array.dtype not in (np.uint8, np.bool_):
        raise unusable(file, "hold bytes, booleans or floating-point numbers", array.dtype)
    try:
        view = channels_first(array, data_format, images_name)
    except InvalidInput as error:
        raise DataError(f"{file}: {error}") from None
    images = MappedImages(view, file, how.size)
    if how.labels == "any" and not _has(folder, labels_name):
        return images, np.zeros(len(view), np.int32)
    labels = _map(folder, labels_name)
    if labels.ndim == 0 or len(labels) != len(view):
        rule = f"hold one label for each of the {len(view)} images"
        raise unusable(folder / f"{labels_name}.npy", rule, f"shape {labels.shape}")
    return images, np.array(labels)


def _texts(folder: Path, name: str) -> list[str]:
    try:
        return npy.texts(_map(folder, name))
    except UnicodeDecodeError as error:
        raise _incomplete(folder / f"{name}.npy", error) from error


def _map(folder: Path, name: str) -> Any:
    """Return an array that is mapped, as its file's header says, but not read.

    Texts are: there is one for each image at the most, and all of them must be looked at.
    """
    path = folder / f"{name}.npy"
    if not path.is_file():
        raise unusable(folder, f"hold {name}.npy", "no such file")
    try:
        with path.open("rb") as file:
            header = npy.read_header(file)
            if header.start + header.size > (size := path.stat().st_size):
                held = size - header.start
                raise ValueError(f"shape {header.shape} takes {header.size:,} bytes, not {held:,}")
            if header.dtype.kind in "US" or not header.size:
                return npy.read_array(file, header)
        return np.memmap(
            path,
            header.dtype,
            "r",
            header.start,
            header.shape,
            "F" if header.fortran_order else "C",
        )
    except ValueError as error:
        raise _incomplete(path, error) from error


def _incomplete(path: Path, error: Exception) -> DataError:
    return unusable(path, "be a complete .npy file of numbers", f"an error: {error}")
