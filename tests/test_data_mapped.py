"""Folders of .npy files: the arrays of an .npz file, mapped and never read as a whole."""

import os

import numpy as np
import pytest

import convprop as cp
from convprop import data
from convprop.data.stream import is_stream
from convprop.errors import DataError
from refusal import refuses

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (30, 3, 7, 8)).astype(np.uint8)
LABELS = np.arange(30) % 3


def write(folder, **arrays):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def everything(part):
    return part.images[np.arange(len(part))]


@pytest.mark.parametrize(
    ("images", "more"),
    [
        (IMAGES, {}),
        (IMAGES[:, 0], {}),
        (IMAGES.transpose(0, 2, 3, 1), {}),
        (np.asfortranarray(IMAGES), {}),
        (IMAGES > 99, {}),
        (IMAGES.astype(">f4") / 7, {}),
        (IMAGES / 7, {}),
        (IMAGES[:, :, :4, :3], {"data_format": np.array("NCHW")}),
        (IMAGES, {"class_names": np.array(["x", "y", "z"])}),
        (IMAGES, {"test_images": IMAGES[:9], "test_labels": LABELS[:9]}),
    ],
)
@pytest.mark.parametrize("size", [None, (6, 5)])
def test_the_same_weights_as_from_an_npz_file(tmp_path, images, more, size):
    arrays = {"images": images, "labels": LABELS} | more
    np.savez(tmp_path / "one.npz", **arrays)
    sources = write(tmp_path / "folder", **arrays), tmp_path / "one.npz"
    mapped, loaded = (data.load(source, size=size) for source in sources)
    hashes = []
    for split in (mapped, loaded):
        net = cp.Network([cp.Conv(2, 3), cp.Dense(3)], split.train.image_shape)
        cp.train(net, split.train.images, split.train.labels, epochs=2, batch_size=8)
        test = net.evaluate(split.test.images, split.test.labels)
        hashes.append((net.weights_sha256(), test, split.test.class_names, len(split.train)))
    assert hashes[0] == hashes[1]
    assert is_stream(mapped.train.images)
    assert everything(mapped.test).flags.c_contiguous
    images = mapped.train.images
    np.testing.assert_array_equal(images[-1], images[np.array([len(images) - 1])][0])
    np.testing.assert_array_equal(images[2:4], images[np.array([2, 3])])


def test_keras_names_are_known(tmp_path):
    folder = write(tmp_path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES, y_test=LABELS)
    assert len(data.load(folder).test) == 30
    assert len(data.load(folder, stream=True).test) == 30


def test_nothing_is_unpickled(tmp_path):
    class Danger:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "done"),)

    write(tmp_path, labels=LABELS, images=np.array([Danger()] * 30, dtype=object))
    rule = f"{tmp_path / 'images.npy'} must be a complete .npy file of numbers, got an error: "
    with pytest.raises(DataError, match=f"^{rule}"):
        data.load(tmp_path)
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", np.array([Danger()] * 30, dtype=object))
    with pytest.raises(DataError, match=r"labels\.npy must be a complete \.npy file of numbers"):
        data.load(tmp_path)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False",
        b"\x93NUMPY\x01\x00\x4a\x00"
        + b"{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000, 3, 9, 9)}\n",
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{",
    ],
)
@pytest.mark.parametrize("name", ["images", "labels"])
def test_a_damaged_file_is_named_before_any_memory_is_taken(tmp_path, name, content):
    write(tmp_path, images=IMAGES, labels=LABELS)
    path = tmp_path / f"{name}.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path} must be a complete .npy file of numbers, got"):
        data.load(tmp_path)


def test_a_file_that_was_cut_off(tmp_path):
    write(tmp_path, images=IMAGES, labels=LABELS)
    path = tmp_path / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"^{path} must be a complete .npy file of numbers, got"):
        data.load(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"images": IMAGES.astype(np.int64), "labels": LABELS},
            "{0}/images.npy must hold bytes, booleans or floating-point numbers, got int64",
        ),
        (
            {"images": IMAGES, "labels": LABELS[:9]},
            "{0}/labels.npy must hold one label for each of the 30 images, got shape (9,)",
        ),
        (
            {"images": IMAGES[0, 0], "labels": LABELS[:7]},
            "{0}/images.npy: images must have shape (N, H, W), (N, H, W, C) or (N, C, H, W),"
            " got shape (7, 8)",
        ),
        (
            {
                "images": IMAGES,
                "labels": LABELS,
                "test_images": IMAGES[:, :1],
                "test_labels": LABELS,
            },
            "{0}/test_images.npy must hold test images of shape (3, 7, 8) (C, H, W), as the"
            " training images, got shape (1, 7, 8)",
        ),
        ({"images": IMAGES}, "{0} must hold labels.npy, got no such file"),
    ],
)
def test_arrays_that_do_not_go_together(tmp_path, arrays, message):
    with refuses(DataError, message.format(write(tmp_path, **arrays))):
        data.load(tmp_path)


def test_a_number_that_is_not_finite_is_found_when_its_batch_is_read(tmp_path):
    images = IMAGES.astype(np.float32)
    images[17, 2, 3, 4] = np.nan
    part = data.load(write(tmp_path, images=images, labels=LABELS)).train
    net = cp.Network([cp.Dense(3)], (3, 7, 8))
    message = f"{tmp_path / 'images.npy'} must hold finite numbers, got another in image 17"
    with refuses(DataError, message):
        cp.train(net, part.images, part.labels)
