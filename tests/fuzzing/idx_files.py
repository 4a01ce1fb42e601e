"""Folders of idx files: headers, lengths and gzip streams that are not as MNIST's."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from pathlib import Path

import numpy as np

from convprop import data
from convprop.errors import ConvpropError, DataError
from fuzzing.judge import must
from fuzzing.mutate import NUMBERS, damaged

MOST_BYTES = 1 << 22
"""What a good array of an input may take."""


class Folders:
    """Makes folders and loads them."""

    def __init__(self) -> None:
        self.images = np.random.default_rng(0).integers(0, 256, (8, 4, 3)).astype(np.uint8)
        self.labels = np.arange(8).astype(np.uint8) % 3

    def __call__(self, chance: random.Random) -> None:
        """Try one."""
        for file in Path().glob("*-idx*"):
            file.unlink()
        odd = chance.choice(("train-images", "train-labels", "t10k-images", "t10k-labels"))
        for part in ("train", "t10k") if odd.startswith("t10k") else ("train",):
            for name, axes, array in (("images", 3, self.images), ("labels", 1, self.labels)):
                header = struct.pack(f">4B{axes}I", 0, 0, 8, axes, *array.shape)
                content = header + array.tobytes()
                file = f"{part}-{name}"
                zipped = chance.random() < 0.5
                content = (
                    changed_file(chance, content, axes, zipped)
                    if file == odd
                    else gzip.compress(content, 1)
                    if zipped
                    else content
                )
                ending = ".gz" if zipped else ""
                Path(f"{file}-idx{axes}-ubyte{ending}").write_bytes(content)
        try:
            split = data.load(".")
        except ConvpropError as error:
            must(isinstance(error, DataError), f"another error: {error!r}")
            raise
        must(len(split.train.images) == len(split.train.labels), "labels of another number")


def changed_file(chance: random.Random, content: bytes, axes: int, zipped: bool) -> bytes:
    """Return a file's bytes, changed before they are packed, or after."""
    kind = chance.randrange(6)
    if kind < 3:
        sizes = list(struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes]))
        for _ in range(chance.randint(1, 2)):
            sizes[chance.randrange(axes)] = (chance.choice(NUMBERS) + chance.randrange(9)) % 2**32
        magic = content[:4] if kind else bytes((0, 0, chance.choice((8, 13)), chance.randrange(5)))
        content = magic + struct.pack(f">{axes}I", *sizes) + content[4 + 4 * axes :]
        wanted = 1
        for size in sizes:
            wanted *= size
        if chance.random() < 0.3 and wanted <= MOST_BYTES:
            content = content[: 4 + 4 * axes] + bytes(wanted)
    elif kind == 3:
        content = damaged(chance, content)
    if not zipped:
        return content
    packed = gzip.compress(content, 1)
    if kind == 4:
        return damaged(chance, packed)
    if kind == 5:
        return _bomb(chance, content, axes)
    return packed


def _bomb(chance: random.Random, content: bytes, axes: int) -> bytes:
    """Return some kilobytes of gzip that unpack to megabytes, more than the header says or less."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    size = chance.randint(1, MOST_BYTES)
    claimed = chance.choice((size, 2**30, 2**31, len(content)))
    sizes = [claimed] + [1] * (axes - 1)
    head = content[:4] + struct.pack(f">{axes}I", *sizes)
    return packer.compress(head + bytes(size)) + packer.flush()


prepare = Folders
