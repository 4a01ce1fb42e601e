"""A set of labelled images, its training and test parts, and how raw labels become classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convprop.arguments import checks_names
from convprop.brief import Brief
from convprop.data.arrays import Array, Shape, stratified_split
from convprop.data.faults import reason, unusable
from convprop.data.image_files import resize_images
from convprop.dtypes import is_float, is_number, is_text
from convprop.shown import brief

MOST_NAMED = 10_000
"""So many classes may have names in data of fewer images: each takes a row of weights."""


Labels = Literal["classes", "numbers", "any"]
"""What labels are taken for; "any": they are not looked at, and may be missing."""


@dataclass(frozen=True)
class Reading:
    """How a source is read: what `convprop.data.load` was told, which says what each means."""

    size: tuple[int, int] | None = None
    seed: int = 0
    test_fraction: float = 0.2
    skip_unreadable: bool = False
    stream: bool = False
    channels: int | None = None
    class_names: Sequence[str] | None = None
    labels: Labels = "classes"


@checks_names
@dataclass(frozen=True, repr=False)
class Dataset(Brief):
    """Labelled images.

    Attributes
    ----------
    images : ndarray or ImageStream
        (N, C, H, W), uint8, float32 or float64: C-contiguous, or a stream that reads those of
        some rows as ``images[rows]``.
    labels : ndarray
        int32 (N,): indices into ``class_names``. Or float64 (N, K), where what is to be learned
        is numbers; then there are no classes.
    class_names : list of str
    name : str
        Where the images came from, for messages.
    image_names : list of str or None
        Each image's file, where it has one.
    """

    images: Any
    labels: NDArray[Any]
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


@dataclass(frozen=True, repr=False)
class Split(Brief):
    """A training and a test set of the same classes and image shape.

    Attributes
    ----------
    train, test : Dataset
    skipped : list of str
        The files that could not be read and were left out.
    left_out : int
        How many other files of a folder are no image files by their names.
    drawn : bool
        Whether the test images were drawn from the others, since the source has none of its own.
    """

    train: Dataset
    test: Dataset
    skipped: list[str] = field(default_factory=list)
    left_out: int = 0
    drawn: bool = False


def split_by_seed(whole: Dataset, how: Reading) -> Split:
    """Cut every class of ``whole`` in the same proportion; numbers as if they were one class."""
    if how.test_fraction == 0:
        return Split(whole, whole.subset(np.arange(0)), drawn=True)
    labels = whole.labels if whole.labels.ndim == 1 else np.zeros(len(whole), dtype=np.int32)
    if len(labels) and np.bincount(labels).max() < 2:
        raise unusable(whole.name, "give some class at least two images to split", "one of each")
    train, test = stratified_split(labels, how.test_fraction, how.seed)
    return Split(whole.subset(train), whole.subset(test), drawn=True)


def quoted(names: Sequence[str], most: int = 10) -> str:
    """Return "'a', 'b', 'c'", cut after ``most`` names."""
    text = ", ".join(brief(name, 300) for name in names[:most])
    return text if len(names) <= most else f"{text}, ... ({len(names)} in all)"


def labelled_split(
    name: str,
    train: tuple[Any, Array],
    test: tuple[Any, Array] | None,
    class_names: Sequence[str] | None,
    how: Reading,
    test_path: str | Path | None = None,
) -> Split:
    """Return the sets of images with raw labels; without a test part the training part is cut.

    Parameters
    ----------
    name : str
        The source, for messages; ``test_path`` of the test images, if they have a file.
    train, test : (images, labels)
        Images (N, C, H, W) or a stream of them, and labels as for `encode_labels`, or numbers.
    class_names : sequence of str or None
        The source's own.

    Raises
    ------
    DataError
        Test images of another (C, H, W), numbers that are none, or from `encode_labels`.
    """
    images, labels = _resized(train[0], how), train[1]
    few = how.class_names is not None

    def encode(raw: Array, other: Array | None) -> tuple[Array, Array | None, list[str]]:
        if how.labels == "any":
            zeros = [
                np.zeros(len(part), np.int32) for part in (raw, raw if other is None else other)
            ]
            return zeros[0], zeros[1], []
        if how.labels == "numbers":
            return _numbers(name, raw), other if other is None else _numbers(name, other), []
        return encode_labels(name, raw, other, class_names, few=few)

    def known(part: Dataset) -> Dataset:
        return part if how.class_names is None else part.with_classes(how.class_names)

    if test is None:
        encoded, _, names = encode(labels, None)
        return split_by_seed(known(Dataset(images, encoded, names, name)), how)
    test_images, test_labels = _resized(test[0], how), test[1]
    check_test_shape(test_path or name, images.shape[1:], test_images.shape[1:])
    encoded, test_encoded, names = encode(labels, test_labels)
    assert test_encoded is not None
    return Split(
        known(Dataset(images, encoded, names, name)),
        known(Dataset(test_images, test_encoded, names, name)),
    )


def check_test_shape(path: str | Path, train: tuple[int, ...], test: tuple[int, ...]) -> None:
    """Raise DataError unless test images have the training images' (C, H, W)."""
    if test != train:
        rule = f"hold test images of shape {train} (C, H, W), as the training images"
        error = unusable(path, rule, f"shape {test}")
        error.resizable = test[0] == train[0]
        raise error


