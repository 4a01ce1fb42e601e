"""A folder with one subfolder of images per class."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.data.ahead import ahead
from convprop.data.dataset import Dataset, Reading, Split, entries, quoted, split_by_seed
from convprop.data.faults import unusable
from convprop.data.idx_names import EXPECTED
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

KINDS = (
    f"hold idx files ({EXPECTED}), arrays (images.npy and labels.npy), or one subfolder of images"
    " per class"
)
"""What a folder may be, for messages."""

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


def load_folder(folder: Path, name: str, how: Reading) -> Split:
    """Load ``folder``/CLASS/IMAGE, split by ``seed``, or train/ and test/ (or val/) with such.

    Files and classes are in the byte order of their names. Unless the channels are given, one
    colour image makes every image RGB. Raises DataError for a class without images, a file that
    cannot be used (unless skipped), and sizes that differ while there is no size to resize to.

    Where the classes are given, those of a model, some of them may be missing or empty, and the
    folder itself may be one of them.

    With ``stream`` the images are ImageFiles. Of a file its first bytes are looked at, or all
    of it where unreadable ones are to be skipped.
    """
    reader = _Reader(how)
    test_folder = next((folder / n for n in _TEST_NAMES if (folder / n).is_dir()), None)
    if test_folder is None or not (folder / "train").is_dir():
        part = reader.read_classes(folder)
        class_names = _training_classes(folder, part, how)
        whole = _dataset(part, class_names, name, how.channels or _channels(part), how.stream)
        split = split_by_seed(whole, how)
        return replace(split, train=_kept(split.train), **reader.told())
    train = reader.read_classes(folder / "train")
    test = reader.read_classes(test_folder)
    reader.left_out += sum(
        _files_in(entry)
        for entry in entries(folder)
        if entry not in (folder / "train", test_folder)
    )
    class_names = _training_classes(folder / "train", train, how)
    unknown = [class_name for class_name in test if class_name not in class_names]
    if unknown:
        rule = f"have only classes among {quoted(class_names)}"
        raise unusable(test_folder, rule, repr(unknown[0]))
    if not any(test.values()):
        raise unusable(test_folder, f"hold at least one image ({FORMATS_TEXT})", "none")
    channels = how.channels or max(_channels(train), _channels(test))
    return Split(
        _kept(_dataset(train, class_names, name, channels, how.stream)),
        _dataset(test, class_names, name, channels, how.stream),
        **reader.told(),
    )


class _Reader:
    """Reads the files of a set, which must all have one size: the first one's unless given."""

    def __init__(self, how: Reading) -> None:
        self.size, self.channels = how.size, how.channels
        self.class_names = how.class_names
        self.skip_unreadable = how.skip_unreadable
        self.measure_alone = how.stream
        self.skipped: list[str] = []
        self.left_out = 0
        self.first: _Picture | None = None

    def told(self) -> dict[str, Any]:
        """Return what a Split tells of the files that are not in it."""
        return {"skipped": self.skipped, "left_out": self.left_out}

    def read_classes(self, folder: Path) -> Labelled:
        found: Labelled = {}
        inside = entries(folder)
        if folder.resolve().name in (self.class_names or ()) and any(
            is_image_name(path) and not path.is_dir() for path in inside
        ):
            return {folder.resolve().name: self.read_all(self.images_among(inside))}
        self.left_out += sum(not entry.is_dir() for entry in inside)
        for subfolder in filter(Path.is_dir, inside):
            try:
                paths = entries(subfolder)
            except DataError as error:
                if not self.skip_unreadable:
                    error.skippable = True
                    raise
                self.skipped.append(f"{subfolder}{os.sep}")
                continue
            found[subfolder.name] = self.read_all(self.images_among(paths))
        return found

    def images_among(self, paths: list[Path]) -> list[Path]:
        """Return the image files by their names, and count the files that are left out."""
        images = [path for path in paths if is_image_name(path)]
        if len(images) < len(paths):
            self.left_out += sum(_files_in(path) for path in paths if not is_image_name(path))
        return images

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
            image = read_file(path, self.channels, most)
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
            received = f"{size[0]} x {size[1]}"
            error = unusable(picture.path, f"{rule}, or be resized (size)", received)
            error.resizable = True
            raise error


def _files_in(path: Path) -> int:
    """Return how many files a path is or holds at any depth, but for hidden ones."""
    if not path.is_dir():
        return 1
    count = 0
    for _, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        count += sum(not name.startswith(".") for name in names)
    return count


def _training_classes(folder: Path, part: Labelled, how: Reading) -> list[str]:
    """Return the class names: the given ones, or each with an image, at least two of them."""
    if how.class_names is not None:
        unknown = [name for name in part if part[name] and name not in how.class_names]
        if unknown:
            rule = f"hold only classes among {quoted(how.class_names)}"
            raise unusable(folder, rule, repr(unknown[0]))
        if not any(part.values()):
            raise unusable(folder, f"hold at least one image ({FORMATS_TEXT})", "none")
        return list(how.class_names)
    if not any(part.values()):
        raise unusable(folder, KINDS, "none of these")
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
