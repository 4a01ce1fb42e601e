"""A folder with one subfolder of images per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convprop.data.dataset import Dataset, Split, entries, quoted, split_by_seed, unusable
from convprop.data.image_files import FORMATS_TEXT, is_image_name, read_file, resized, to_array
from convprop.errors import DataError

_TEST_NAMES = ("test", "val")

Labelled = dict[str, list[tuple[Path, NDArray[np.uint8]]]]
"""Each class's files and their pixels, (1, H, W) or (3, H, W)."""


def load_folder(
    folder: Path,
    name: str,
    size: tuple[int, int] | None,
    test_fraction: float,
    seed: int,
    skip_unreadable: bool,
) -> Split:
    """Load ``folder``/CLASS/IMAGE, split by ``seed``, or train/ and test/ (or val/) with such.

    Files and classes are in the byte order of their names. One colour image makes every image
    RGB. Raises DataError for a class without images, a file that cannot be used (unless
    skipped), and sizes that differ while ``size`` does not say what to resize to.
    """
    reader = _Reader(size, skip_unreadable)
    test_folder = next((folder / n for n in _TEST_NAMES if (folder / n).is_dir()), None)
    if test_folder is None or not (folder / "train").is_dir():
        part = reader.read_classes(folder)
        class_names = _training_classes(folder, part)
        whole = _dataset(part, class_names, name, _channels(part))
        split = split_by_seed(whole, test_fraction, seed)
        return Split(split.train, split.test, reader.skipped)
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
        _dataset(train, class_names, name, channels),
        _dataset(test, class_names, name, channels),
        reader.skipped,
    )


class _Reader:
    """Reads the files of a set, which must all have one size: the first one's unless given."""

    def __init__(self, size: tuple[int, int] | None, skip_unreadable: bool) -> None:
        self.size = size
        self.skip_unreadable = skip_unreadable
        self.skipped: list[str] = []
        self.first: tuple[Path, tuple[int, int]] | None = None

    def read_classes(self, folder: Path) -> Labelled:
        return {
            subfolder.name: [
                (path, pixels)
                for path in entries(subfolder)
                if is_image_name(path) and (pixels := self.read(path)) is not None
            ]
            for subfolder in entries(folder)
            if subfolder.is_dir()
        }

    def read(self, path: Path) -> NDArray[np.uint8] | None:
        """Return (C, H, W), or None for a file that is skipped."""
        try:
            image = read_file(path)
        except DataError:
            if not self.skip_unreadable:
                raise
            self.skipped.append(str(path))
            return None
        if self.size is not None:
            return to_array(resized(image, self.size))
        size = (image.height, image.width)
        if self.first is None:
            self.first = path, size
        first_path, first_size = self.first
        if size != first_size:
            rule = f"be {first_size[0]} x {first_size[1]} pixels (height x width) as {first_path}"
            raise unusable(path, f"{rule}, or be resized (size)", f"{size[0]} x {size[1]}")
        return to_array(image)


def _training_classes(folder: Path, part: Labelled) -> list[str]:
    """Return the class names; each must have an image, and there must be two."""
    for class_name, files in part.items():
        if not files:
            raise unusable(folder / class_name, f"hold at least one image ({FORMATS_TEXT})", "none")
        if not class_name.isprintable():
            raise unusable(folder, "have class subfolders with printable names", repr(class_name))
    if len(part) < 2:
        raise unusable(folder, "hold at least two class subfolders", f"only {quoted(list(part))}")
    return list(part)


def _channels(part: Labelled) -> int:
    return max(len(pixels) for files in part.values() for _, pixels in files)


def _dataset(part: Labelled, class_names: list[str], name: str, channels: int) -> Dataset:
    """Gather ``part``, which is emptied on the way so that no image is held twice."""
    labels = [class_names.index(c) for c, files in part.items() for _ in files]
    files = [entry for class_name in part for entry in part[class_name]]
    part.clear()
    names = [str(path) for path, _ in files]
    height, width = files[0][1].shape[1:]
    images = np.empty((len(files), channels, height, width), dtype=np.uint8)
    while files:
        _, pixels = files.pop()
        images[len(files)] = pixels
    return Dataset(images, np.array(labels, dtype=np.int32), class_names, name, names)
