"""The idx format of the MNIST files: big-endian sizes, then unsigned bytes; gzipped or not.

Format: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.data.dataset import Reading, Split, labelled_split, unusable
from convprop.data.idx_names import IdxFiles

_KINDS = {"u1": (0x08, "unsigned bytes"), ">i4": (0x0C, "integers of 4 bytes")}
_GZIP_MAGIC = b"\x1f\x8b"
# DEFLATE's largest ratio is 1032 to 1, so a longer claim is false before any memory is taken.
_DEFLATE_RATIO = 1032
# gzip takes as much memory again as it is asked to fill.
_CHUNK_BYTES = 1 << 20


def load_folder(files: IdxFiles, name: str, how: Reading) -> Split:
    """Load a set's idx files; without a test part the training files are split."""
    # A part that is to be left whole may be either.
    if not files.has("train") and how.test_fraction == 0:
        return labelled_split(name, _read_pair(files, "test"), None, None, how)
    train = _read_pair(files, "train")
    test = _read_pair(files, "test") if files.has("test") else None
    return labelled_split(name, train, test, None, how)


def _read_pair(files: IdxFiles, part: str) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return images (N, 1, H, W) and labels (N,)."""
    paths = [files.path(part, content) for content in ("images", "labels")]
    images = read(paths[0], 3)
    # QMNIST's labels are rows of numbers, of which the first is the digit.
    wide = "-idx2-int" in paths[1].name
    labels = read(paths[1], 2, ">i4")[:, 0] if wide else read(paths[1], 1)
    if len(labels) != len(images):
        raise unusable(
            paths[1], f"hold one label for each of the {len(images)} images", len(labels)
        )
    return images[:, np.newaxis], labels


def read(path: Path, axes: int, dtype: str = "u1") -> NDArray[Any]:
    """Return the array with ``axes`` axes that an idx file holds, of unsigned bytes or ">i4".

    Raises
    ------
    DataError
        Not such a file, too short, too long, or damaged gzip data.
    """
    with path.open("rb") as raw:
        start = raw.read(2)
        raw.seek(0)
        if start != _GZIP_MAGIC:
            return _read_stream(raw, path, axes, dtype, path.stat().st_size)
        try:
            with gzip.GzipFile(fileobj=raw) as unzipped:
                most = path.stat().st_size * _DEFLATE_RATIO
                return _read_stream(unzipped, path, axes, dtype, most)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise unusable(path, "be an undamaged gzip file", f"an error: {error}") from error


def _read_stream(
    stream: io.BufferedIOBase, path: Path, axes: int, dtype: str, most: int
) -> NDArray[Any]:
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
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size == 0:
        raise unusable(path, "have no axis of length 0", f"shape {shape}")
    rule = f"hold {size} bytes after its header, for shape {shape}"
    if size > most:
        raise unusable(path, rule, "fewer")
    array = np.empty(shape, dtype)
    view = array.view(np.uint8).data.cast("B")
    filled = 0
    while filled < size:
        got = stream.readinto(view[filled : filled + _CHUNK_BYTES])
        if not got:
            raise unusable(path, rule, filled)
        filled += got
    if stream.read(1):
        raise unusable(path, rule, "more")
    return array
