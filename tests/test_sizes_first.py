"""Sizes and counts are compared before any pixel is unpacked, and no claim takes memory."""

import gzip
import io
import struct
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from convprop import data
from convprop.data.image_files import MOST_PIXELS, read_file, to_array
from convprop.errors import DataError
from refusal import refuses

IMAGES = np.arange(8 * 4 * 3, dtype=np.uint8).reshape(8, 4, 3)
LABELS = np.arange(8) % 2


@contextmanager
def little_memory(most=1 << 21):
    """Allow for the headers of files and for a chunk of what they hold."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def zeros(head: bytes, count: int) -> bytes:
    """Return gzip of a head and so many zeros: a thousandth of them in bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(head + bytes(count)) + packer.flush()


def idx(*shape: int) -> bytes:
    return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape)


def write_idx(folder, part, images: bytes, labels: bytes) -> None:
    (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(images)
    (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(labels)


def test_idx_labels_are_counted_before_images_are_unpacked(tmp_path):
    images = zeros(idx(60, 1024, 1024), 60 << 20)
    assert len(images) < 1 << 17
    write_idx(tmp_path, "train", images, gzip.compress(idx(4) + bytes(4)))
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    with (
        little_memory(),
        refuses(DataError, f"{path} must hold one label for each of the 60 images, got 4"),
    ):
        data.load(tmp_path)


def test_idx_test_images_are_measured_before_training_images_are_unpacked(tmp_path):
    train = zeros(idx(60, 1024, 1024), 60 << 20)
    write_idx(tmp_path, "train", train, gzip.compress(idx(60) + bytes(60)))
    write_idx(tmp_path, "t10k", zeros(idx(2, 5, 5), 50), gzip.compress(idx(2) + bytes(2)))
    with little_memory(), pytest.raises(DataError, match=r"test images of shape \(1, 1024, 1024\)"):
        data.load(tmp_path)


def test_idx_of_more_than_its_header_says_is_left_when_that_is_full(tmp_path):
    train = zeros(idx(4, 2, 2), 60 << 20)
    write_idx(tmp_path, "train", train, gzip.compress(idx(4) + bytes(range(4))))
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with (
        little_memory(1 << 22),
        refuses(
            DataError, f"{path} must hold 16 bytes after its header, for shape (4, 2, 2), got more"
        ),
    ):
        data.load(tmp_path)


def npy(descr: str, shape: object, content: bytes, order: str = "False") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def archive(path, method=zipfile.ZIP_DEFLATED, **members: bytes):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def array(values) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


BIG = npy("|u1", (60, 1024, 1024), bytes(60 << 20))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"images": BIG, "labels": array(np.arange(4))},
            " must hold one label in labels for each of the 60 images, got shape (4,)",
        ),
        (
            {"images": BIG, "labels": array(np.arange(60)), "test_images": array(IMAGES)},
            " must hold an array named test_labels, got images, labels, test_images",
        ),
        (
            {
                "images": BIG,
                "labels": array(np.arange(60)),
                "test_images": array(IMAGES),
                "test_labels": array(LABELS),
            },
            " must hold test images of shape (1, 1024, 1024) (C, H, W), as the training images,"
            " got shape (1, 4, 3)",
        ),
        (
            {"images": npy("|u1", (60, 1024, 2, 512), bytes(60 << 20)), "labels": array(LABELS)},
            ": images must have 1, 3 or 4 channels in either axis 1 or axis 3, or come with"
            " data_format 'NCHW' or 'NHWC', got shape (60, 1024, 2, 512)",
        ),
        (
            {"images": npy("<c8", (8,), bytes(60 << 20)), "labels": array(LABELS)},
            " must hold a readable array images, got an error: its header has no plain descr:"
            r" \"{'descr': '<c8', 'fortran_order': False, 'shape': (8,), }\"",
        ),
        (
            {
                "images": array(IMAGES),
                "labels": array(LABELS),
                "class_names": npy("<U1", (15 << 20,), bytes(60 << 20)),
            },
            " must have at most 16,777,216 bytes in class_names, got 62,914,560",
        ),
        (
            {
                "images": array(IMAGES),
                "labels": array(LABELS),
                "data_format": npy("|S62914560", (1,), bytes(60 << 20)),
            },
            " must have at most 16,777,216 bytes in data_format, got 62,914,560",
        ),
        (
            {"images": array(IMAGES), "labels": npy("|u1", (8, 15 << 19), bytes(60 << 20))},
            " must have at most 4,096 bytes a label in labels, got 7,864,320",
        ),
        (
            {
                "images": array(IMAGES),
                "labels": array(LABELS),
                "test_images": array(IMAGES),
                "test_labels": npy("<U1966080", (8,), bytes(60 << 20)),
            },
            " must have at most 4,096 bytes a label in test_labels, got 7,864,320",
        ),
    ],
)
def test_npz_headers_are_compared_before_arrays_are_unpacked(tmp_path, members, message):
    path = archive(tmp_path / "set.npz", **members)
    with little_memory(), refuses(DataError, f"{path}{message}".replace("\\", "")):
        data.load(path)