def _resized(images: Any, how: Reading) -> Any:
    """Return an array's images in the wanted size; those of a stream have it already."""
    if how.size is None or not isinstance(images, np.ndarray):
        return images
    return resize_images(images, how.size)


def _numbers(name: str, values: Array) -> NDArray[np.float64]:
    """Return what is to be learned as float64 (N, K)."""
    if not is_number(values.dtype) or values.ndim not in (1, 2) or values.size == 0:
        rule = "have labels that are numbers of shape (N,) or (N, outputs)"
        raise unusable(name, rule, f"dtype {values.dtype} and shape {values.shape}")
    numbers = values.reshape(len(values), -1).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise unusable(name, "have labels that are finite numbers", "NaN or infinity")
    return numbers


def encode_labels(
    name: str,
    train: Array,
    test: Array | None,
    class_names: Sequence[str] | None = None,
    *,
    few: bool = False,
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
    few : bool
        Take what has one class only, and classes that only the test set has.

    Raises
    ------
    DataError
        Other dtypes or ranks, a class only the test set has, one class only, or many more names
        than images.
    """
    raw = [_one_axis(name, labels) for labels in (train, test) if labels is not None]
    if len({labels.dtype.kind for labels in raw}) > 1:
        raise unusable(name, "label both parts with integers or both with strings", "one of each")
    if class_names is None:
        known = np.unique(np.concatenate(raw) if few else raw[0])
        names = [str(value) for value in known]
    else:
        names = list(class_names)
        if len(set(names)) < len(names):
            raise unusable(name, "have class_names that differ", quoted(names))
        most = max(MOST_NAMED, len(raw[0]))
        if len(names) > most and not few:
            rule = f"have at most {most:,} class_names for {len(raw[0]):,} training images"
            raise unusable(name, rule, f"{len(names):,}: name only the classes that there are")
        known = np.array(names) if is_text(raw[0].dtype) else np.arange(len(names))
    if len(known) < 2 and not few:
        raise unusable(name, "have at least two classes", f"only {quoted(names)}")
    encoded = [_positions(name, labels, known) for labels in raw]
    if (encoded[0] == encoded[0][0]).all() and not few:
        only = names[int(encoded[0][0])]
        raise unusable(name, "have at least two classes in its training labels", f"only {only!r}")
    return encoded[0], encoded[1] if len(encoded) > 1 else None, names


def _one_axis(name: str, labels: Array) -> Array:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "buiUS":
        received = f"dtype {labels.dtype} and shape {labels.shape}"
        if is_float(labels.dtype) or (labels.dtype.kind in "iu" and labels.ndim == 2):
            received += " (numbers to predict are for ConvNetRegressor or convprop.train)"
        raise unusable(name, "have labels that are integers or strings of shape (N,)", received)
    if labels.dtype.kind == "S":
        try:
            return np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise unusable(name, "have labels that are texts in UTF-8", error) from None
    return labels if is_text(labels.dtype) else labels.astype(np.int64)


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
