"""Pictures: chunks, fields and pixels of every format that are not as a camera's."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from convprop import data
from convprop.data.image_files import measure_file, read_file, to_array
from convprop.errors import DataError
from convprop.explorer.upload import decoded
from fuzzing.judge import must
from fuzzing.mutate import NUMBERS, damaged

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")
FORMATS = ("PNG", "PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "ICO", "PPM", "MPO")
ENDINGS = {"JPEG": ".jpg", "TIFF": ".tif", "GIF": ".png", "ICO": ".png", "PPM": ".png"}
CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"eXIf", b"iCCP", b"zTXt", b"acTL")


class Pictures:
    """Makes pictures, and reads them as files, as folders and as uploads."""

    def __init__(self) -> None:
        self.files = []
        pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
        picture = Image.fromarray(pixels)
        for mode in MODES:
            for kind in dict.fromkeys(FORMATS):
                exif = Image.Exif()
                exif[0x0112] = len(self.files) % 9
                content = io.BytesIO()
                one = (
                    picture.convert(mode) if mode != "I;16" else picture.convert("I").convert(mode)
                )
                try:
                    one.save(content, kind, exif=exif)
                except (OSError, ValueError, KeyError):
                    continue  # A mode that the format does not have.
                self.files.append((kind, content.getvalue()))
        frames = io.BytesIO()
        picture.save(frames, "PNG", save_all=True, append_images=[picture.rotate(90)])
        self.files.append(("PNG", frames.getvalue()))
        self.good = next(content for kind, content in self.files if kind == "BMP")

    def __call__(self, chance: random.Random) -> None:
        """Try one."""
        kind, content = chance.choice(self.files)
        change = changed_png if kind == "PNG" and chance.random() < 0.7 else damaged
        content = change(chance, content)
        way = chance.randrange(4)
        if way == 0:
            pixels = decoded(content, chance.choice((1, 3, 4)), (8, 8))
            must(bool(np.isfinite(pixels).all()), "not finite")
        elif way == 1:
            self._folder(chance, content, ENDINGS.get(kind, f".{kind.lower()}"))
        else:
            path = Path("a.png")
            path.write_bytes(content)
            _file(path, chance.choice((None, 1, 3, 4)))

    def _folder(self, chance: random.Random, content: bytes, ending: str) -> None:
        for name in ("a", "b"):
            folder = Path("folder", name)
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.iterdir():
                old.unlink()
            for number in range(2):
                (folder / f"{number}.bmp").write_bytes(self.good)
        Path("folder", "b", f"odd{ending}").write_bytes(content)
        skip = chance.random() < 0.5
        size = chance.choice((None, (4, 4)))
        data.load("folder", size=size, skip_unreadable=skip, stream=chance.random() < 0.3)


def _file(path: Path, channels: int | None) -> None:
    """Read a file, and compare with what was measured."""
    try:
        measured = measure_file(path)
    except DataError:
        measured = None
    picture = to_array(read_file(path, channels))
    must(picture.dtype == np.uint8 and picture.shape[0] in (1, 3, 4), "no picture")
    if measured is not None:
        # An orientation that comes twice, before the pixels and behind them, may turn it; the one
        # before them may even be damaged, so that nothing is measured.
        sides = sorted(measured[1]) == sorted(picture.shape[1:])
        must(sides, f"{picture.shape} measured as {measured}")


def changed_png(chance: random.Random, content: bytes) -> bytes:
    """Return a PNG with another field, chunk or order of them, and the right checksums."""
    chunks = []
    place = 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    for _ in range(chance.randint(1, 2)):
        at = chance.randrange(len(chunks))
        name, body = chunks[at]
        kind = chance.randrange(7)
        if kind < 3 and len(chunks[0][1]) == 13:
            chunks[0] = (b"IHDR", _changed_header(chance, chunks[0][1]))
        elif kind == 3:
            chunks[at] = (chance.choice(CHUNKS), body)
        elif kind == 4:
            chunks[at] = (name, damaged(chance, body))
        elif kind == 5:
            extra = zlib.compress(bytes(chance.choice((0, 100, 1 << 20))))
            chunks.insert(at, (chance.choice(CHUNKS), b"a\0\0" + extra))
        else:
            chunks.insert(chance.randrange(len(chunks)), chunks.pop(at))
    parts = [content[:8]]
    for name, body in chunks:
        length = len(body) if chance.random() < 0.98 else chance.choice(NUMBERS) % 2**32
        checksum = zlib.crc32(name + body)
        parts += [struct.pack(">I", length), name, body, struct.pack(">I", checksum)]
    return b"".join(parts)


def _changed_header(chance: random.Random, body: bytes) -> bytes:
    """Return IHDR with another width, height, depth, kind of colour or interlacing."""
    values = list(struct.unpack(">II5B", body))
    at = chance.randrange(7)
    sizes = (0, 1, 2, 7, 9, 63, 3000, 9000, 30_000, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
    values[at] = chance.choice(sizes) if at < 2 else chance.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return struct.pack(">II5B", *values)


prepare = Pictures
