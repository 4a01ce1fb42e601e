"""A set of labelled images, its training and test parts, and how raw labels become classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.data.arrays import Array, Shape, stratified_split
from convprop.errors import DataError, sentence
from convprop.shown import brief


def unusable(path: str | Path, rule: str, received: object) -> DataError:
    """Return the error "<path> must <rule>, got <received>"."""
    return DataError(sentence(path, rule, received))


def unreadable(path: str | Path, rule: str, received: object) -> DataError:
    """Return that error of a file or a folder which ``skip_unreadable`` leaves out."""
    error = unusable(path, rule, received)
    error.skippable = True
    return error


def reason(error: Exception) -> str:
    """Return what an error says, without the file's name that an OSError has in its text."""
    return str((isinstance(error, OSError) and error.strerror) or error)


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes
    ----------
    images : ndarray or ImageStream
        (N, C, H, W), uint8, float32 or float64: C-contiguous, or a stream that reads those of
        some rows as ``images[rows]``.
    labels : ndarray
        int32 (N,): indices into ``class_names``.
    class_names : list of str
    name : str
        Where the images came from, for messages.
    image_names : list of str or None
        Each image's file, where it has one.
    """

    images: Any
    labels: NDArray[np.int32]
    class_names: list[str]
    name: str
    image_names: list[str] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> Shape:
        """(C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def subset(self, indices: NDArray[np.int64]) -> Dataset:
        """Return the images of ``indices``, in that order."""
        names, images = self.image_names, self.images
        return replace(
            self,
            images=images[indices] if isinstance(images, np.ndarray) else images.subset(indices),
            labels=self.labels[indices],
            image_names=None if names is None else [names[i] for i in indices],
        )

    def with_classes(self, class_names: Sequence[str]) -> Dataset:
        """Return the same images with labels that index ``class_names``, say a model's.

        Raises
        ------
        DataError
            A label names a class that is not among ``class_names``.
        """
        position = {name: index for index, name in enumerate(class_names)}
        present = [self.class_names[label] for label in np.unique(self.labels)]
        unknown = [name for name in present if name not in position]
        if unknown:
            raise unusable(
                self.name, f"hold only classes among {quoted(class_names)}", repr(unknown[0])
            )
        renumber = np.array([position.get(name, -1) for name in self.class_names], dtype=np.int32)
        return replace(self, labels=renumber[self.labels], class_names=list(class_names))


@dataclass(frozen=True)
class Split:
    """A training and a test set of the same classes and image shape.

    ``skipped`` names the files that could not be read and were left out.
    """

    train: Dataset
    test: Dataset
    skipped: list[str] = field(default_factory=list)


def split_by_seed(whole: Dataset, test_fraction: float, seed: int) -> Split:
    """Cut every class of ``whole`` in the same proportion; one must have two images."""
    if len(whole) and np.bincount(whole.labels).max() < 2:
        raise unusable(whole.name, "give some class at least two images to split", "one of each")
    train, test = stratified_split(whole.labels, test_fraction, seed)
    return Split(whole.subset(train), whole.subset(test))


def quoted(names: Sequence[str], most: int = 10) -> str:
    """Return "'a', 'b', 'c'", cut after ``most`` names."""
    text = ", ".join(brief(name) for name in names[:most])
    return text if len(names) <= most else f"{text}, ... ({len(names)} in all)"


def labelled_split(
    name: str,
    train: tuple[Any, Array],
    test: tuple[Any, Array] | None,
    class_names: Sequence[str] | None,
    test_fraction: float,
    seed: int,
    test_path: str | Path | None = None,
) -> Split:
    """Return the sets of images with raw labels; without a test part the training part is cut.

    Parameters
    ----------
    name : str
        The source, for messages; ``test_path`` of the test images, if they have a file.
    train, test : (images, labels)
        Images (N, C, H, W) or a stream of them, and labels as for `encode_labels`.

    Raises
    ------
    DataError
        Test images of another (C, H, W), or from `encode_labels`.
    """
    images, labels = train
    if test is None:
        encoded, _, names = encode_labels(name, labels, None, class_names)
        return split_by_seed(Dataset(images, encoded, names, name), test_fraction, seed)
    test_images, test_labels = test
    check_test_shape(test_path or name, images.shape[1:], test_images.shape[1:])
    encoded, test_encoded, names = encode_labels(name, labels, test_labels, class_names)
    assert test_encoded is not None
    return Split(
        Dataset(images, encoded, names, name), Dataset(test_images, test_encoded, names, name)
    )


def check_test_shape(path: str | Path, train: tuple[int, ...], test: tuple[int, ...]) -> None:
    """Raise DataError unless test images have the training images' (C, H, W)."""
    if test != train:
        rule = f"hold test images of shape {train} (C, H, W), as the training images"
        raise unusable(path, rule, f"shape {test}")


def encode_labels(
    name: str,
    train: Array,
    test: Array | None,
    class_names: Sequence[str] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int32] | None, list[str]]:
    """Turn raw labels into indices of ``class_names``.

    Without ``class_names`` the classes are the distinct training labels in ascending order.
    With them, integers are indices into them and strings are members.

    Parameters
    ----------
    name : str
        The source, for messages.
    train, test : ndarray
        Integers or strings, (N,) or (N, 1).

    Raises
    ------
    DataError
        Other dtypes or ranks, a class only the test set has, or one class only.
    """
    raw = [_one_axis(name, labels) for labels in (train, test) if labels is not None]
    if len({labels.dtype.kind for labels in raw}) > 1:
        raise unusable(name, "label both parts with integers or both with strings", "one of each")
    if class_names is None:
        known = np.unique(raw[0])
        names = [str(value) for value in known]
    else:
        names = list(class_names)
        if len(set(names)) < len(names):
            raise unusable(name, "have class_names that differ", quoted(names))
        known = np.array(names) if raw[0].dtype.kind == "U" else np.arange(len(names))
    if len(known) < 2:
        raise unusable(name, "have at least two classes", f"only {quoted(names)}")
    encoded = [_positions(name, labels, known) for labels in raw]
    if (encoded[0] == encoded[0][0]).all():
        only = names[int(encoded[0][0])]
        raise unusable(name, "have at least two classes in its training labels", f"only {only!r}")
    return encoded[0], encoded[1] if len(encoded) > 1 else None, names


def _one_axis(name: str, labels: Array) -> Array:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "buiUS":
        raise unusable(
            name,
            "have labels that are integers or strings of shape (N,)",
            f"dtype {labels.dtype} and shape {labels.shape}",
        )
    if labels.dtype.kind == "S":
        try:
            return np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise unusable(name, "have labels that are texts in UTF-8", error) from None
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def _positions(name: str, labels: Array, known: Array) -> NDArray[np.int32]:
    """Return where each label stands in ``known``."""
    order = np.argsort(known, kind="stable")
    place = np.minimum(np.searchsorted(known, labels, sorter=order), len(known) - 1)
    positions = order[place]
    wrong = known[positions] != labels
    if wrong.any():
        stray = labels[int(np.argmax(wrong))]
        rule = f"have labels among {quoted([str(value) for value in known])}"
        raise unusable(name, rule, repr(str(stray)))
    return positions.astype(np.int32)


def entries(folder: Path) -> list[Path]:
    """Return what ``folder`` holds, hidden names left out, in the byte order of the names.

    Raises
    ------
    DataError
        A folder that may not be read.
    """
    try:
        visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise unusable(folder, "be a readable folder", f"an error: {reason(error)}") from error
    return sorted(visible, key=lambda path: os.fsencode(path.name))
