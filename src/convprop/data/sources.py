"""From what a user names to a training and a test set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from convprop.arguments import checks_names
from convprop.data import idx, idx_names, image_folder, mapped, named, npz
from convprop.data.dataset import Labels, Reading, Split, entries, quoted
from convprop.data.faults import unusable
from convprop.data.image_files import MODES, check_size
from convprop.errors import invalid


@checks_names
def load(
    source: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    test_fraction: float = 0.2,
    skip_unreadable: bool = False,
    stream: bool = False,
    channels: int | None = None,
    class_names: Sequence[str] | None = None,
    labels: Labels = "classes",
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
        Their share of every class; 0 leaves such a source whole, as the training part.
    skip_unreadable : bool
        Leave out image files that cannot be used, and folders of classes that cannot be read;
        ``Split.skipped`` lists them.
    stream : bool
        Decode the images of a folder when they are asked for, instead of all of them now. Those
        of .npy files are streamed in any case.
    channels : 1, 3 or 4, optional
        Read image files as grey, RGB or RGBA. If not given, they are grey if all of them are,
        and RGB otherwise.
    class_names : sequence of str, optional
        The classes that a model knows: labels are indices of these, and a source may have some of
        them only; a folder of images that has the name of one is that class.
    labels : "classes", "numbers" or "any"
        What an array's labels are: classes; numbers to predict, (N,) or (N, K); or what is not
        looked at, where the images alone are wanted: an .npz file, a folder of .npy or of idx files
        then needs none.

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
    if channels is not None and channels not in MODES:
        raise invalid("channels", "be 1, 3 or 4", repr(channels))
    if labels not in get_args(Labels):
        raise invalid("labels", f"be one of {', '.join(get_args(Labels))}", repr(labels))
    how = Reading(size, seed, test_fraction, skip_unreadable, stream, channels, class_names, labels)
    name, path = str(source), Path(source)
    if how.stream and (kind := _whole(name, path)):
        raise unusable(name, "be a folder of images or of .npy files to be streamed", kind)
    if name == "digits":
        return named.load_digits(how)
    if name == "mnist":
        return named.load_mnist(how)
    # Where pathlib raises for a name that no file can have, os.path says that there is none.
    if os.path.isfile(path) and path.suffix.lower() == ".npz":
        return npz.load_file(path, name, how)
    if name and (found := idx_names.find(path)) is not None:
        return idx.load_folder(found, name, how)
    # Path("") is this folder; a name that is empty is a mistake.
    if not name or not os.path.isdir(path):
        kind = "another kind of file" if name and os.path.exists(path) else "which does not exist"
        rule = "be 'digits', 'mnist', a folder or an .npz file"
        raise unusable("data", rule, f"{name!r} ({kind})")
    if mapped.is_array_folder(path):
        return mapped.load_folder(path, name, how)
    if how.labels == "numbers":
        raise unusable(path, "hold numbers to predict (an .npz file can)", "files of images")
    known = how.class_names or ()
    if path.resolve().name not in known and not any(entry.is_dir() for entry in entries(path)):
        alone = f" (or have the name of one: {quoted(known)})" if known else ""
        raise unusable(path, f"{image_folder.KINDS}{alone}", "none of these")
    return image_folder.load_folder(path, name, how)


def holds_arrays(source: str | os.PathLike[str]) -> bool:
    """Whether a source has images of one size, and no image files, which can be resized."""
    name, path = str(source), Path(source)
    if name in ("digits", "mnist") or (os.path.isfile(path) and path.suffix.lower() == ".npz"):
        return True
    return idx_names.find(path) is not None or mapped.is_array_folder(path)


def _whole(name: str, path: Path) -> str | None:
    """Say what a source is whose images cannot be streamed; None for others."""
    if name in ("digits", "mnist"):
        return "a set that is loaded as a whole"
    if path.suffix.lower() == ".npz":
        return "an .npz file"
    return None if idx_names.find(path) is None else "a folder of idx files"
