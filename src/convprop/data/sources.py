"""From what a user names to a training and a test set."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from convprop.data import idx, image_folder, mapped, named, npz
from convprop.data.dataset import Split, entries, unusable
from convprop.data.image_files import check_size, resize_images


def load(
    source: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    test_fraction: float = 0.2,
    skip_unreadable: bool = False,
    stream: bool = False,
) -> Split:
    """Load a training and a test set.

    Parameters
    ----------
    source : str or path-like
        "digits", "mnist", or the path of a folder of idx files, an .npz file, a folder of .npy
        files, or a folder with one subfolder of images per class.
    size : (H, W), optional
        Stretch every image to this size.
    seed : int
        Chooses the test images of a source that has no test part of its own.
    test_fraction : float
        Their share of every class.
    skip_unreadable : bool
        Leave out image files that cannot be used, and folders of classes that cannot be read;
        ``Split.skipped`` lists them.
    stream : bool
        Decode the images of a folder when they are asked for, instead of all of them now. Those
        of .npy files are streamed in any case.

    Returns
    -------
    Split
        uint8 pixels stay uint8; an .npz file may also hold float32 or float64 images. Streamed
        or not, the parts hold the same images in the same order.

    Raises
    ------
    DataError
        A source that does not exist or cannot be used or streamed; the message names the file.
    InvalidInput
        A size, a seed or a fraction out of range.
    """
    check_size(size)
    split = _load(source, size, seed, test_fraction, skip_unreadable, stream)
    if size is None or not isinstance(split.train.images, np.ndarray):
        return split
    train, test = (
        replace(part, images=resize_images(part.images, size)) for part in (split.train, split.test)
    )
    return replace(split, train=train, test=test)


def _load(
    source: str | os.PathLike[str],
    size: tuple[int, int] | None,
    seed: int,
    test_fraction: float,
    skip_unreadable: bool,
    stream: bool,
) -> Split:
    name, path = str(source), Path(source)
    if stream and (kind := _whole(name, path)):
        raise unusable(name, "be a folder of images or of .npy files to be streamed", kind)
    if name == "digits":
        return named.load_digits(test_fraction, seed)
    if name == "mnist":
        return named.load_mnist()
    # Where pathlib raises for a name that no file can have, os.path says that there is none.
    if os.path.isfile(path) and path.suffix.lower() == ".npz":
        return npz.load_file(path, name, test_fraction, seed)
    # Path("") is this folder; a name that is empty is a mistake.
    if not name or not os.path.isdir(path):
        kind = "another kind of file" if name and os.path.exists(path) else "which does not exist"
        rule = "be 'digits', 'mnist', a folder or an .npz file"
        raise unusable("data", rule, f"{name!r} ({kind})")
    if idx.is_idx_folder(path):
        return idx.load_folder(path, name, test_fraction, seed)
    if mapped.is_array_folder(path):
        return mapped.load_folder(path, name, size, test_fraction, seed)
    if not any(entry.is_dir() for entry in entries(path)):
        raise unusable(path, "hold idx files, or one subfolder of images per class", "neither")
    return image_folder.load_folder(path, name, size, test_fraction, seed, skip_unreadable, stream)


def _whole(name: str, path: Path) -> str | None:
    """Say what a source is whose images cannot be streamed; None for others."""
    if name in ("digits", "mnist"):
        return "a set that is loaded as a whole"
    if path.suffix.lower() == ".npz":
        return "an .npz file"
    return "a folder of idx files" if os.path.isdir(path) and idx.is_idx_folder(path) else None
