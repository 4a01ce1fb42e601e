"""Images that do not fit in memory: read batch by batch, ahead of their use.

A stream is whatever has the ``shape`` (N, C, H, W) and the ``dtype`` of an array of images and
gives the images of some rows as ``stream[rows]``. ``ImageFiles`` is one; an array mapped from
a file (``np.load(path, mmap_mode="r")``) needs none, since the engine takes from it the images
of a batch alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from convprop.data.arrays import Array, Shape
from convprop.data.image_files import MODES, read_file, resized, to_array
from convprop.errors import invalid
from convprop.processors import default_threads

Indices = NDArray[np.int64]

BATCHES_AHEAD = 4
"""How many batches are read while one is being used."""


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


class ImageFiles:
    """Image files, decoded when their rows are asked for.

    Parameters
    ----------
    paths : sequence of path
    shape : (C, H, W)
        What each is read as: C = 1 grey, 3 RGB, 4 RGBA; other sizes are stretched.

    Raises
    ------
    DataError
        From ``stream[rows]``: a file that is gone or cannot be read; the message names it.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: Sequence[str | PathLike[str]], shape: Shape) -> None:
        if shape[0] not in MODES:
            raise invalid("shape", "have 1, 3 or 4 channels", shape[0])
        self.paths = [Path(path) for path in paths]
        self.shape = (len(self.paths), *shape)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: Indices) -> Array:
        images = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        for image, row in zip(images, rows, strict=True):
            image[...] = self.read(int(row))
        return images

    def read(self, row: int) -> NDArray[np.uint8]:
        """Return one image, (C, H, W)."""
        channels, height, width = self.shape[1:]
        return to_array(resized(read_file(self.paths[row], channels), (height, width)))


def prefetched(stream: ImageStream, batches: Sequence[Indices]) -> Iterator[Array]:
    """Yield the images of each batch in order, read by worker threads ahead of their use.

    Closing the iterator ends the threads. An error comes where its batch would have.
    """
    waiting: deque[Future[Array]] = deque()
    workers = ThreadPoolExecutor(default_threads(), thread_name_prefix="convprop-read")
    try:
        for batch in batches:
            waiting.append(workers.submit(stream.__getitem__, batch))
            if len(waiting) > BATCHES_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        workers.shutdown(wait=True, cancel_futures=True)
