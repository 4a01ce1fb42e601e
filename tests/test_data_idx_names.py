"""Idx files are found by the names that distributors give them, and where they put them."""

import gzip
import struct

import numpy as np
import pytest

from convprop import data
from convprop.data import idx_names
from convprop.errors import DataError
from refusal import refuses

IMAGES = np.arange(8 * 3 * 2, dtype=np.uint8).reshape(8, 3, 2)
LABELS = np.array([5, 3, 5, 3, 5, 3, 9, 9], dtype=np.uint8)


def write(path, array, kind=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = struct.pack(f">4B{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


def write_set(folder, prefix="", test="t10k", ending=""):
    for part, step in (("train", 1), (test, -1)):
        write(folder / f"{prefix}{part}-images-idx3-ubyte{ending}", IMAGES[::step])
        write(folder / f"{prefix}{part}-labels-idx1-ubyte{ending}", LABELS[::step])


@pytest.mark.parametrize(
    ("inside", "prefix", "test"),
    [
        ("", "emnist-letters-", "test"),
        ("", "my_set.", "t10k"),
        ("MNIST/raw", "", "t10k"),
        ("FashionMNIST/raw", "", "t10k"),
        ("raw", "emnist-digits-", "test"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_set_is_found(tmp_path, inside, prefix, test, ending):
    write_set(tmp_path / inside, prefix, test, ending)
    # Of a set, but no images or labels of it.
    (tmp_path / inside / f"{prefix}mapping.txt").write_text("0 48")
    split = data.load(tmp_path)
    np.testing.assert_array_equal(split.train.images[:, 0], IMAGES)
    np.testing.assert_array_equal(split.test.images[:, 0], IMAGES[::-1])
    assert split.train.class_names == ["3", "5", "9"]
    assert split.train.name == str(tmp_path)


def test_the_first_number_of_a_row_is_the_label_of_qmnist(tmp_path):
    for part in ("train", "test"):
        write(tmp_path / f"qmnist-{part}-images-idx3-ubyte.gz", IMAGES)
        rows = np.zeros((8, 8), ">i4")
        rows[:, 0], rows[:, 1:] = LABELS, 70000
        write(tmp_path / f"qmnist-{part}-labels-idx2-int.gz", rows, kind=12)
    # More of the same images, which are none of the two parts.
    write(tmp_path / "qmnist-test10k-images-idx3-ubyte.gz", IMAGES)
    split = data.load(tmp_path)
    assert split.test.class_names == ["3", "5", "9"]
    np.testing.assert_array_equal(split.test.labels, [1, 0, 1, 0, 1, 0, 2, 2])


def test_the_file_goes_before_its_gzipped_copy(tmp_path):
    write_set(tmp_path)
    write(tmp_path / "train-images-idx3-ubyte.gz", IMAGES[:1])
    assert len(data.load(tmp_path).train) == 8


def test_several_sets_are_chosen_among(tmp_path):
    for prefix in ("emnist-letters-", "emnist-balanced-"):
        write_set(tmp_path / "emnist", prefix, "test")
    ways = [str(tmp_path / "emnist" / f"emnist-{name}") for name in ("balanced", "letters")]
    message = f"{tmp_path / 'emnist'} must hold one set of idx files, got 2; name one of them:"
    with refuses(DataError, f"{message} {ways[0]!r}, {ways[1]!r}"):
        data.load(tmp_path / "emnist")
    for way in ways:
        assert len(data.load(way).train) == 8
    for name in ("A", "B"):
        write_set(tmp_path / "both" / name / "raw")
    ways = [str(tmp_path / "both" / name / "raw") for name in ("A", "B")]
    message = f"{tmp_path / 'both'} must hold one set of idx files, got 2; name one of them:"
    with refuses(DataError, f"{message} {ways[0]!r}, {ways[1]!r}"):
        data.load(tmp_path / "both")


def test_a_file_that_is_missing_has_the_set_s_prefix(tmp_path):
    write(tmp_path / "emnist-letters-train-images-idx3-ubyte", IMAGES)
    name = "emnist-letters-train-labels-idx1-ubyte"
    with refuses(DataError, f"{tmp_path} must hold {name} or {name}.gz, got neither"):
        data.load(tmp_path)


def test_a_test_part_alone_is_taken_where_nothing_is_trained(tmp_path):
    write(tmp_path / "t10k-images-idx3-ubyte", IMAGES)
    write(tmp_path / "t10k-labels-idx1-ubyte", LABELS)
    assert len(data.load(tmp_path, test_fraction=0).train) == 8


def test_folders_of_nothing_say_which_names_are_expected(tmp_path):
    for inside in ("", "deep/MNIST/raw"):
        folder = tmp_path / inside
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "labels.csv").write_text("3")
        with refuses(
            DataError,
            f"{tmp_path} must hold idx files ({idx_names.EXPECTED}), arrays (images.npy and"
            " labels.npy), or one subfolder of images per class, got none of these",
        ):
            data.load(tmp_path)
