import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convprop import data
from convprop.data import idx
from convprop.errors import DataError
from refusal import refuses

IMAGES = np.arange(8 * 3 * 2, dtype=np.uint8).reshape(8, 3, 2)
LABELS = np.array([5, 3, 5, 3, 5, 3, 9, 9], dtype=np.uint8)
HEADER = struct.pack(">4B3I", 0, 0, 8, 3, 8, 3, 2)


def packed(array: np.ndarray) -> bytes:
    head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.tobytes()


def write(path: Path, content: np.ndarray | bytes) -> Path:
    raw = content if isinstance(content, bytes) else packed(content)
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def write_part(folder: Path, part: str, images=IMAGES, labels=LABELS) -> None:
    write(folder / f"{part}-images-idx3-ubyte", images)
    write(folder / f"{part}-labels-idx1-ubyte", labels)


@pytest.mark.parametrize("joint", ["-", "."])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_training_and_test_files(tmp_path, joint, ending):
    for part, step in (("train", 1), ("t10k", -1)):
        write(tmp_path / f"{part}-images{joint}idx3-ubyte{ending}", IMAGES[::step])
        write(tmp_path / f"{part}-labels{joint}idx1-ubyte{ending}", LABELS[::step])
    split = data.load(tmp_path)
    np.testing.assert_array_equal(split.train.images[:, 0], IMAGES)
    np.testing.assert_array_equal(split.test.images[:, 0], IMAGES[::-1])
    np.testing.assert_array_equal(split.train.labels, [1, 0, 1, 0, 1, 0, 2, 2])
    np.testing.assert_array_equal(split.test.labels, [2, 2, 0, 1, 0, 1, 0, 1])
    for part in (split.train, split.test):
        assert part.images.dtype == np.uint8
        assert part.images.flags.c_contiguous
        assert part.labels.dtype == np.int32
        assert part.class_names == ["3", "5", "9"]
        assert part.image_shape == (1, 3, 2)
        assert part.name == str(tmp_path)


def test_gzip_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "zipped"
    path.write_bytes(gzip.compress(packed(LABELS)))
    np.testing.assert_array_equal(idx.read(path, 1), LABELS)