@pytest.mark.parametrize(
    ("descr", "shape", "order"),
    [
        ("<f8", (10**12, 28, 28), "False"),
        ("|u1", (2**63 - 1,), "False"),
        ("|u1", (2**62, 2**62, 2**62), "True"),
        ("<U999999999", (1000,), "False"),
        ("<U0", (10**11,), "False"),
        ("|u1", (4, 0, 2**62), "False"),
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_a_claim_of_an_npy_header_takes_no_memory(tmp_path, descr, shape, order, mapped):
    members = {"images": npy(descr, shape, bytes(100), order), "labels": array(LABELS)}
    source = tmp_path
    if mapped:
        for name, content in members.items():
            (tmp_path / f"{name}.npy").write_bytes(content)
    else:
        source = archive(tmp_path / "set.npz", **members)
    with little_memory(), pytest.raises(DataError):
        data.load(source)


def test_npz_packed_by_other_means_is_refused(tmp_path):
    """Of bzip2 a hundred bytes may be anything."""
    members = {"images": array(IMAGES), "labels": array(LABELS)}
    path = archive(tmp_path / "set.npz", zipfile.ZIP_BZIP2, **members)
    with refuses(
        DataError,
        f"{path} must hold a readable array images, got an error:"
        " compression method 12, not DEFLATE",
    ):
        data.load(path)


@pytest.mark.parametrize("code", [0x110000, 0xFFFFFFFF, 0xD800, 0xDFFF])
@pytest.mark.parametrize("name", ["class_names", "labels", "data_format"])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_texts_of_what_is_no_character(tmp_path, code, name, mapped, order):
    text = npy(f"{order}U1", (8,), struct.pack(f"{order}I", code) * 8)
    members = {"images": array(IMAGES), "labels": array(LABELS), name: text}
    source = tmp_path
    if mapped:
        for member, content in members.items():
            (tmp_path / f"{member}.npy").write_bytes(content)
    else:
        source = archive(tmp_path / "set.npz", **members)
    with pytest.raises(DataError, match=f"a text holds {code:#x}, which is no character"):
        data.load(source)


@pytest.mark.parametrize("name", ["class_names", "labels"])
def test_bytes_that_are_no_utf8(tmp_path, name):
    odd = np.array([b"a", b"\xff"])
    members = {"images": array(IMAGES), "labels": array(LABELS)}
    members[name] = array(odd[LABELS] if name == "labels" else odd)
    with pytest.raises(DataError, match=r"set\.npz must .*'utf-8' codec can't decode byte 0xff"):
        data.load(archive(tmp_path / "set.npz", **members))


def test_class_names_of_bytes_are_their_texts(tmp_path):
    members = {"images": array(IMAGES), "labels": array(LABELS)}
    members["class_names"] = array(np.array(["Öl".encode(), b"gas"]))
    assert data.load(archive(tmp_path / "set.npz", **members)).train.class_names == ["Öl", "gas"]


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i2", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_byte_order_and_order_of_axes(tmp_path, dtype, order):
    images = np.asarray(IMAGES.astype(dtype) / 2, dtype, order=order)
    members = {"images": array(images), "labels": array(LABELS)}
    split = data.load(archive(tmp_path / "set.npz", **members))
    found = np.concatenate([split.train.images, split.test.images])
    assert found.dtype == {">f8": "f8", "<f8": "f8", ">f4": "f4", ">i2": "u1"}[dtype]
    expected = np.sort(images.astype(found.dtype), axis=None)
    np.testing.assert_array_equal(np.sort(found, axis=None), expected)


# ---- Pictures ----


def large(path, width=6000, height=4001):
    """Write a picture of one colour: few bytes, many pixels."""
    Image.new("L", (width, height), 7).save(path, compress_level=9)
    return path


def test_a_picture_of_too_many_pixels_is_refused_unopened(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        large(tmp_path / name / "1.png")
    assert MOST_PIXELS < 6000 * 4001
    message = (
        f"{tmp_path / 'a' / '1.png'} must have at most 24,000,000 pixels, or be resized (size),"
        " got 4001 x 6000"
    )
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "load", None)
        for stream in (False, True):
            with refuses(DataError, message):
                data.load(tmp_path, stream=stream)
        with pytest.raises(DataError, match="must hold "):
            data.load(tmp_path, skip_unreadable=True)
    (tmp_path / "a" / "2.png").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    split = data.load(tmp_path, size=(4, 3))
    assert split.train.image_shape == (1, 4, 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_in_strips_is_transparency_at_once(tmp_path, monkeypatch, mode, channels):
    rows = np.random.default_rng(0).integers(0, 256, (37, 11, 4), np.uint8)
    picture = Image.fromarray(rows)
    picture = picture.quantize(16) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    monkeypatch.setattr("convprop.data.image_files._STRIP_PIXELS", 1 << 22)
    whole = to_array(read_file(tmp_path / "a.png", channels))
    white = Image.new("RGBA", picture.size, "white")
    mixed = Image.alpha_composite(white, Image.open(tmp_path / "a.png").convert("RGBA"))
    np.testing.assert_array_equal(whole, to_array(mixed.convert({1: "L", 3: "RGB"}[channels])))
    monkeypatch.setattr("convprop.data.image_files._STRIP_PIXELS", 50)
    np.testing.assert_array_equal(to_array(read_file(tmp_path / "a.png", channels)), whole)
