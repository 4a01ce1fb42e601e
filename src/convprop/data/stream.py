"""Images that do not fit in memory: read batch by batch, ahead of their use.

A stream is whatever has the ``shape`` (N, C, H, W) and the ``dtype`` of an array of images and
gives the images of some rows as ``stream[rows]``. ``ImageFiles`` is one; an array mapped from
a file (``np.load(path, mmap_mode="r")``) needs none, since the engine takes from it the images
of a batch alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from convprop.arguments import checks_names
from convprop.data.ahead import ahead
from convprop.data.arrays import Array, Shape
from convprop.data.image_files import MODES, read_file, resized, to_array
from convprop.data.kept import KeptImages
from convprop.errors import DataError, invalid, sentence

Indices = NDArray[np.int64]

BATCHES_AHEAD = 8
"""How many batches are read while one is being used."""

AHEAD_BYTES = 1 << 28
"""How much memory they may take; one is read ahead in any case."""


@runtime_checkable
class ImageStream(Protocol):
    """What training takes in the place of an array of images."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8, float32 or float64."""

    def __getitem__(self, rows: Indices) -> Array:
        """Return the images of the rows, (n, C, H, W)."""


def is_stream(images: object) -> TypeGuard[ImageStream]:
    """Whether images are to be read row by row: what NumPy can make an array of is an array."""
    return not hasattr(images, "__array__") and isinstance(images, ImageStream)


class ImageFiles:
    """Image files, decoded when their rows are asked for.

    Parameters
    ----------
    paths : sequence of path
    shape : (C, H, W)
        What each is read as: C = 1 grey, 3 RGB, 4 RGBA; other sizes are stretched.
    keep : bool
        Keep what has been decoded in a temporary file, at most 16 GiB or a quarter of what is
        free there, and take it from there the next time. Files must not change meanwhile.

    Raises
    ------
    DataError
        From ``stream[rows]``: a file that is gone or cannot be read; the message names it.
    """

    dtype = np.dtype(np.uint8)

    @checks_names
    def __init__(
        self, paths: Sequence[str | PathLike[str]], shape: Shape, *, keep: bool = False
    ) -> None:
        if shape[0] not in MODES:
            raise invalid("shape", "have 1, 3 or 4 channels", shape[0])
        # A million strings take a third of the memory of a million paths.
        self.paths = [fspath(path) for path in paths]
        self.shape = (len(self.paths), *shape)
        self.keep = keep
        self._rows = np.arange(len(self.paths))
        self._kept = KeptImages(len(self.paths), shape) if keep else None

    def __getstate__(self) -> dict[str, Any]:
        # The file of what is kept belongs to this process.
        return self.__dict__ | {"_kept": None}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Any) -> Array:
        # Any index of an array's first axis, of which training uses arrays of rows alone.
        chosen = self._rows[rows]
        if chosen.ndim == 0:
            one: Array = self[[rows]][0]
            return one
        images = np.empty((len(chosen), *self.shape[1:]), dtype=np.uint8)
        for image, row in zip(images, chosen.tolist(), strict=True):
            if self._kept is None:
                image[...] = self.read(row)
            elif not self._kept.get(row, image):
                image[...] = self.read(row)
                self._kept.put(row, image)
        return images

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return one image, (C, H, W), from its file."""
        channels, height, width = self.shape[1:]
        picture = read_file(Path(self.paths[row]), channels)
        return to_array(resized(picture, (height, width)))

    def subset(self, rows: Indices) -> ImageFiles:
        """Return the files of some rows, in that order."""
        channels, height, width = self.shape[1:]
        paths = [self.paths[row] for row in rows]
        return ImageFiles(paths, (channels, height, width), keep=self.keep)


def prefetched(stream: ImageStream, batches: Sequence[Indices]) -> Iterator[Array]:
    """Yield the images of each batch in order, read by worker threads ahead of their use.

    Closing the iterator ends the threads. An error comes where its batch would have.

    Raises
    ------
    DataError
        The stream gives something else than its shape and dtype promise.
    """

    def read(rows: Indices) -> Array:
        images = stream[rows]
        given = getattr(images, "shape", None), getattr(images, "dtype", None)
        wanted = (len(rows), *stream.shape[1:]), stream.dtype
        if given != wanted:
            rule = f"give images of shape {wanted[0]} and dtype {wanted[1]} for {len(rows)} rows"
            received = type(images).__name__ if None in given else f"{given[0]} and {given[1]}"
            raise DataError(sentence("the stream", rule, received))
        return np.ascontiguousarray(images)

    largest = max(map(len, batches), default=0)
    return ahead(read, batches, _batches_ahead(largest * _image_bytes(stream)))


def prefetched_bytes(stream: ImageStream, batch_size: int) -> int:
    """Return how much memory ``prefetched`` takes at most, for batches of that size."""
    batch = batch_size * _image_bytes(stream)
    # Besides those that wait, one is being read and one used.
    return min((_batches_ahead(batch) + 2) * batch, stream.shape[0] * _image_bytes(stream))


def _image_bytes(stream: ImageStream) -> int:
    return math.prod(stream.shape[1:]) * stream.dtype.itemsize


def _batches_ahead(batch_bytes: int) -> int:
    return min(max(AHEAD_BYTES // max(batch_bytes, 1), 1), BATCHES_AHEAD)
