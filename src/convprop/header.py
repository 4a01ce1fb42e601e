"""The header of a safetensors file, whole or not: what it says it holds, and whether it does.

Format: eight bytes that give the header's length, the header as JSON (names to dtype, shape and
place; "__metadata__" to strings), the tensors one after the other.
Source: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convprop.brief import Brief
from convprop.errors import ModelFileError

LARGEST_HEADER = 1 << 23
"""Bytes. Read as JSON they take thirty times as much at the most."""

_MOST_AXES = 64
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
    """Read a file's header, and nothing else.

    Raises
    ------
    ModelFileError
        There is no header that can be read; the message begins with the file's name.
    OSError
        A file that cannot be opened.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError("not a regular file")
        return _parsed(_text(path, status.st_size), status.st_size)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None


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
        content = json.loads(text)
        metadata = content.pop("__metadata__", {})
        tensors = {name: _tensor(8 + len(text), entry) for name, entry in content.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelFileError(f"a damaged header ({_short(error)})") from None
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ModelFileError("a damaged header (__metadata__ must map names to strings)")
    placed = dict(sorted(tensors.items(), key=lambda item: item[1].start))
    return Header(size, metadata, placed, _faults(placed, 8 + len(text), size))


def _tensor(base: int, entry: dict[str, Any]) -> Tensor:
    dtype, shape = entry["dtype"], tuple(entry["shape"])
    start, end = entry["data_offsets"]
    if not isinstance(dtype, str) or len(shape) > _MOST_AXES:
        raise ValueError("a tensor needs a dtype and a shape")
    for number in (*shape, start, end):
        if type(number) is not int or not 0 <= number < 1 << 63:
            raise ValueError("shapes and places must be numbers of at least 0")
    return Tensor(dtype, shape, base + start, end - start)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:80]}"


def _faults(tensors: dict[str, Tensor], base: int, size: int) -> list[str]:
    """Say which tensors have another size than they need, or lie apart or over one another."""
    faults = []
    end = base
    for name, tensor in tensors.items():
        bits = _BITS.get(tensor.dtype)
        if bits is None:
            faults.append(f"the tensor {name!r:.80} has the unknown dtype {tensor.dtype!r:.20}")
        elif (needed := math.prod(tensor.shape) * bits // 8) != tensor.size:
            faults.append(f"the tensor {name!r:.80} has {tensor.size:,} bytes, not {needed:,}")
        if tensor.start != end:
            faults.append(f"the tensor {name!r:.80} does not begin where the one before ends")
        end = tensor.start + tensor.size
    if size < end:
        faults.append(f"cut off: {end - size:,} of {end:,} bytes are missing")
    elif size > end:
        faults.append(f"{size - end:,} bytes too many at the end")
    return faults
