"""A folder with one subfolder of images per class."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convprop.data.ahead import ahead
from convprop.data.dataset import Dataset, Split, entries, quoted, split_by_seed, unusable
from convprop.data.image_files import (
    FORMATS_TEXT,
    MOST_PIXELS,
    is_image_name,
    measure_file,
    read_file,
    resized,
    to_array,
)
from convprop.data.stream import ImageFiles
from convprop.errors import DataError

_TEST_NAMES = ("test", "val")

_FILES_AHEAD = 16


@dataclass(slots=True)
class _Picture:
    """A file that was looked at: its channels (1 or 3), its (H, W), its pixels if it was read."""

    path: str
    channels: int
    size: tuple[int, int]
    pixels: NDArray[np.uint8] | None


Labelled = dict[str, list[_Picture]]
"""Each class's files."""


def load_folder(
    folder: Path,
    name: str,
    size: tuple[int, int] | None,
    test_fraction: float,
    seed: int,
    skip_unreadable: bool,
    stream: bool,
) -> Split:
    """Load ``folder``/CLASS/IMAGE, split by ``seed``, or train/ and test/ (or val/) with such.

    Files and classes are in the byte order of their names. One colour image makes every image
    RGB. Raises DataError for a class without images, a file that cannot be used (unless
    skipped), and sizes that differ while ``size`` does not say what to resize to.

    With ``stream`` the images are ImageFiles. Of a file its first bytes are looked at, or all
    of it where unreadable ones are to be skipped.
    """
    reader = _Reader(size, skip_unreadable, stream)
    test_folder = next((folder / n for n in _TEST_NAMES if (folder / n).is_dir()), None)
    if test_folder is None or not (folder / "train").is_dir():
        part = reader.read_classes(folder)
        class_names = _training_classes(folder, part)
        whole = _dataset(part, class_names, name, _channels(part), stream)
        split = split_by_seed(whole, test_fraction, seed)
        return Split(_kept(split.train), split.test, reader.skipped)
    train = reader.read_classes(folder / "train")
    test = reader.read_classes(test_folder)
    class_names = _training_classes(folder / "train", train)
    unknown = [class_name for class_name in test if class_name not in train]
    if unknown:
        rule = f"have only classes among {quoted(class_names)}"
        raise unusable(test_folder, rule, repr(unknown[0]))
    if not any(test.values()):
        raise unusable(test_folder, f"hold at least one image ({FORMATS_TEXT})", "none")
    channels = max(_channels(train), _channels(test))
    return Split(
        _kept(_dataset(train, class_names, name, channels, stream)),
        _dataset(test, class_names, name, channels, stream),
        reader.skipped,
    )


class _Reader:
    """Reads the files of a set, which must all have one size: the first one's unless given."""

    def __init__(
        self, size: tuple[int, int] | None, skip_unreadable: bool, measure_alone: bool
    ) -> None:
        self.size = size
        self.skip_unreadable = skip_unreadable
        self.measure_alone = measure_alone
        self.skipped: list[str] = []
        self.first: _Picture | None = None

    def read_classes(self, folder: Path) -> Labelled:
        found: Labelled = {}
        for subfolder in filter(Path.is_dir, entries(folder)):
            try:
                paths = [path for path in entries(subfolder) if is_image_name(path)]
            except DataError as error:
                if not self.skip_unreadable:
                    error.skippable = True
                    raise
                self.skipped.append(f"{subfolder}{os.sep}")
                continue
            found[subfolder.name] = self.read_all(paths)
        return found

    def read_all(self, paths: list[Path]) -> list[_Picture]:
        pictures = []
        for path, picture in zip(paths, ahead(self.read, paths, _FILES_AHEAD), strict=True):
            if picture is None:
                self.skipped.append(str(path))
            else:
                self.check_size(picture)
                pictures.append(picture)
        return pictures

    def read(self, path: Path) -> _Picture | None:
        """Return what is in a file, or None for one that is skipped."""
        most = MOST_PIXELS if self.size is None else None
        try:
            if self.measure_alone and not self.skip_unreadable:
                channels, size = measure_file(path, most)
                return _Picture(str(path), channels, self.size or size, None)
            image = read_file(path, most=most)
        except DataError:
            if not self.skip_unreadable:
                raise
            return None
        if self.size is not None:
            image = resized(image, self.size)
        pixels = to_array(image)
        size = (image.height, image.width)
        return _Picture(str(path), len(pixels), size, None if self.measure_alone else pixels)

    def check_size(self, picture: _Picture) -> None:
        if self.first is None:
            self.first = picture
        wanted, size = self.first.size, picture.size
        if size != wanted:
            rule = f"be {wanted[0]} x {wanted[1]} pixels (height x width) as {self.first.path}"
            raise unusable(picture.path, f"{rule}, or be resized (size)", f"{size[0]} x {size[1]}")


def _training_classes(folder: Path, part: Labelled) -> list[str]:
    """Return the class names; each must have an image, and there must be two."""
    for class_name, pictures in part.items():
        if not pictures:
            raise unusable(folder / class_name, f"hold at least one image ({FORMATS_TEXT})", "none")
        if not class_name.isprintable():
            raise unusable(folder, "have class subfolders with printable names", repr(class_name))
    if len(part) < 2:
        raise unusable(folder, "hold at least two class subfolders", f"only {quoted(list(part))}")
    return list(part)


def _channels(part: Labelled) -> int:
    return max(picture.channels for pictures in part.values() for picture in pictures)


def _dataset(
    part: Labelled, class_names: list[str], name: str, channels: int, stream: bool
) -> Dataset:
    """Gather ``part``, which is emptied on the way so that no image is held twice."""
    counts = [len(part.get(class_name, ())) for class_name in class_names]
    labels = np.repeat(np.arange(len(class_names), dtype=np.int32), counts)
    pictures = [picture for class_name in class_names for picture in part.pop(class_name, ())]
    names = [picture.path for picture in pictures]
    height, width = pictures[0].size
    if stream:
        files = ImageFiles(names, (channels, height, width))
        return Dataset(files, labels, class_names, name, names)
    images = np.empty((len(pictures), channels, height, width), dtype=np.uint8)
    while pictures:
        pixels = pictures.pop().pixels
        assert pixels is not None
        images[len(pictures)] = pixels
    return Dataset(images, labels, class_names, name, names)


def _kept(part: Dataset) -> Dataset:
    """Return a training set whose streamed images are kept once decoded."""
    if not isinstance(part.images, ImageFiles):
        return part
    channels, height, width = part.image_shape
    return replace(part, images=ImageFiles(part.images.paths, (channels, height, width), keep=True))
