"""The .npy format: a header that says what follows, and an array of numbers or texts.

Nothing in a file is evaluated or unpickled, and no memory is taken for what it only claims.
Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from convprop.data.arrays import Array
from convprop.dtypes import is_text
from convprop.shown import brief

MAGIC = b"\x93NUMPY"
_LONGEST = 10_000
"""Bytes of a header; that of a plain array has a hundred."""
_MOST_AXES = 32
_CHUNK_BYTES = 1 << 20
_LAST_CHARACTER = 0x10FFFF

_FIELDS = {
    "descr": r"""['"]([<>|=]?[biufUS?][0-9]{0,9})['"]""",
    "fortran_order": "(True|False)",
    "shape": r"\(([0-9L, ]{0,999})\)",
}


@dataclass(frozen=True)
class Header:
    """What the beginning of an .npy file says of the array in it.

    ``start`` is the number of bytes before the array's own.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    start: int

    @property
    def size(self) -> int:
        """How many bytes the array has."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(stream: IO[bytes]) -> Header:
    """Read a header, up to where the array begins.

    Raises
    ------
    ValueError
        No header, or that of an array which holds neither numbers nor texts.
    """
    begin = stream.read(8)
    if begin[:6] != MAGIC or begin[6:7] not in (b"\1", b"\2", b"\3"):
        raise ValueError("it does not begin as .npy files do")
    width = 2 if begin[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _LONGEST:
        raise ValueError(f"its header claims {length:,} bytes")
    text = stream.read(length).decode("latin-1")
    if len(text) < length:
        raise ValueError("it ends in its header")
    values = {}
    for name, form in _FIELDS.items():
        found = re.findall(rf"""['"]{name}['"] ?: ?{form}""", text)
        if len(found) != 1:
            if "|O" in text:
                raise ValueError("it holds Python objects; save numbers or texts")
            raise ValueError(f"its header has no plain {name}: {brief(text.strip(), 200)}")
        values[name] = found[0]
    shape = tuple(map(int, re.findall("[0-9]+", values["shape"])))
    if len(shape) > _MOST_AXES or max(shape, default=0) >= 1 << 63:
        raise ValueError(f"its header claims the shape {brief(shape)}")
    try:
        dtype = np.dtype(values["descr"])
    except (TypeError, ValueError):
        dtype = None
    # Of a text without characters NumPy would make one that has some.
    if dtype is None or not dtype.itemsize:
        raise ValueError(f"its header has the dtype {values['descr']}")
    return Header(dtype, shape, values["fortran_order"] == "True", 8 + width + length)


def read_array(stream: IO[bytes], header: Header) -> Array:
    """Read the array whose header has been read, in the machine's byte order.

    Raises
    ------
    ValueError
        Fewer bytes than the header says, or a text with what is no character.
    """
    flat = np.empty(math.prod(header.shape), header.dtype)
    left = flat.view(np.uint8).data if header.size else memoryview(b"")
    while left:
        part = stream.read(min(len(left), _CHUNK_BYTES))
        if not part:
            raise ValueError(f"it has {header.size - len(left):,} bytes, not {header.size:,}")
        left[: len(part)] = part
        left = left[len(part) :]
    check_texts(flat)
    array = flat.reshape(header.shape, order="F" if header.fortran_order else "C")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def check_texts(array: Array) -> None:
    """Raise ValueError if an array of texts holds what is no character: Python has none of them."""
    if not is_text(array.dtype) or not array.size:
        return
    codes = np.ascontiguousarray(array).reshape(-1).view(array.dtype.byteorder + "u4")
    wrong = (codes > _LAST_CHARACTER) | ((codes >= 0xD800) & (codes < 0xE000))
    if wrong.any():
        raise ValueError(f"a text holds {int(codes[np.argmax(wrong)]):#x}, which is no character")


def texts(array: Array) -> list[str]:
    """Return the members of an array, texts or numbers, as texts.

    Raises
    ------
    ValueError
        Bytes that are no UTF-8.
    """
    return [v.decode() if isinstance(v, bytes) else str(v) for v in array.reshape(-1).tolist()]
