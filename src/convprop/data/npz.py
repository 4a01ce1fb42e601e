"""Images and labels from one .npz file: what all arrays are first, then their bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from convprop.data import npy
from convprop.data.arrays import Array, as_images, image_shape
from convprop.data.dataset import Reading, Split, check_test_shape, labelled_split
from convprop.data.faults import unusable
from convprop.errors import DataError, InvalidInput

NAMES = (
    ("images", "labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
"""Training images and labels, test images and labels: ours, then Keras's, then MedMNIST's."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes; of others a few bytes may claim to be anything."""
# DEFLATE's largest ratio is 1032 to 1, so a longer claim is false before any memory is taken.
_DEFLATE_RATIO = 1032

_MOST_TEXT = 1 << 24
"""Bytes of the class names; as Python's texts they may take fifteen times as much."""
_LONGEST_LABEL = 4096
"""Bytes of a label: a text of a thousand characters."""


def load_file(path: Path, name: str, how: Reading) -> Split:
    """Load an .npz file; without test arrays the training arrays are split."""
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise unusable(path, "be a complete .npz file (a zip archive)", "something else")
        try:
            archive = zipfile.ZipFile(file)
        # A damaged directory makes zipfile raise almost anything.
        except Exception as error:
            raise unusable(path, "be a complete .npz file", _reason(error)) from error
        with archive:
            return _load_archive(_Archive(archive, path), name, how)


class _Archive:
    """The arrays of an .npz file by name."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive, self.path = archive, path
        self.members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    def header(self, name: str) -> npy.Header:
        """Return what an array is, which its member is long enough to hold."""
        if name not in self.members:
            raise unusable(
                self.path, f"hold an array named {name}", ", ".join(sorted(self.members))
            )
        info = self.members[name]
        try:
            if info.compress_type not in _METHODS:
                raise ValueError(f"compression method {info.compress_type}, not DEFLATE")
            with self.archive.open(info) as stream:
                header = npy.read_header(stream)
            most = info.compress_size * _DEFLATE_RATIO
            if header.start + header.size != info.file_size or info.file_size > most:
                held = min(info.file_size, most) - header.start
                raise ValueError(f"shape {header.shape} takes {header.size:,} bytes, not {held:,}")
        except Exception as error:
            raise self._unreadable(name, error) from error
        return header

    def read(self, name: str) -> Array:
        """Return an array."""
        header = self.header(name)
        try:
            with self.archive.open(self.members[name]) as stream:
                stream.read(header.start)
                array = npy.read_array(stream, header)
                # At the end the checksum is compared.
                stream.read(1)
                return array
        except MemoryError:
            raise
        except Exception as error:
            raise self._unreadable(name, error) from error

    def texts(self, name: str) -> list[str]:
        """Return the members of an array, of one row, as texts."""
        if (size := self.header(name).size) > _MOST_TEXT:
            raise unusable(self.path, f"have at most {_MOST_TEXT:,} bytes in {name}", f"{size:,}")
        try:
            return npy.texts(self.read(name))
        except UnicodeDecodeError as error:
            raise self._unreadable(name, error) from error

    def _unreadable(self, name: str, error: Exception) -> DataError:
        return unusable(self.path, f"hold a readable array {name}", _reason(error))


def _load_archive(archive: _Archive, name: str, how: Reading) -> Split:
    held, path = archive.members, archive.path
    names = next((names for names in NAMES if names[0] in held or names[1] in held), None)
    if names is None:
        raise unusable(
            path, "hold arrays named images and labels", ", ".join(sorted(held)) or "no array"
        )
    data_format = "".join(archive.texts("data_format")) if "data_format" in held else None
    class_names = archive.texts("class_names") if "class_names" in held else None
    shape = _checked(archive, names[0], names[1], data_format, how)
    has_test = names[2] in held or names[3] in held
    if has_test:
        test_shape = _checked(archive, names[2], names[3], data_format, how)
        if how.size is None:
            check_test_shape(path, shape, test_shape)
    train = _read_pair(archive, names[0], names[1], data_format)
    test = _read_pair(archive, names[2], names[3], data_format) if has_test else None
    return labelled_split(name, train, test, class_names, how, path)


def _checked(
    archive: _Archive, images_name: str, labels_name: str, data_format: str | None, how: Reading
) -> tuple[int, ...]:
    """Return (C, H, W) of images, once they and their labels, if they need any, are as many."""
    images = archive.header(images_name)
    try:
        count, *shape = image_shape(images.dtype, images.shape, data_format, images_name)
    except InvalidInput as error:
        raise DataError(f"{archive.path}: {error}") from None
    if how.labels == "any" and labels_name not in archive.members:
        return tuple(shape)
    labels = archive.header(labels_name)
    if labels.shape[:1] != (count,):
        rule = f"hold one label in {labels_name} for each of the {count} images"
        raise unusable(archive.path, rule, f"shape {labels.shape}")
    if (each := labels.size // max(count, 1)) > _LONGEST_LABEL:
        rule = f"have at most {_LONGEST_LABEL:,} bytes a label in {labels_name}"
        raise unusable(archive.path, rule, f"{each:,}")
    return tuple(shape)


def _read_pair(
    archive: _Archive, images_name: str, labels_name: str, data_format: str | None
) -> tuple[Array, Array]:
    """Return images (N, C, H, W) and raw labels of the same length, zeros where it has none."""
    labels = archive.read(labels_name) if labels_name in archive.members else None
    images = archive.read(images_name)
    dtype = np.float64 if images.dtype == np.float64 else np.float32
    try:
        images = as_images(images, dtype, parameter=images_name, data_format=data_format)
    except InvalidInput as error:
        raise DataError(f"{archive.path}: {error}") from None
    return images, np.zeros(len(images), np.int32) if labels is None else labels


def _reason(error: Exception) -> str:
    return f"an error: {str(error).partition(chr(10))[0] or type(error).__name__}"
