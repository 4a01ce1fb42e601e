import errno
import os
import subprocess
import sys
import urllib.error

import numpy as np
import pytest
from PIL import Image
from sklearn import datasets

from convprop import data
from convprop.data import Dataset
from convprop.errors import DataError, InvalidInput
from refusal import refuses


def picture(path, value, size=(4, 3), mode="L"):
    """Write an image of (H, W) ``size`` all of whose pixels are ``value``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size[::-1], value).save(path)
    return path


def class_folder(folder, mode="L"):
    """Write five images of class "a" and three of "B", in an order that is not the names'."""
    for name, values in (("a", [4, 2, 0, 1, 3]), ("B", [12, 10, 11])):
        for value in values:
            picture(folder / name / f"{value % 10}.png", value, mode=mode)
    return folder


def values(part):
    return part.images[:, 0, 0, 0].tolist()


def test_a_subfolder_per_class_is_split_by_seed(tmp_path):
    split = data.load(class_folder(tmp_path), test_fraction=0.4, seed=5)
    # The byte order of "B" and "a", whatever the locale says.
    assert split.train.class_names == split.test.class_names == ["B", "a"]
    np.testing.assert_array_equal(np.bincount(split.train.labels), [2, 3])
    np.testing.assert_array_equal(np.bincount(split.test.labels), [1, 2])
    assert sorted(values(split.train) + values(split.test)) == [0, 1, 2, 3, 4, 10, 11, 12]
    for part in (split.train, split.test):
        assert part.images.dtype == np.uint8
        assert part.images.flags.c_contiguous
        assert part.image_shape == (1, 4, 3)
        assert values(part) == sorted(values(part), key=lambda value: (value < 10, value))
        for value, label, name in zip(values(part), part.labels, part.image_names, strict=True):
            assert name == str(tmp_path / "Ba"[label] / f"{value % 10}.png")
            assert (value < 10) == label
    assert split.skipped == []
    again = data.load(tmp_path, test_fraction=0.4, seed=5)
    assert again.test.image_names == split.test.image_names


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_training_and_test_subfolders(tmp_path, test_name):
    class_folder(tmp_path / "train")
    picture(tmp_path / test_name / "a" / "x.jpg", 77)
    split = data.load(tmp_path)
    assert values(split.train) == [10, 11, 12, 0, 1, 2, 3, 4]
    assert values(split.test) == [77]
    assert split.test.labels.tolist() == [1]
    assert split.test.class_names == ["B", "a"]


def test_test_goes_before_val(tmp_path):
    for name, value in (("test", 1), ("val", 2)):
        picture(tmp_path / name / "a" / "x.png", value)
    class_folder(tmp_path / "train")
    assert values(data.load(tmp_path).test) == [1]


def test_one_colour_image_makes_all_of_them_rgb(tmp_path):
    class_folder(tmp_path / "train")
    class_folder(tmp_path / "test")
    picture(tmp_path / "test" / "a" / "0.png", (1, 2, 3), mode="RGB")
    split = data.load(tmp_path)
    assert split.train.image_shape == (3, 4, 3)
    assert split.train.images[0, :, 0, 0].tolist() == [10, 10, 10]
    assert split.test.images[3, :, 0, 0].tolist() == [1, 2, 3]


def test_other_and_hidden_files_are_left_out(tmp_path):
    class_folder(tmp_path)
    (tmp_path / "README.txt").write_text("read me")
    (tmp_path / "a" / "notes.txt").write_text("left out")
    (tmp_path / "a" / ".0.png").write_bytes(b"hidden")
    (tmp_path / ".cache").mkdir()
    split = data.load(tmp_path)
    assert len(split.train) + len(split.test) == 8


def test_images_of_two_sizes(tmp_path):
    class_folder(tmp_path)
    large = picture(tmp_path / "a" / "5.png", 9, size=(8, 6))
    first = tmp_path / "B" / "0.png"
    with refuses(
        DataError,
        f"{large} must be 4 x 3 pixels (height x width) as {first}, or be resized (size),"
        " got 8 x 6",
    ):
        data.load(tmp_path)
    assert data.load(tmp_path, size=(2, 5)).test.image_shape == (1, 2, 5)


