"""The .npz and .npy files: directories, headers, dtypes and texts that NumPy would not write."""

from __future__ import annotations

import io
import random
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np

from convprop import data
from convprop.errors import ConvpropError, DataError
from fuzzing.judge import check_shown, must
from fuzzing.mutate import damaged

# What unpickling would do: make a file.
PICKLE = b"cos\nmkdir\n(S'unpickled'\ntR."
DTYPES = (
    *("|O", "<f2", ">f4", "<f8", ">f8", "<f16", "<c8", "<M8[ns]", "|V8", "<U3", ">U3", "|S3"),
    *("<U0", "|S0", "<i8", ">i8", "<u8", "|b1", "?", "|i1", "=i4", "<i3", "<f3", "x", "", "<U"),
    *("<U999999999", "|S99999999", "<U4294967296", "O", "|u1", "float32", "<u2", ">u2"),
)
SHAPES = (
    *("()", "(0,)", "(8,)", "(8, 1)", "(8, 4, 3)", "(8, 4, 3, 1)", "(1, 8, 4, 3)", "(8, 1, 4, 3)"),
    *("(99999999999,)", "(8, 0)", "(-1,)", "(4611686018427387904, 0)", "(8, 4611686018427387904)"),
    *("(18446744073709551616,)", "8", "[8]", "(8.0,)", "(8L,)", "(" + "1, " * 40 + ")", "(True,)"),
    *("(" * 200 + ")" * 200, "(8, 4, 3, 3)", "(2, 48)", "(96,)", "((8,),)", "(0x8,)", "(8_0,)"),
)


class Archives:
    """Makes .npz files, or folders of .npy files, and loads them."""

    def __init__(self) -> None:
        chance = np.random.default_rng(0)
        images = chance.integers(0, 256, (8, 4, 3, 1)).astype(np.uint8)
        labels = np.arange(8) % 3
        self.good = {
            "images": images,
            "labels": labels,
            "test_images": images[:4],
            "test_labels": np.arange(4) % 3,
            "class_names": np.array(["a", "bc", "d"]),
            "data_format": np.array("NHWC"),
        }
        self.others = {
            "images": [images.astype(t) for t in ("float32", ">f8", "int16", "bool", "float16")],
            "labels": [labels.astype(">i2"), labels.astype("U"), labels.astype("S"), labels * 1.0],
            "class_names": [np.arange(3), np.array([b"a", b"\xff", b"c"]), np.array(["", "\x1b"])],
        }

    def __call__(self, chance: random.Random) -> None:
        """Try one."""
        arrays = dict(self.good)
        for name, others in self.others.items():
            if chance.random() < 0.2:
                arrays[name] = chance.choice(others)
        for name in ("test_images", "test_labels", "class_names", "data_format", "labels"):
            if chance.random() < 0.2:
                del arrays[name]
        members = {name: _npy(array) for name, array in arrays.items()}
        odd = chance.choice(list(members))
        kind = chance.randrange(8)
        if kind < 4:
            members[odd] = changed_array(chance, arrays[odd], members[odd])
        elif kind == 4:
            members[odd] = damaged(chance, members[odd])
        elif kind == 5:
            members[chance.choice(("\x1b[2J", "../x", "x" * 5000, "\u202e"))] = members.pop(odd)
        mapped = chance.random() < 0.25
        source = _folder(members) if mapped else _archive(chance, members, kind)
        try:
            split = data.load(source)
        except ConvpropError as error:
            must(isinstance(error, DataError), f"another error: {error!r}")
            raise
        finally:
            must(not Path("unpickled").exists(), "a pickle was run")
        must(len(split.train.images) == len(split.train.labels), "labels of another number")
        for name in split.train.class_names:
            name.encode()
            check_shown(repr(name))
        try:
            split.train.images[np.arange(1)]
        except DataError:
            must(mapped, "not finite")


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def changed_array(chance: random.Random, array: np.ndarray, content: bytes) -> bytes:
    """Return the .npy bytes of an array whose header or values are others."""
    descr, order, shape = array.dtype.str, "False", str(array.shape)
    kind = chance.randrange(6)
    values = array.tobytes()
    if kind in (0, 1):
        descr = chance.choice(DTYPES)
    if kind in (1, 2):
        shape = chance.choice(SHAPES)
    if kind == 3:
        order = chance.choice(("True", "0", "None", "[]", "(", "1e999"))
    if kind == 4:
        descr = chance.choice(("|O", "<U3", "<U1"))
        values = PICKLE + values
        code = chance.choice((0x110000, 0xD800, 0xDFFF, 0xFFFFFFFF, 0x202E, 0x1B))
        if descr != "|O":
            values = struct.pack("<I", code) * (3 * 96)
            shape = chance.choice((shape, "(3,)", "(8,)", "()"))
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"
    if kind == 5:
        text = chance.choice(
            (
                text.replace("'descr'", "'shape'"),
                text.replace("'|u1'", "[('a', '<i4'), ('b', 'O')]"),
                text + " " * 20_000,
                "[" * 9000,
                text.replace("False", "__import__('os').mkdir('unpickled')"),
                text[:-9],
                "",
                repr(text),
            )
        )
    if chance.random() < 0.2:
        values += chance.randbytes(chance.randint(1, 9))
    version = chance.choice((1, 1, 1, 2, 3, 4, 0))
    raw = text.encode() + b"\n"
    length = len(raw).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes((version, 0)) + length + raw + values


def _folder(members: dict[str, bytes]) -> str:
    folder = Path("mapped")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in members.items():
        if name.isidentifier() and len(name) < 99:
            (folder / f"{name}.npy").write_bytes(content)
    return str(folder)


def _archive(chance: random.Random, members: dict[str, bytes], kind: int) -> str:
    content = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
    with zipfile.ZipFile(content, "w", chance.choice(methods), compresslevel=1) as archive:
        for name, member in members.items():
            archive.writestr(f"{name}{'.npy' if chance.random() < 0.98 else ''}", member)
        if kind == 6:
            archive.writestr("big.npy", bytes(1 << 20))
    raw = content.getvalue()
    if kind == 7:
        raw = changed_directory(chance, raw)
    Path("set.npz").write_bytes(raw)
    return "set.npz"


def changed_directory(chance: random.Random, raw: bytes) -> bytes:
    """Return an archive with other numbers in its directory, or before one of its members."""
    found = bytearray(raw)
    for _ in range(chance.randint(1, 3)):
        mark = chance.choice((b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"))
        places = [n for n in range(len(raw)) if raw.startswith(mark, n)]
        if not places:
            break
        place = chance.choice(places) + chance.randint(4, 45)
        number = chance.choice((0, 1, 8, 12, 14, 99, 255, 2**16 - 1, 2**31, 2**32 - 1))
        size = chance.choice((1, 2, 4))
        found[place : place + size] = (number % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(found)


prepare = Archives
