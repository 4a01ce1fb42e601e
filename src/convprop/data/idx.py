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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.data.dataset import Reading, Split, check_test_shape, labelled_split
from convprop.data.faults import unusable
from convprop.data.idx_names import IdxFiles

_KINDS = {"u1": (0x08, "unsigned bytes"), ">i4": (0x0C, "integers of 4 bytes")}
_GZIP_MAGIC = b"\x1f\x8b"
# DEFLATE's largest ratio is 1032 to 1, so a longer claim is false before any memory is taken.
_DEFLATE_RATIO = 1032
# gzip takes as much memory again as it is asked to fill.
_CHUNK_BYTES = 1 << 20


def load_folder(files: IdxFiles, name: str, how: Reading) -> Split:
    """Load a set's idx files; without a test part the training files are split.

    The sizes of all are compared before the images of any are read.
    """
    labelled = how.labels != "any"
    # A part that is to be left whole may be either.
    if not files.has("train") and how.test_fraction == 0:
        return labelled_split(name, _Pair(files, "test", labelled).read(), None, None, how)
    train = _Pair(files, "train", labelled)
    if not files.has("test"):
        return labelled_split(name, train.read(), None, None, how)
    test = _Pair(files, "test", labelled)
    if how.size is None:
        check_test_shape(name, train.shape, test.shape)
    return labelled_split(name, train.read(), test.read(), None, how)


class _Pair:
    """The files of a part, of as many images as labels; ``shape`` is an image's, (1, H, W).

    One that need not be ``labelled`` may have no file of labels, which are zeros then.
    """

    def __init__(self, files: IdxFiles, part: str, labelled: bool) -> None:
        self.images, self.labels = files.path(part, "images"), None
        count, *size = read_shape(self.images, 3)
        self.shape = (1, *size)
        if not labelled and (part, "labels") not in files.paths:
            return
        self.labels = files.path(part, "labels")
        # QMNIST's labels are rows of numbers, of which the first is the digit.
        self.wide = "-idx2-int" in self.labels.name
        axes, dtype = (2, ">i4") if self.wide else (1, "u1")
        if (labels := read_shape(self.labels, axes, dtype)[0]) != count:
            rule = f"hold one label for each of the {count} images"
            raise unusable(self.labels, rule, labels)

    def read(self) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """Return images (N, 1, H, W) and labels (N,)."""
        images = read(self.images, 3)[:, np.newaxis]
        if self.labels is None:
            return images, np.zeros(len(images), dtype=np.uint8)
        return images, read(self.labels, 2, ">i4")[:, 0] if self.wide else read(self.labels, 1)


def read_shape(path: Path, axes: int, dtype: str = "u1") -> tuple[int, ...]:
    """Return the shape of the array in an idx file, which could hold as much; see `read`."""
    with _opened(path) as (stream, most):
        return _read_header(stream, path, axes, dtype, most)


def read(path: Path, axes: int, dtype: str = "u1") -> NDArray[Any]:
    """Return the array with ``axes`` axes that an idx file holds, of unsigned bytes or ">i4".

    Raises
    ------
    DataError
        Not such a file, too short, too long, or damaged gzip data.
    """
    with _opened(path) as (stream, most):
        array = np.empty(_read_header(stream, path, axes, dtype, most), dtype)
        view = array.view(np.uint8).data.cast("B")
        filled = 0
        while filled < array.nbytes:
            got = stream.readinto(view[filled : filled + _CHUNK_BYTES])
            if not got:
                raise unusable(path, _rule(array.shape, dtype), filled)
            filled += got
        if stream.read(1):
            raise unusable(path, _rule(array.shape, dtype), "more")
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


def _read_header(
    stream: io.BufferedIOBase, path: Path, axes: int, dtype: str, most: int
) -> tuple[int, ...]:
    kind, kind_name = _KINDS[dtype]
    length = 4 + 4 * axes
    header = stream.read(length)
    magic = bytes((0, 0, kind, axes))
    if header[:4] != magic:
        rule = f"begin with {magic.hex()} (idx, {kind_name}, {axes} axes)"
        raise unusable(path, rule, header[:4].hex() or "an empty file")
    if len(header) < length:
        raise unusable(path, f"begin with an idx header of {length} bytes", f"{len(header)} bytes")
    shape = struct.unpack(f">{axes}I", header[4:])
    if (size := _size(shape, dtype)) == 0:
        raise unusable(path, "have no axis of length 0", f"shape {shape}")
    if size > most:
        raise unusable(path, _rule(shape, dtype), "fewer")
    return shape


def _size(shape: tuple[int, ...], dtype: str) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _rule(shape: tuple[int, ...], dtype: str) -> str:
    return f"hold {_size(shape, dtype)} bytes after its header, for shape {shape}"
