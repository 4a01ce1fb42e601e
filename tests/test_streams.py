"""Images that are read while a network trains: the same ones, the same weights, little memory."""

import errno
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convprop as cp
from convprop import data
from convprop.data import stream as streams
from convprop.data.kept import KeptImages
from convprop.data.normalise import normalisation, weighted_normalisation
from convprop.data.stream import is_stream, prefetched
from convprop.errors import DataError, InvalidInput
from refusal import refuses

RANDOM = np.random.default_rng(0)


def photographs(folder: Path, count: int = 40, size: tuple[int, int] = (9, 11)) -> Path:
    """Write as many images of two classes, JPEG and PNG, every fifth one grey."""
    for number in range(count):
        pixels = RANDOM.integers(0, 256, (*size, 3)).astype(np.uint8)
        image = Image.fromarray(pixels).convert("L" if number % 5 == 0 else "RGB")
        path = (
            folder / ("cat", "dog")[number % 2] / f"{number:03}.{('jpg', 'png')[number % 3 == 0]}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs(tmp_path_factory.mktemp("photographs"))


def network(shape: tuple[int, int, int] = (3, 9, 11)) -> cp.Network:
    return cp.Network([cp.Conv(4, 3), cp.ReLU(), cp.MaxPool(2), cp.Dense(2)], shape)


def everything(images: cp.data.stream.ImageStream) -> np.ndarray:
    return images[np.arange(images.shape[0])]


def assert_same(one: data.Split, other: data.Split) -> None:
    """Expect a streamed split and the same one in memory."""
    for streamed, loaded in ((one.train, other.train), (one.test, other.test)):
        assert is_stream(streamed.images)
        assert not is_stream(loaded.images)
        np.testing.assert_array_equal(everything(streamed.images), loaded.images)
        np.testing.assert_array_equal(streamed.labels, loaded.labels)
        assert streamed.labels.dtype == loaded.labels.dtype
        assert streamed.image_shape == loaded.image_shape
        assert streamed.class_names == loaded.class_names
        assert streamed.image_names == loaded.image_names
        assert len(streamed) == len(loaded)


@pytest.mark.parametrize("size", [None, (6, 7)])
def test_a_streamed_folder_holds_what_the_loaded_one_holds(folder, size):
    assert_same(
        data.load(folder, size=size, stream=True, seed=3), data.load(folder, size=size, seed=3)
    )


def test_training_and_test_folders_are_streamed_too(tmp_path):
    photographs(tmp_path / "train", 12)
    photographs(tmp_path / "val", 4)
    assert_same(data.load(tmp_path, stream=True), data.load(tmp_path))


def test_turned_photographs_have_their_sides_exchanged(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in "ab":
        (tmp_path / name).mkdir()
        for number, ending in enumerate(("jpg", "png", "tif", "webp")):
            pixels = RANDOM.integers(0, 256, (6, 4, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.{ending}", exif=exif)
    split = data.load(tmp_path, stream=True)
    assert split.train.image_shape == (3, 4, 6)
    assert_same(split, data.load(tmp_path))


def test_streamed_and_loaded_photographs_train_the_same_weights(folder):
    hashes = set()
    for streamed in (False, True):
        split = data.load(folder, stream=streamed)
        net = network()
        history = cp.train(
            net,
            split.train.images,
            split.train.labels,
            epochs=3,
            batch_size=8,
            validation=0.25,
            augment=cp.Augment(shift=1),
        )
        test = net.evaluate(split.test.images, split.test.labels)
        losses = [(record.loss, record.validation_loss) for record in history]
        hashes.add((net.weights_sha256(), str(net.normalisation), str(losses), test))
        predicted = net.predict(split.test.images)
        np.testing.assert_array_equal(predicted, net.predict(data.load(folder).test.images))
    assert len(hashes) == 1


def test_every_photograph_is_decoded_once_for_all_epochs(folder, monkeypatch):
    decoded = []

    def read_file(path, channels):
        decoded.append(path)
        return streams_read_file(path, channels)

    streams_read_file = streams.read_file
    monkeypatch.setattr(streams, "read_file", read_file)
    train = data.load(folder, stream=True).train
    cp.train(network(), train.images, train.labels, epochs=3, batch_size=8)
    assert sorted(map(str, decoded)) == sorted(train.image_names)


def test_a_full_disk_only_means_decoding_again(folder, monkeypatch):
    train = data.load(folder, stream=True).train
    wanted = everything(train.images)
    rows = np.arange(3)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    train = data.load(folder, stream=True).train
    for _ in range(2):
        np.testing.assert_array_equal(train.images[rows], wanted[rows])


def test_as_many_images_are_kept_as_there_is_room_for(monkeypatch):
    monkeypatch.setattr("convprop.data.kept.MOST_BYTES", 50)
    kept, image = KeptImages(9, (1, 4, 4)), RANDOM.integers(0, 256, (1, 4, 4)).astype(np.uint8)
    for row in range(9):
        assert not kept.get(row, np.empty_like(image))
        kept.put(row, image + row)
    for row in range(9):
        found = np.zeros_like(image)
        assert kept.get(row, found) == (row < 3)
        np.testing.assert_array_equal(found, image + row if row < 3 else 0)


def test_a_row_and_a_slice_are_taken_as_from_an_array(folder):
    images = data.load(folder, stream=True).train.images
    np.testing.assert_array_equal(images[-1], images[np.array([len(images) - 1])][0])
    np.testing.assert_array_equal(images[2:4], images[np.array([2, 3])])


def test_image_files_can_be_pickled(folder):
    train = data.load(folder, stream=True).train
    again = pickle.loads(pickle.dumps(train))
    np.testing.assert_array_equal(everything(again.images), everything(train.images))


def broken(folder: Path, change) -> tuple[Path, data.Dataset]:
    """Return a file of a streamed training set that was changed after the set was loaded."""
    train = data.load(photographs(folder, 32), stream=True).train
    path = Path(train.image_names[13])
    change(path)
    return path, train


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("change", [truncate, Path.unlink])
def test_a_file_that_breaks_in_an_epoch_is_named_and_what_was_learned_stays(tmp_path, change):
    path, train = broken(tmp_path, change)
    net, hashes = network(), []
    net.normalisation = [128.0] * 3, [0.02] * 3
    before = net.weights_sha256()
    with pytest.raises(DataError, match=f"^{path} must be a readable image, got an error: "):
        cp.train(
            net,
            train.images,
            train.labels,
            batch_size=4,
            shuffle=False,
            on_batch=lambda _: hashes.append(net.weights_sha256()),
        )
    assert len(hashes) == 3
    assert net.weights_sha256() == hashes[-1] != before
    assert not [t for t in threading.enumerate() if t.name.startswith("convprop-read")]


def test_a_broken_file_is_found_before_the_first_step_where_the_pixels_are_measured(tmp_path):
    path, train = broken(tmp_path, truncate)
    net = network()
    before = net.weights_sha256()
    with pytest.raises(DataError, match=f"^{path} must be a readable image"):
        cp.train(net, train.images, train.labels)
    assert net.weights_sha256() == before
    assert net.normalisation is None


def test_broken_files_are_left_out_of_a_stream_when_it_is_loaded(tmp_path):
    photographs(tmp_path, 20)
    for path in (tmp_path / "cat" / "004.jpg", tmp_path / "dog" / "007.jpg"):
        truncate(path)
    streamed, loaded = (
        data.load(tmp_path, stream=flag, skip_unreadable=True) for flag in (True, False)
    )
    assert_same(streamed, loaded)
    assert streamed.skipped == loaded.skipped
    assert len(streamed.skipped) == 2


def test_what_is_no_folder_of_images_is_not_streamed():
    rule = "must be a folder of images or of .npy files to be streamed, got"
    with refuses(DataError, f"digits {rule} a set that is loaded as a whole"):
        data.load("digits", stream=True)
    with refuses(DataError, f"some.npz {rule} an .npz file"):
        data.load("some.npz", stream=True)


@pytest.mark.parametrize("rows", [None, np.array([5, 1, 1, 8])])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_a_stream_is_normalised_to_the_bit_as_an_array(dtype, rows, monkeypatch):
    monkeypatch.setattr("convprop.data.normalise.CHUNK_VALUES", 60)
    images = (RANDOM.normal(100, 30, (10, 2, 4, 5))).clip(0, 255).astype(dtype)
    images[:, 1] = images[0, 1, 0, 0]
    streamed, loaded = normalisation(Rows(images), rows), normalisation(images, rows)
    np.testing.assert_array_equal(streamed, loaded)
    assert streamed[1][1] == 1.0
    chosen = images if rows is None else images[rows]
    assert streamed[1][0] == pytest.approx(1 / chosen[:, 0].std(dtype=np.float64), rel=1e-12)


def test_weights_of_one_or_two_are_images_taken_once_or_twice(monkeypatch):
    monkeypatch.setattr("convprop.data.normalise.CHUNK_VALUES", 60)
    images = RANDOM.integers(0, 256, (10, 2, 4, 5)).astype(np.uint8)
    images[:, 1] = 7
    images[9] = 99
    weights = np.array([1.0, 2, 1, 1, 2, 0, 1, 1, 1, 0])
    given = weighted_normalisation(images, weights)
    np.testing.assert_array_equal(weighted_normalisation(Rows(images), weights), given)
    repeated = normalisation(images, np.repeat(np.arange(10), weights.astype(int)))
    np.testing.assert_allclose(given, repeated, rtol=1e-13)
    assert given[1][1] == 1.0


class Rows:
    """An array as a stream, and a trace of what was read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __getitem__(self, rows):
        self.read.append(len(rows))
        return self.array[rows]


def test_what_numpy_takes_for_an_array_is_no_stream():
    assert is_stream(Rows(np.zeros((1, 1, 2, 2))))
    assert not is_stream(np.zeros((1, 1, 2, 2)))
    assert not is_stream([[1]])


def test_large_images_are_read_one_batch_ahead(monkeypatch):
    monkeypatch.setattr(streams, "AHEAD_BYTES", 3000)
    rows = Rows(np.zeros((20, 1, 32, 32), dtype=np.uint8))
    batches = [np.array([n, n + 1]) for n in range(0, 20, 2)]
    reading = prefetched(rows, batches)
    next(reading)
    assert len(rows.read) <= 2
    assert len(list(reading)) == 9


def test_a_stream_of_another_shape_or_dtype_is_refused():
    net = network((1, 9, 11))
    with refuses(InvalidInput, "images must have shape (N, 1, 9, 11), got shape (2, 3, 9, 11)"):
        net.predict(Rows(np.zeros((2, 3, 9, 11), dtype=np.uint8)))
    with refuses(InvalidInput, "images must have dtype uint8 or float32, got float64"):
        cp.train(net, Rows(np.zeros((2, 1, 9, 11))), [0, 1])


MEASURE = """
import sys, numpy as np, convprop as cp
from convprop import data
from convprop.machine.memory import peak_memory
split = data.load(sys.argv[1], stream=True)
net = cp.Network([cp.AveragePool("global"), cp.Dense(2)], split.train.image_shape)
before = peak_memory()
cp.train(net, split.train.images, split.train.labels, epochs=1, batch_size=16)
net.evaluate(split.test.images, split.test.labels)
print(peak_memory() - before, split.train.images.shape)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    grown = []
    for count in (200, 800):
        folder = tmp_path / str(count)
        first = folder / "a" / "0.png"
        first.parent.mkdir(parents=True)
        (folder / "b").mkdir()
        Image.new("RGB", (256, 256), (1, 2, 3)).save(first)
        for number in range(1, count):
            os.link(first, folder / "ab"[number % 2] / f"{number}.png")
        result = subprocess.run(
            [sys.executable, "-c", MEASURE, folder], capture_output=True, text=True, check=True
        )
        grown.append(int(result.stdout.split()[0]))
    # 600 more images have 118 million bytes.
    assert grown[1] - grown[0] < 40e6


class Turned:
    """A stream that keeps channels last and turns what it gives."""

    def __init__(self, images, gives=None):
        self.images, self.gives = images, gives
        self.shape, self.dtype = images.shape, images.dtype

    def __getitem__(self, rows):
        turned = np.ascontiguousarray(self.images.transpose(0, 2, 3, 1))[rows]
        images = turned.transpose(0, 3, 1, 2)
        return images if self.gives is None else self.gives(images)


def test_a_stream_may_give_any_layout_in_memory():
    images, labels = stream_blobs()
    nets = [cp.Network([cp.Conv(3, 3), cp.Dense(3)], (2, 6, 6)) for _ in range(2)]
    for net, given in zip(nets, (images, Turned(images)), strict=True):
        cp.train(net, given, labels, epochs=2, batch_size=8)
    assert nets[0].weights_sha256() == nets[1].weights_sha256()
    assert np.array_equal(nets[0].predict(images), nets[1].predict(Turned(images)))


@pytest.mark.parametrize(
    ("gives", "received"),
    [
        (lambda images: images[:-1], "(39, 2, 6, 6) and uint8"),
        (lambda images: images.astype(np.float32), "(40, 2, 6, 6) and float32"),
        (lambda images: None, "NoneType"),
    ],
)
def test_a_stream_that_gives_something_else_is_said_to(gives, received):
    images, labels = stream_blobs()
    net = cp.Network([cp.Dense(3)], (2, 6, 6))
    rule = "give images of shape (40, 2, 6, 6) and dtype uint8 for 40 rows"
    with refuses(cp.DataError, f"the stream must {rule}, got {received}"):
        cp.train(net, Turned(images, gives), labels, epochs=1, batch_size=64)


def stream_blobs():
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 6, 6), dtype=np.uint8)
    return images, np.arange(40) % 3
