"""Data for a network that there is: its classes, its channels, numbers, and nothing left over."""

import numpy as np
import pytest
from PIL import Image

from convprop import data
from convprop.errors import DataError, InvalidInput
from refusal import refuses

NAMES = ("ants", "bees", "wasps")


def picture(path, value=9, mode="L", size=(3, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


@pytest.mark.parametrize("stream", [False, True])
def test_some_classes_of_a_model_in_its_channels(tmp_path, stream):
    for n in range(3):
        picture(tmp_path / "bees" / f"{n}.png", n)
    (tmp_path / "ants").mkdir()
    options = {"channels": 3, "class_names": NAMES, "test_fraction": 0, "stream": stream}
    for folder in (tmp_path, tmp_path / "bees"):
        split = data.load(folder, **options)
        assert split.drawn
        assert (len(split.train), len(split.test)) == (3, 0)
        assert split.train.image_shape == (3, 4, 3)
        assert split.train.images[np.arange(3)][:, 2, 0, 0].tolist() == [0, 1, 2]
        assert split.train.labels.tolist() == [1, 1, 1]
        assert split.train.class_names == list(NAMES)


def test_arrays_of_one_class_of_a_model(tmp_path):
    path = tmp_path / "one.npz"
    np.savez(path, images=np.zeros((4, 3, 3), np.uint8), labels=np.array(["wasps"] * 4))
    split = data.load(path, class_names=NAMES, test_fraction=0)
    assert split.train.labels.tolist() == [2] * 4
    with refuses(DataError, f"{path} must have at least two classes, got only 'wasps'"):
        data.load(path)
    np.savez(path, images=np.zeros((4, 3, 3), np.uint8), labels=np.array(["wasp"] * 4))
    rule = f"{path} must hold only classes among 'ants', 'bees', 'wasps', got 'wasp'"
    with refuses(DataError, rule):
        data.load(path, class_names=NAMES)


def test_folders_that_are_no_class_of_a_model(tmp_path):
    picture(tmp_path / "flies" / "0.png")
    rule = f"{tmp_path} must hold only classes among 'ants', 'bees', 'wasps', got 'flies'"
    with refuses(DataError, rule):
        data.load(tmp_path, class_names=NAMES)
    folder = tmp_path / "flies"
    with pytest.raises(DataError) as caught:
        data.load(folder, class_names=NAMES)
    assert str(caught.value).endswith(
        "or one subfolder of images per class (or have the name of one: 'ants', 'bees',"
        " 'wasps'), got none of these"
    )


def test_numbers(tmp_path):
    path, images = tmp_path / "numbers.npz", np.zeros((10, 3, 3), np.uint8)
    for labels in (np.arange(10) / 2, np.arange(20).reshape(10, 2)):
        np.savez(path, images=images, labels=labels)
        split = data.load(path, labels="numbers")
        assert (len(split.train), len(split.test)) == (8, 2)
        together = np.concatenate([split.train.labels, split.test.labels])
        assert sorted(together.tolist()) == labels.reshape(10, -1).tolist()
        assert together.dtype == np.float64
    for labels, received in (
        (np.array(["a"] * 10), "dtype <U1 and shape (10,)"),
        (np.zeros((10, 1, 1)), "dtype float64 and shape (10, 1, 1)"),
    ):
        np.savez(path, images=images, labels=labels)
        rule = "must have labels that are numbers of shape (N,) or (N, outputs)"
        with refuses(DataError, f"{path} {rule}, got {received}"):
            data.load(path, labels="numbers")
    np.savez(path, images=images, labels=np.full(10, np.nan))
    with refuses(
        DataError, f"{path} must have labels that are finite numbers, got NaN or infinity"
    ):
        data.load(path, labels="numbers")
    assert len(data.load(path, labels="any", test_fraction=0).train) == 10


@pytest.mark.parametrize("names", [("images", "labels"), ("x_train", "y_train")])
def test_arrays_that_are_only_to_be_predicted_need_no_labels(tmp_path, names):
    images = np.arange(640, dtype=np.uint8).reshape(10, 8, 8)
    np.savez(tmp_path / "new.npz", **{names[0]: images})
    folder = tmp_path / "new"
    folder.mkdir()
    np.save(folder / f"{names[0]}.npy", images)
    for path, told in (
        (tmp_path / "new.npz", f"hold an array named {names[1]}, got {names[0]}"),
        (folder, f"hold {names[1]}.npy, got no such file"),
    ):
        taken = data.load(path, labels="any", test_fraction=0).train
        np.testing.assert_array_equal(taken.images[np.arange(10)], images[:, np.newaxis])
        with refuses(DataError, f"{path} must {told}"):
            data.load(path)
        with refuses(DataError, f"{path} must {told}"):
            data.load(path, labels="numbers")


def test_labels_that_are_there_are_as_many_even_where_none_are_needed(tmp_path):
    np.savez(tmp_path / "new.npz", images=np.zeros((10, 8, 8)), labels=np.zeros(4))
    with pytest.raises(DataError, match="one label in labels for each of the 10 images"):
        data.load(tmp_path / "new.npz", labels="any")


@pytest.mark.parametrize("parts", [False, True])
def test_files_that_are_left_out_are_counted(tmp_path, parts):
    folders = ("train", "val") if parts else ("",)
    for folder in folders:
        for name in ("ants", "bees"):
            for n in range(2):
                picture(tmp_path / folder / name / f"{n}.png")
    picture(tmp_path / folders[0] / "ants" / "moving.gif")
    picture(tmp_path / folders[-1] / "bees" / "deeper" / "still.png")
    (tmp_path / "notes.txt").write_text("seen in May")
    (tmp_path / folders[0] / "ants" / ".hidden").write_text("")
    assert data.load(tmp_path).left_out == 3


def test_settings_that_are_none(tmp_path):
    with refuses(InvalidInput, "channels must be 1, 3 or 4, got 2"):
        data.load("digits", channels=2)
    with refuses(InvalidInput, "labels must be one of classes, numbers, any, got 'both'"):
        data.load("digits", labels="both")