def test_unreadable_files_are_named_or_skipped(tmp_path):
    class_folder(tmp_path)
    broken = tmp_path / "a" / "2.png"
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(DataError, match=f"^{broken} must be a readable image, got an error: "):
        data.load(tmp_path)
    split = data.load(tmp_path, skip_unreadable=True)
    assert split.skipped == [str(broken)]
    assert len(split.train) + len(split.test) == 7
    assert 2 not in values(split.train) + values(split.test)


def without_permission(monkeypatch, folder):
    """Let nobody list a folder, as its permissions would to all but root."""

    def refusing(function):
        def wrapped(path):
            if str(path) == str(folder):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return function(path)

        return wrapped

    monkeypatch.setattr(os, "listdir", refusing(os.listdir))
    monkeypatch.setattr(os, "scandir", refusing(os.scandir))


def test_folders_without_permission_are_named_or_skipped(tmp_path, monkeypatch):
    class_folder(tmp_path)
    picture(tmp_path / "c" / "5.png", 5)
    without_permission(monkeypatch, tmp_path / "c")
    message = f"{tmp_path / 'c'} must be a readable folder, got an error: Permission denied"
    with refuses(DataError, message):
        data.load(tmp_path)
    with refuses(DataError, message):
        list(data.read_images([tmp_path], (1, 4, 3)))
    split = data.load(tmp_path, skip_unreadable=True)
    assert split.train.class_names == ["B", "a"]
    assert split.skipped == [f"{tmp_path / 'c'}/"]
    skipped = []
    [(images, _)] = data.read_images([tmp_path], (1, 4, 3), skipped=skipped)
    assert len(images) == 8
    assert skipped == split.skipped
    without_permission(monkeypatch, tmp_path)
    with refuses(
        DataError, f"{tmp_path} must be a readable folder, got an error: Permission denied"
    ):
        data.load(tmp_path, skip_unreadable=True)


def test_links_to_themselves_are_named_or_skipped(tmp_path):
    class_folder(tmp_path)
    loop = tmp_path / "a" / "loop.png"
    loop.symlink_to("loop.png")
    rule = "must be a readable image, got an error: Too many levels of symbolic links"
    with refuses(DataError, f"{loop} {rule}"):
        data.load(tmp_path)
    split = data.load(tmp_path, skip_unreadable=True)
    assert split.skipped == [str(loop)]
    assert len(split.train) + len(split.test) == 8


FORMATS = "PNG, JPEG, BMP, TIFF or WebP"


def test_a_class_without_images(tmp_path):
    class_folder(tmp_path)
    (tmp_path / "c" / "deeper").mkdir(parents=True)
    message = f"{tmp_path / 'c'} must hold at least one image ({FORMATS}), got none"
    with refuses(DataError, message):
        data.load(tmp_path)
    (tmp_path / "c" / "a.png").write_bytes(b"")
    with refuses(DataError, message):
        data.load(tmp_path, skip_unreadable=True)


def test_a_test_folder_without_images(tmp_path):
    class_folder(tmp_path / "train")
    (tmp_path / "test" / "a").mkdir(parents=True)
    with refuses(
        DataError, f"{tmp_path / 'test'} must hold at least one image ({FORMATS}), got none"
    ):
        data.load(tmp_path)


def test_a_class_only_the_test_folder_has(tmp_path):
    class_folder(tmp_path / "train")
    picture(tmp_path / "test" / "c" / "0.png", 0)
    with refuses(DataError, f"{tmp_path / 'test'} must have only classes among 'B', 'a', got 'c'"):
        data.load(tmp_path)


def test_one_class_subfolder(tmp_path):
    picture(tmp_path / "cat" / "0.png", 0)
    with refuses(DataError, f"{tmp_path} must hold at least two class subfolders, got only 'cat'"):
        data.load(tmp_path)


def test_a_class_name_that_cannot_be_shown(tmp_path):
    class_folder(tmp_path)
    picture(tmp_path / "new\nline" / "0.png", 0)
    with refuses(
        DataError, f"{tmp_path} must have class subfolders with printable names, got 'new\\nline'"
    ):
        data.load(tmp_path)


