import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convprop import data
from convprop.errors import DataError, InvalidInput
from refusal import refuses

IMAGES = np.arange(6 * 5 * 7 * 3, dtype=np.uint16).reshape(6, 5, 7, 3) % 251
LABELS = np.array([2, 7, 7, 2, 2, 7])
BYTES = IMAGES.astype(np.uint8)


def save(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize(
    "names",
    [
        ("images", "labels", "test_images", "test_labels"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_the_three_families_of_names(tmp_path, names):
    arrays = dict(zip(names, (BYTES, LABELS[:, None], BYTES[:2], LABELS[:2]), strict=True))
    split = data.load(save(tmp_path / "set.npz", **arrays))
    np.testing.assert_array_equal(split.train.images, BYTES.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(split.test.images, BYTES[:2].transpose(0, 3, 1, 2))
    assert split.train.images.dtype == np.uint8
    assert split.train.images.flags.c_contiguous
    np.testing.assert_array_equal(split.train.labels, [0, 1, 1, 0, 0, 1])
    np.testing.assert_array_equal(split.test.labels, [0, 1])
    assert split.test.class_names == ["2", "7"]


def test_without_test_arrays_the_seed_splits(tmp_path):
    split = data.load(save(tmp_path / "set.npz", images=BYTES, labels=LABELS), test_fraction=1 / 3)
    np.testing.assert_array_equal(np.bincount(split.train.labels), [2, 2])
    np.testing.assert_array_equal(np.bincount(split.test.labels), [1, 1])


@pytest.mark.parametrize(
    ("given_dtype", "dtype"),
    [("float16", "float32"), ("float32", "float32"), ("float64", "float64"), ("int64", "uint8")],
)
def test_dtypes(tmp_path, given_dtype, dtype):
    path = save(tmp_path / "set.npz", images=IMAGES.astype(given_dtype), labels=LABELS)
    assert data.load(path).train.images.dtype == dtype


def test_data_format(tmp_path):
    arrays = {"images": BYTES[..., :2], "labels": LABELS}
    path = save(tmp_path / "set.npz", **arrays, data_format="NHWC")
    assert data.load(path).train.image_shape == (2, 5, 7)
    save(path, **arrays)
    with refuses(
        DataError,
        f"{path}: images must have 1, 3 or 4 channels in either axis 1 or axis 3, or come with"
        " data_format 'NCHW' or 'NHWC', got shape (6, 5, 7, 2)",
    ):
        data.load(path)


@pytest.mark.parametrize("labels", [["b", "a", "a", "b", "b", "a"], [b"b", b"a", b"a"] * 2])
def test_labels_that_are_strings(tmp_path, labels):
    split = data.load(save(tmp_path / "set.npz", images=BYTES, labels=labels))
    assert split.train.class_names == ["a", "b"]


def test_class_names_of_integers_and_of_strings(tmp_path):
    names = ["zebra", "ant", "bee"]
    path = save(tmp_path / "set.npz", images=BYTES, labels=LABELS // 4 + 1, class_names=names)
    integers = data.load(path)
    save(path, images=BYTES, labels=np.array(names)[LABELS // 4 + 1], class_names=names)
    strings = data.load(path)
    for split in (integers, strings):
        assert split.train.class_names == names
        assert set(split.train.labels) == {1, 2}
    np.testing.assert_array_equal(integers.train.labels, strings.train.labels)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, " must hold arrays named images and labels, got no array"),
        ({"a": LABELS, "b": LABELS}, " must hold arrays named images and labels, got a, b"),
        ({"images": BYTES}, " must hold an array named labels, got images"),
        (
            {"images": BYTES, "labels": LABELS, "test_images": BYTES},
            " must hold an array named test_labels, got images, labels, test_images",
        ),
        (
            {"images": BYTES, "labels": LABELS[:5]},
            " must hold one label in labels for each of the 6 images, got shape (5,)",
        ),
        (
            {"images": BYTES, "labels": np.int64(3)},
            " must hold one label in labels for each of the 6 images, got shape ()",
        ),
        (
            {"images": BYTES, "labels": LABELS / 2},
            " must have labels that are integers or strings of shape (N,),"
            " got dtype float64 and shape (6,) (numbers to predict are for"
            " ConvNetRegressor or convprop.train)",
        ),
        (
            {"images": BYTES, "labels": np.eye(6, dtype=int)},
            " must have labels that are integers or strings of shape (N,),"
            " got dtype int64 and shape (6, 6) (numbers to predict are for"
            " ConvNetRegressor or convprop.train)",
        ),
        (
            {"images": BYTES, "labels": LABELS, "class_names": ["a", "b", "c"]},
            " must have labels among '0', '1', '2', got '7'",
        ),
        (
            {"images": BYTES, "labels": ["b", "c"] * 3, "class_names": ["b", "a"]},
            " must have labels among 'b', 'a', got 'c'",
        ),
        (
            {"images": BYTES, "labels": LABELS, "class_names": ["a", "a"]},
            " must have class_names that differ, got 'a', 'a'",
        ),
        (
            {"images": BYTES, "labels": LABELS, "class_names": ["a"]},
            " must have at least two classes, got only 'a'",
        ),
        (
            {"images": BYTES, "labels": LABELS * 0, "class_names": ["a", "b"]},
            " must have at least two classes in its training labels, got only 'a'",
        ),
        (
            {"images": BYTES, "labels": LABELS, "test_images": BYTES, "test_labels": ["2"] * 6},
            " must label both parts with integers or both with strings, got one of each",
        ),
        (
            {"images": IMAGES * np.nan, "labels": LABELS},
            ": images must be finite, got nan at (image, channel, row, column) (0, 0, 0, 0)",
        ),
        (
            {"x_train": BYTES[:0], "y_train": LABELS[:0]},
            ": x_train must hold at least one image, got shape (0, 5, 7, 3)",
        ),
        (
            {"images": BYTES, "labels": LABELS, "data_format": "CHWN"},
            ": data_format must be 'NCHW' or 'NHWC', got 'CHWN'",
        ),
        (
            {"images": BYTES, "labels": np.array([None] * 6)},
            " must hold a readable array labels, got an error:"
            " it holds Python objects; save numbers or texts",
        ),
    ],
)
def test_what_is_no_labelled_set(tmp_path, arrays, message):
    path = save(tmp_path / "set.npz", **arrays)
    with refuses(DataError, f"{path}{message}"):
        data.load(path)


def test_a_cut_archive(tmp_path):
    path = save(tmp_path / "set.npz", images=BYTES, labels=LABELS)
    path.write_bytes(path.read_bytes()[:-30])
    with refuses(
        DataError, f"{path} must be a complete .npz file (a zip archive), got something else"
    ):
        data.load(path)


def test_a_later_version_of_zip(tmp_path):
    path = save(tmp_path / "set.npz", images=BYTES, labels=LABELS)
    raw = bytearray(path.read_bytes())
    # The version needed to extract, in the last entry of the central directory.
    raw[raw.rindex(b"PK\x01\x02") + 6] = 99
    path.write_bytes(raw)
    with refuses(
        DataError, f"{path} must be a complete .npz file, got an error: zip file version 9.9"
    ):
        data.load(path)


@pytest.mark.parametrize("shape", ["(99999999999999999999, 12, 12)", "(10000000000000, 12, 12)"])
def test_a_header_that_claims_an_absurd_shape(tmp_path, shape):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        raw = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        archive.writestr("images.npy", raw)
    with pytest.raises(DataError) as caught:
        data.load(path)
    # The end is NumPy's and the machine's.
    start = f"{path} must hold a readable array images, got an error: "
    assert str(caught.value).startswith(start)
    assert len(str(caught.value)) > len(start)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OverflowError("too large"), "too large"),
        (EOFError(), "EOFError"),
        (zlib.error("Error -3\nand more"), "Error -3"),
    ],
)
def test_whatever_the_archive_raises_names_the_file(tmp_path, monkeypatch, error, reason):
    path = save(tmp_path / "set.npz", images=BYTES, labels=LABELS)

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "open", fail)
        with refuses(
            DataError, f"{path} must hold a readable array images, got an error: {reason}"
        ):
            data.load(path)
    monkeypatch.setattr(zipfile, "ZipFile", fail)
    with refuses(DataError, f"{path} must be a complete .npz file, got an error: {reason}"):
        data.load(path)


def test_a_member_that_is_no_array(tmp_path):
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"pixels")
        archive.writestr("labels.npy", b"names")
    begins = "it does not begin as .npy files do"
    with refuses(DataError, f"{path} must hold a readable array images, got an error: {begins}"):
        data.load(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
def test_damage_is_read_or_refused(tmp_path, position, value):
    path = tmp_path / "set.npz"
    np.savez(path, images=BYTES, labels=LABELS)
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] = value
    path.write_bytes(raw)
    try:
        data.load(path)
    except DataError as error:
        assert str(path) in str(error)


def test_a_fraction_out_of_range(tmp_path):
    path = save(tmp_path / "set.npz", images=BYTES, labels=LABELS)
    with refuses(InvalidInput, "test_fraction must lie between 0 and 1, both excluded, got 2"):
        data.load(path, test_fraction=2)
