"""The idx format of the MNIST files: big-endian sizes, then unsigned bytes; gzipped or not.

Format: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convprop.data.dataset import Split, check_test_shape, labelled_split, unusable

_UNSIGNED_BYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
# DEFLATE's largest ratio is 1032 to 1, so a longer claim is false before any memory is taken.
_DEFLATE_RATIO = 1032
# gzip takes as much memory again as it is asked to fill.
_CHUNK_BYTES = 1 << 20


def find(folder: Path, part: str, content: str) -> Path | None:
    """Return the file of a part ("train" or "t10k") and a content ("images" or "labels")."""
    axes = 3 if content == "images" else 1
    for joint in "-.":
        for ending in ("", ".gz"):
            path = folder / f"{part}-{content}{joint}idx{axes}-ubyte{ending}"
            if path.is_file():
                return path
    return None


def is_idx_folder(folder: Path) -> bool:
    """Whether ``folder`` holds any of the idx files :func:`load_folder` reads."""
    return any(find(folder, p, c) for p in ("train", "t10k") for c in ("images", "labels"))


def load_folder(folder: Path, name: str, test_fraction: float, seed: int) -> Split:
    """Load train-* and t10k-* idx files; without t10k-* the training files are split.

    The sizes of all are compared before the images of any are read.
    """
    train, test = _Pair(folder, "train"), None
    if find(folder, "t10k", "images") is not None or find(folder, "t10k", "labels") is not None:
        test = _Pair(folder, "t10k")
        check_test_shape(name, train.shape, test.shape)
    return labelled_split(
        name, train.read(), None if test is None else test.read(), None, test_fraction, seed
    )


class _Pair:
    """The files of a part: as many images as labels."""

    def __init__(self, folder: Path, part: str) -> None:
        self.paths = []
        for content, axes in (("images", 3), ("labels", 1)):
            path = find(folder, part, content)
            if path is None:
                file_name = f"{part}-{content}-idx{axes}-ubyte"
                raise unusable(folder, f"hold {file_name} or {file_name}.gz", "neither")
            self.paths.append(path)
        images, labels = self.paths
        (count, *size), (labelled,) = read_shape(images, 3), read_shape(labels, 1)
        if labelled != count:
            raise unusable(labels, f"hold one label for each of the {count} images", labelled)
        self.shape = (1, *size)

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return images (N, 1, H, W) and labels (N,)."""
        images, labels = self.paths
        raw = read(labels, 1)
        return read(images, 3)[:, np.newaxis], raw


def read_shape(path: Path, axes: int) -> tuple[int, ...]:
    """Return the shape of the array in an idx file, which could hold as much; see `read`."""
    with _opened(path) as (stream, most):
        return _read_header(stream, path, axes, most)


def read(path: Path, axes: int) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes with ``axes`` axes that an idx file holds.

    Raises
    ------
    DataError
        Not such a file, too short, too long, or damaged gzip data.
    """
    with _opened(path) as (stream, most):
        array = np.empty(_read_header(stream, path, axes, most), dtype=np.uint8)
        view = array.data.cast("B")
        filled = 0
        while filled < array.size:
            got = stream.readinto(view[filled : filled + _CHUNK_BYTES])
            if not got:
                raise unusable(path, _rule(array.shape), filled)
            filled += got
        if stream.read(1):
            raise unusable(path, _rule(array.shape), "more")
    return array


@contextmanager
def _opened(path: Path) -> Iterator[tuple[io.BufferedIOBase, int]]:
    """Give a file's bytes, unpacked, and how many there can be at most."""
    with path.open("rb") as raw:
        size = path.stat().st_size
        start = raw.read(2)
        raw.seek(0)
        if start != _GZIP_MAGIC:
            yield raw, size
            return
        try:
            with gzip.GzipFile(fileobj=raw) as unzipped:
                yield unzipped, size * _DEFLATE_RATIO
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise unusable(path, "be an undamaged gzip file", f"an error: {error}") from error


def _read_header(stream: io.BufferedIOBase, path: Path, axes: int, most: int) -> tuple[int, ...]:
    length = 4 + 4 * axes
    header = stream.read(length)
    magic = bytes((0, 0, _UNSIGNED_BYTE, axes))
    if header[:4] != magic:
        rule = f"begin with {magic.hex()} (idx, unsigned bytes, {axes} axes)"
        raise unusable(path, rule, header[:4].hex() or "an empty file")
    if len(header) < length:
        raise unusable(path, f"begin with an idx header of {length} bytes", f"{len(header)} bytes")
    shape = struct.unpack(f">{axes}I", header[4:])
    size = math.prod(shape)
    if size == 0:
        raise unusable(path, "have no axis of length 0", f"shape {shape}")
    if size > most:
        raise unusable(path, _rule(shape), "fewer")
    return shape


def _rule(shape: tuple[int, ...]) -> str:
    return f"hold {math.prod(shape)} bytes after its header, for shape {shape}"
