"""Many image files, named one by one, by folders or by patterns, as a model's input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convprop.data.ahead import ahead
from convprop.data.arrays import Shape
from convprop.data.faults import reason, unreadable, unusable
from convprop.data.image_files import MODES, is_image_name, read_file, resized, to_array
from convprop.errors import DataError, invalid

CHUNKS_AHEAD = 4
"""How many chunks of images are decoded while one is being used."""


def read_images(
    paths: Iterable[str | os.PathLike[str]],
    shape: Shape,
    *,
    resize: bool = False,
    skipped: list[str] | None = None,
    left_out: list[str] | None = None,
    chunk: int = 256,
) -> Iterator[tuple[NDArray[np.uint8], list[str]]]:
    """Yield image files as a model's input, at most ``chunk`` of them at a time.

    Threads decode the next chunks while one is being used, so that there are never more than
    six in memory, however many files there are.

    Parameters
    ----------
    paths : iterable of path-like
        Files, folders whose image files are taken at any depth in the byte order of names, and
        patterns ("photos/*.jpg", "**/*.png") of those.
    shape : (C, H, W)
        The model's input; C = 1 reads grey, 3 RGB, 4 RGBA.
    resize : bool
        Stretch images of another size instead of refusing them.
    skipped : list of str, optional
        Receives the files and folders that cannot be read, which are then left out.
    left_out : list of str, optional
        Receives the files of folders that are no image files by their names.
    chunk : int

    Yields
    ------
    images, names : ndarray, list of str
        uint8 (n, C, H, W) with 0 < n <= chunk, and the n files.

    Raises
    ------
    DataError
        A missing path, before anything is read; an unreadable file, an image of another size,
        or no image at all.
    InvalidInput
        A model whose channels are not 1, 3 or 4.
    """
    if shape[0] not in MODES:
        raise invalid("input_shape", "have 1, 3 or 4 channels to take image files", shape[0])
    files = image_paths(paths, skipped, left_out)
    chunks = iter(lambda: list(islice(files, chunk)), [])
    found = False
    read = partial(_read, shape=shape, resize=resize, skip=skipped is not None)
    for part in ahead(read, chunks, CHUNKS_AHEAD):
        if skipped is not None:
            skipped += part.skipped
        if part.names:
            found = True
            yield part.images, part.names
    if not found:
        raise DataError("files must name at least one readable image, got none")


@dataclass
class _Chunk:
    """What was read of some files."""

    images: NDArray[np.uint8]
    names: list[str]
    skipped: list[str]


def _read(files: list[str], shape: Shape, resize: bool, skip: bool) -> _Chunk:
    channels, height, width = shape
    part = _Chunk(np.empty((len(files), *shape), dtype=np.uint8), [], [])
    for file in files:
        try:
            image = read_file(Path(file), channels)
        except DataError:
            if not skip:
                raise
            part.skipped.append(file)
            continue
        if resize:
            image = resized(image, (height, width))
        elif image.size != (width, height):
            rule = f"be {height} x {width} pixels (height x width) as the model's input"
            raise unusable(file, f"{rule}, or be resized", f"{image.height} x {image.width}")
        part.images[len(part.names)] = to_array(image)
        part.names.append(file)
    part.images = part.images[: len(part.names)]
    return part


def image_paths(
    paths: Iterable[str | os.PathLike[str]],
    skipped: list[str] | None = None,
    left_out: list[str] | None = None,
) -> Iterator[str]:
    """Return the files that are named; those in folders, and those that a pattern matches, in
    the byte order of their names. ``skipped`` receives folders that cannot be read, ``left_out``
    what is in folders and no image file.

    Raises
    ------
    DataError
        At once: a path that does not exist, or a pattern that nothing matches. When it is its
        turn: a folder that cannot be read, without ``skipped``.
    """
    named: list[str] = []
    for given in paths:
        path = os.fspath(given)
        # os.path would take an empty name, which is a mistake, for this folder.
        if path and os.path.exists(path):
            named.append(str(Path(path)))
        elif path and glob.has_magic(path):
            if not (matches := _matches(path)):
                raise unusable(path, "match a file or a folder", "none that it matches")
            named += matches
        else:
            raise unusable(path or "''", "be a file or a folder", "neither")
    return (file for path in named for file in _files(path, skipped, left_out))


def _matches(pattern: str) -> list[str]:
    """Return image files and folders, but nothing that lies in a folder which is one of them."""
    folders: set[Path] = set()
    matches = []
    for name in sorted(glob.glob(pattern, recursive=True), key=os.fsencode):
        path = Path(name)
        if os.path.isdir(name):
            folders.add(path)
        elif not is_image_name(path):
            continue
        if folders.isdisjoint(path.parents):
            matches.append(name)
    return matches


def _files(
    path: str,
    skipped: list[str] | None,
    left_out: list[str] | None,
    above: tuple[tuple[int, int], ...] = (),
) -> Iterator[str]:
    """Yield a file, or the image files of a folder, but no folder within itself."""
    if not os.path.isdir(path):
        yield path
        return
    status = os.stat(path)
    folder = status.st_dev, status.st_ino
    if folder in above:
        return
    try:
        with os.scandir(path) as found:
            # A name and a flag, since a folder may hold a million.
            entries = [(entry.name, _may_be_folder(entry)) for entry in found]
    except OSError as error:
        if skipped is None:
            rule = "be a readable folder"
            raise unreadable(path, rule, f"an error: {reason(error)}") from error
        skipped.append(f"{path}{os.sep}")
        return
    for name, is_folder in sorted(entries, key=lambda entry: os.fsencode(entry[0])):
        if name[0] == ".":
            continue
        if is_folder or is_image_name(Path(name)):
            yield from _files(str(Path(path, name)), skipped, left_out, (*above, folder))
        elif left_out is not None:
            left_out.append(str(Path(path, name)))


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself, say: it is taken for a file, and to read that tells what is wrong.
        return True