def test_an_empty_folder(tmp_path):
    with refuses(
        DataError,
        f"{tmp_path} must hold idx files (train-images-idx3-ubyte and train-labels-idx1-ubyte, or"
        " .gz), arrays (images.npy and labels.npy), or one subfolder of images per class, got none"
        " of these",
    ):
        data.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "what"), [("a", "which does not exist"), ("b.csv", "another kind of file")]
)
def test_what_is_no_source(tmp_path, name, what):
    (tmp_path / "b.csv").write_text("1,2")
    path = str(tmp_path / name)
    with refuses(
        DataError,
        f"data must be 'digits', 'mnist', a folder or an .npz file, got {path!r} ({what})",
    ):
        data.load(path)


@pytest.mark.parametrize("size", [(0, 3), (3, -1), (3,), (2.5, 3)])
def test_a_size_that_is_none(size):
    with refuses(InvalidInput, f"size must be two positive integers (height, width), got {size}"):
        data.load("digits", size=size)


def test_digits():
    split = data.load("digits")
    source = datasets.load_digits()
    assert split.train.images.shape == (1438, 1, 8, 8)
    assert split.test.images.shape == (359, 1, 8, 8)
    assert split.train.images.dtype == np.uint8
    assert split.train.images.max() == 16
    assert split.train.class_names == [str(digit) for digit in range(10)]
    assert split.train.images.sum() + split.test.images.sum() == source.images.sum()
    difference = np.bincount(split.test.labels) - 0.2 * np.bincount(source.target)
    assert np.abs(difference).max() <= 0.5


def test_digits_resized():
    assert data.load("digits", size=(28, 20)).test.images.shape == (359, 1, 28, 20)


def test_the_seed_chooses_the_test_digits():
    first, again, other = (data.load("digits", seed=seed).test.images for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_mnist_from_openml(monkeypatch):
    pixels = np.broadcast_to(np.arange(784.0) % 256, (70_000, 784))
    digits = np.array([str(digit) for digit in range(10)])[np.arange(70_000) % 10]
    monkeypatch.setattr(datasets, "fetch_openml", lambda *_, **__: (pixels, digits.astype(object)))
    split = data.load("mnist")
    assert split.train.images.shape == (60_000, 1, 28, 28)
    assert split.test.images.shape == (10_000, 1, 28, 28)
    assert split.test.images.dtype == np.uint8
    np.testing.assert_array_equal(split.test.images[-1].reshape(-1), pixels[0])
    assert split.train.labels[:12].tolist() == [*range(10), 0, 1]
    assert split.test.class_names == list(digits[:10])


def test_mnist_without_a_network(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", no_network)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with refuses(
        DataError,
        "mnist must be fetched from OpenML or be in scikit-learn's cache (without a network, name"
        " a folder that holds train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz,"
        " t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz),"
        " got an error: <urlopen error no route to host>",
    ):
        data.load("mnist")


def animals():
    images = np.zeros((3, 1, 2, 2), dtype=np.uint8)
    labels = np.array([0, 2, 2], dtype=np.int32)
    return Dataset(images, labels, ["cat", "dog", "owl"], "animals")


def test_labels_of_another_list_of_classes():
    renumbered = animals().with_classes(["owl", "bat", "cat"])
    assert renumbered.labels.tolist() == [2, 0, 0]
    assert renumbered.labels.dtype == np.int32
    assert renumbered.class_names == ["owl", "bat", "cat"]


def test_a_class_the_other_list_lacks():
    many = [f"class {i}" for i in range(12)]
    shown = ", ".join(repr(name) for name in many[:10])
    with refuses(
        DataError,
        f"animals must hold only classes among {shown}, ... (12 in all), got 'cat'",
    ):
        animals().with_classes(many)


def test_importing_data_imports_neither_pillow_nor_scikit_learn():
    code = "import sys, convprop.data; print({'PIL', 'sklearn'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_an_empty_name_is_not_this_folder():
    with refuses(
        DataError,
        "data must be 'digits', 'mnist', a folder or an .npz file, got '' (which does not exist)",
    ):
        data.load("")
