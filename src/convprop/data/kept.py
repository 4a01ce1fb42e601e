"""Decoded images on the disk: reading them again takes a tenth of the time of decoding them."""

from __future__ import annotations

import math
import os
import weakref

import numpy as np
from numpy.typing import NDArray

from convprop.data.arrays import Shape

MOST_BYTES = 16 << 30
"""How much of the disk one set of images may take."""

FREE_SHARE = 4
"""One part in so many of what is free may be taken."""


class KeptImages:
    """The first images of a set, as far as there is room, in a file that has no name.

    The file lies in the folder for temporary files (``TMPDIR``), and is gone with the object or
    the process. Threads may read and write at once. What cannot be written is not kept.

    Parameters
    ----------
    count : int
    shape : (C, H, W)
        Of bytes.
    """

    def __init__(self, count: int, shape: Shape) -> None:
        import shutil
        import tempfile

        self.size = math.prod(shape)
        self.known = np.zeros(0, dtype=bool)
        try:
            room = min(MOST_BYTES, shutil.disk_usage(tempfile.gettempdir()).free // FREE_SHARE)
            # Open for as long as the object lives; the finalizer closes it.
            file = tempfile.TemporaryFile(prefix="convprop-", buffering=0)  # noqa: SIM115
        except OSError:  # There is no folder for temporary files, or no room in it.
            return
        self.known = np.zeros(min(count, room // self.size), dtype=bool)
        self.descriptor = file.fileno()
        self.close = weakref.finalize(self, file.close)

    def get(self, row: int, image: NDArray[np.uint8]) -> bool:
        """Fill in an image that was kept, and return True; or False."""
        if row >= len(self.known) or not self.known[row]:
            return False
        try:
            return os.preadv(self.descriptor, [image.data], row * self.size) == self.size
        except OSError:
            return False

    def put(self, row: int, image: NDArray[np.uint8]) -> None:
        """Keep an image, a contiguous array, if there is room."""
        if row >= len(self.known):
            return
        try:
            written = os.pwrite(self.descriptor, image.data, row * self.size)
        except OSError:  # The disk has filled up meanwhile.
            self.known = self.known[:0]
        else:
            if row < len(self.known):
                self.known[row] = written == self.size
