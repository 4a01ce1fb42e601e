"""Images and labels from one .npz file, without ever unpickling."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile as Archive

from convprop.data.arrays import Array, as_images
from convprop.data.dataset import Reading, Split, labelled_split, unusable
from convprop.errors import DataError, InvalidInput

NAMES = (
    ("images", "labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
"""Training images and labels, test images and labels: ours, then Keras's, then MedMNIST's."""


def load_file(path: Path, name: str, how: Reading) -> Split:
    """Load an .npz file; without test arrays the training arrays are split."""
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise unusable(path, "be a complete .npz file (a zip archive)", "something else")
        file.seek(0)
        try:
            archive = np.load(file, allow_pickle=False)
        # A damaged header makes NumPy, zipfile and the decompressors raise almost anything.
        except Exception as error:
            raise unusable(path, "be a complete .npz file", _reason(error)) from error
        with archive:
            return _load_archive(archive, path, name, how)


def _load_archive(archive: Archive, path: Path, name: str, how: Reading) -> Split:
    held = archive.files
    names = next((names for names in NAMES if names[0] in held or names[1] in held), None)
    if names is None:
        raise unusable(
            path, "hold arrays named images and labels", ", ".join(sorted(held)) or "no array"
        )
    data_format = str(_read(archive, path, "data_format")) if "data_format" in held else None
    class_names = None
    if "class_names" in held:
        class_names = [str(value) for value in _read(archive, path, "class_names").reshape(-1)]
    train, test = _read_pair(archive, path, names[0], names[1], data_format), None
    if names[2] in held or names[3] in held:
        test = _read_pair(archive, path, names[2], names[3], data_format)
    return labelled_split(name, train, test, class_names, how, path)


def _read_pair(
    archive: Archive, path: Path, images_name: str, labels_name: str, data_format: str | None
) -> tuple[Array, Array]:
    """Return images (N, C, H, W) and raw labels of the same length."""
    images, labels = (_read(archive, path, name) for name in (images_name, labels_name))
    dtype = np.float64 if images.dtype == np.float64 else np.float32
    try:
        images = as_images(images, dtype, parameter=images_name, data_format=data_format)
    except InvalidInput as error:
        raise DataError(f"{path}: {error}") from None
    if labels.ndim == 0 or len(labels) != len(images):
        rule = f"hold one label in {labels_name} for each of the {len(images)} images"
        raise unusable(path, rule, f"shape {labels.shape}")
    return images, labels


def _read(archive: Archive, path: Path, name: str) -> Array:
    if name not in archive.files:
        raise unusable(path, f"hold an array named {name}", ", ".join(sorted(archive.files)))
    try:
        array = archive[name]
    except Exception as error:
        raise unusable(path, f"hold a readable array {name}", _reason(error)) from error
    # NumPy hands out the bytes of a member that is no array.
    if not isinstance(array, np.ndarray):
        raise unusable(path, f"hold a readable array {name}", "something else")
    return array


def _reason(error: Exception) -> str:
    return f"an error: {str(error).partition(chr(10))[0] or type(error).__name__}"
