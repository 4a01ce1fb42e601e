"""A safetensors file, whole or not: what its header says it holds, whether it does, and that.

Format: eight bytes that give the header's length, the header as JSON (names to dtype, shape and
place; "__metadata__" to strings), the tensors one after the other.
Source: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import math
import stat
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.brief import Brief
from convprop.errors import ModelFileError
from convprop.files.json_text import parse
from convprop.shown import brief, shortened

LARGEST_HEADER = 1 << 24
"""Bytes. Read as JSON they take thirty times as much at the most."""

_MOST_AXES = 32
_NUMPY = {"F32": "<f4", "F64": "<f8"}
"""The dtypes that networks have."""
_BITS = {"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16}
_BITS |= {"U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64}
_BITS |= {"F8_E4M3": 8, "F8_E5M2": 8}


@dataclass(frozen=True)
class Tensor:
    """An array in the file: ``size`` bytes from byte ``start`` on."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True, repr=False)
class Header(Brief):
    """What a file says of itself.

    Attributes
    ----------
    size : int
        The file's, in bytes.
    metadata : dict of str
    tensors : dict of Tensor
        In the order of their places.
    faults : list of str
        What is not as it should be.
    """

    size: int
    metadata: dict[str, str]
    tensors: dict[str, Tensor]
    faults: list[str]


def read_header(path: Path) -> Header:
    """Read a file's header, and nothing else: it is the one reader of them that there is.

    Raises
    ------
    ModelFileError
        There is no header that can be read; without the file's name.
    OSError
        A file that cannot be opened.
    """
    try:
        status = path.stat()
    except ValueError as error:  # A null character in the name.
        raise ModelFileError(str(error)) from None
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError("not a regular file")
    return _parsed(_text(path, status.st_size), status.st_size)


def _text(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or not 2 <= length <= LARGEST_HEADER:
            raise ModelFileError("not a model file: it does not begin as safetensors files do")
        text = file.read(min(length, max(size - 8, 0)))
    if not text.startswith(b"{"):
        raise ModelFileError("not a model file: it does not begin as safetensors files do")
    if len(text) < length:
        raise ModelFileError(f"cut off in its header, which has {length:,} bytes: {len(text):,}")
    return text


def _parsed(text: bytes, size: int) -> Header:
    try:
        content = parse(text.decode())
    except ValueError as error:
        raise ModelFileError(f"a damaged header ({error})") from None
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ModelFileError("a damaged header (__metadata__ must map names to strings)")
    tensors = {name: _tensor(8 + len(text), name, entry) for name, entry in content.items()}
    placed = dict(sorted(tensors.items(), key=lambda item: item[1].start))
    return Header(size, metadata, placed, _faults(placed, 8 + len(text), size))


def _tensor(base: int, name: str, entry: object) -> Tensor:
    what = f"a damaged header (the tensor {brief(name)} must"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ModelFileError(f"{what} have dtype, shape and data_offsets, got {brief(entry)})")
    dtype, shape, place = (entry[part] for part in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str):
        raise ModelFileError(f"{what} have a text as its dtype, got {brief(dtype)})")
    if not _are_sizes(shape) or len(shape) > _MOST_AXES:
        rule = f"have a shape of at most {_MOST_AXES} numbers of at least 0"
        raise ModelFileError(f"{what} {rule}, got {brief(shape)})")
    if not _are_sizes(place) or len(place) != 2:
        rule = "have two numbers of at least 0 as its data_offsets"
        raise ModelFileError(f"{what} {rule}, got {brief(place)})")
    return Tensor(dtype, tuple(shape), base + place[0], place[1] - place[0])


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def read_tensor(file: BufferedReader, name: str, tensor: Tensor) -> NDArray[Any]:
    """Return what a file that is open holds of a tensor whose header has no fault.

    Raises
    ------
    ModelFileError
        A dtype that no network has, or fewer bytes than when the header was read.
    """
    if tensor.dtype not in _NUMPY:
        raise ModelFileError(
            f"the tensor {brief(name)} must be F32 or F64, got {shortened(tensor.dtype, 20)}"
        )
    array = np.empty(tensor.shape, _NUMPY[tensor.dtype])
    left = array.reshape(-1).view(np.uint8).data
    file.seek(tensor.start)
    while left:
        if not (count := file.readinto(left)):
            raise ModelFileError(f"the tensor {brief(name)} is cut off")
        left = left[count:]
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _faults(tensors: dict[str, Tensor], base: int, size: int) -> list[str]:
    """Say which tensors have another size than they need, or lie apart or over one another."""
    faults = []
    end = base
    for name, tensor in tensors.items():
        bits = _BITS.get(tensor.dtype)
        if bits is None:
            faults.append(f"the tensor {brief(name)} has the unknown dtype {brief(tensor.dtype)}")
        elif (needed := math.prod(tensor.shape) * bits // 8) != tensor.size:
            faults.append(f"the tensor {brief(name)} has {tensor.size:,} bytes, not {needed:,}")
        if tensor.start != end:
            faults.append(f"the tensor {brief(name)} does not begin where the one before ends")
        end = tensor.start + tensor.size
    if size < end:
        faults.append(f"cut off: {end - size:,} of {end:,} bytes are missing")
    elif size > end:
        faults.append(f"{size - end:,} bytes too many at the end")
    return faults