def test_without_test_files_the_seed_splits(tmp_path):
    write_part(tmp_path, "train")
    split = data.load(tmp_path, test_fraction=0.4, seed=3)
    np.testing.assert_array_equal(np.bincount(split.test.labels), [1, 1, 1])
    np.testing.assert_array_equal(np.bincount(split.train.labels), [2, 2, 1])
    together = np.concatenate([split.train.images, split.test.images])
    assert sorted(together.reshape(8, -1)[:, 0]) == list(IMAGES[:, 0, 0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begin with 00000803 (idx, unsigned bytes, 3 axes), got an empty file"),
        (b"PNG", "begin with 00000803 (idx, unsigned bytes, 3 axes), got 504e47"),
        (packed(LABELS), "begin with 00000803 (idx, unsigned bytes, 3 axes), got 00000801"),
        (
            struct.pack(">4B3I", 0, 0, 13, 3, 8, 3, 2),
            "begin with 00000803 (idx, unsigned bytes, 3 axes), got 00000d03",
        ),
        (HEADER[:9], "begin with an idx header of 16 bytes, got 9 bytes"),
        (packed(IMAGES[:0]), "have no axis of length 0, got shape (0, 3, 2)"),
        (packed(IMAGES) + b"x", "hold 48 bytes after its header, for shape (8, 3, 2), got more"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_what_is_no_idx_file(tmp_path, content, message, ending):
    path = write(tmp_path / f"images{ending}", content)
    with refuses(DataError, f"{path} must {message}"):
        idx.read(path, 3)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_too_few_bytes(tmp_path, ending):
    path = write(tmp_path / f"images{ending}", packed(IMAGES)[:-1])
    message = f"{path} must hold 48 bytes after its header, for shape (8, 3, 2), got 47"
    with refuses(DataError, message):
        idx.read(path, 3)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_false_claim_of_size_takes_no_memory(tmp_path, ending):
    path = write(tmp_path / f"images{ending}", struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3))
    size = (2**32 - 1) ** 3
    shape = (2**32 - 1, 2**32 - 1, 2**32 - 1)
    message = f"{path} must hold {size} bytes after its header, for shape {shape}, got fewer"
    with refuses(DataError, message):
        idx.read(path, 3)


def test_a_cut_gzip_file(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(packed(IMAGES))[:-9])
    message = (
        f"{path} must be an undamaged gzip file, got an error:"
        " Compressed file ended before the end-of-stream marker was reached"
    )
    with refuses(DataError, message):
        idx.read(path, 3)


def test_a_wrong_gzip_checksum(tmp_path):
    path = tmp_path / "images.gz"
    raw = bytearray(gzip.compress(packed(IMAGES)))
    raw[-8:-4] = bytes(4)
    path.write_bytes(raw)
    checksum = hex(zlib.crc32(packed(IMAGES)))
    with refuses(
        DataError,
        f"{path} must be an undamaged gzip file, got an error: CRC check failed 0x0 != {checksum}",
    ):
        idx.read(path, 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.integers(0, 10**6), value=st.integers(0, 255), keep=st.integers(0, 10**6))
def test_damage_is_read_or_refused(tmp_path, position, value, keep):
    raw = bytearray(gzip.compress(packed(IMAGES), mtime=0))
    raw[position % len(raw)] = value
    path = tmp_path / "images.gz"
    path.write_bytes(raw[: 1 + keep % (2 * len(raw))])
    try:
        array = idx.read(path, 3)
    except DataError as error:
        assert str(error).startswith(f"{path} must ")
    else:
        assert array.dtype == np.uint8


def test_a_missing_partner(tmp_path):
    write(tmp_path / "train-images-idx3-ubyte", IMAGES)
    with refuses(
        DataError,
        f"{tmp_path} must hold train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz, got neither",
    ):
        data.load(tmp_path)
    write(tmp_path / "train-labels-idx1-ubyte", LABELS)
    write(tmp_path / "t10k-labels-idx1-ubyte.gz", LABELS)
    with refuses(
        DataError,
        f"{tmp_path} must hold t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz, got neither",
    ):
        data.load(tmp_path)


def test_labels_of_another_number(tmp_path):
    write_part(tmp_path, "train", labels=LABELS[:7])
    path = tmp_path / "train-labels-idx1-ubyte"
    with refuses(DataError, f"{path} must hold one label for each of the 8 images, got 7"):
        data.load(tmp_path)


def test_test_images_of_another_size(tmp_path):
    write_part(tmp_path, "train")
    write_part(tmp_path, "t10k", images=IMAGES.reshape(8, 2, 3))
    with refuses(
        DataError,
        f"{tmp_path} must hold test images of shape (1, 3, 2) (C, H, W), as the training images,"
        " got shape (1, 2, 3)",
    ):
        data.load(tmp_path)


def test_a_class_only_the_test_set_has(tmp_path):
    write_part(tmp_path, "train")
    write_part(tmp_path, "t10k", labels=LABELS - 3)
    with refuses(DataError, f"{tmp_path} must have labels among '3', '5', '9', got '2'"):
        data.load(tmp_path)


def test_one_class(tmp_path):
    write_part(tmp_path, "train", labels=np.full(8, 7, dtype=np.uint8))
    with refuses(DataError, f"{tmp_path} must have at least two classes, got only '7'"):
        data.load(tmp_path)


def test_memory_stays_below_twice_the_data(tmp_path):
    images = np.zeros((12000, 28, 28), dtype=np.uint8)
    labels = (np.arange(12000) % 2).astype(np.uint8)
    for part in ("train", "t10k"):
        write(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        write(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    tracemalloc.start()
    try:
        data.load(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Two sets, and the chunks of gzip beside them.
    assert peak < 2 * images.nbytes + 4e6


def test_the_real_mnist(mnist_folder):
    split = data.load(mnist_folder)
    assert split.train.images.shape == (60000, 1, 28, 28)
    assert split.test.images.shape == (10000, 1, 28, 28)
    assert split.train.class_names == [str(digit) for digit in range(10)]
    # The published counts of the ten digits.
    counts = np.bincount(split.train.labels)
    np.testing.assert_array_equal(
        counts, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )
    assert split.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


@pytest.mark.parametrize("parts", [["train"], ["t10k"], ["train", "t10k"]])
def test_where_nobody_asks_for_labels_none_are_needed(tmp_path, parts):
    for part in parts:
        write(tmp_path / f"{part}-images-idx3-ubyte", IMAGES)
    split = data.load(tmp_path, labels="any", test_fraction=0.0)
    for part in (split.train, split.test)[: len(parts)]:
        np.testing.assert_array_equal(part.images[:, 0], IMAGES)
        assert len(part) == 8
    first = parts[0]
    rule = f"hold {first}-labels-idx1-ubyte or {first}-labels-idx1-ubyte.gz, got neither"
    with refuses(DataError, f"{tmp_path} must {rule}"):
        data.load(tmp_path, test_fraction=0.0)
    # Labels that are there have to fit.
    write(tmp_path / f"{first}-labels-idx1-ubyte", LABELS[1:])
    wrong = f"{tmp_path / first}-labels-idx1-ubyte must hold one label for each of the 8 images"
    with refuses(DataError, f"{wrong}, got 7"):
        data.load(tmp_path, labels="any", test_fraction=0.0)
