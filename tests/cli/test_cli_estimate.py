"""What `convprop train` says before it starts: how long it will take, and how much memory."""

import copy
import json
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runs import run, stripes

import convprop as cp
from convprop.cli import app as cli
from convprop.cli.estimate import MOST_SECONDS, estimate
from convprop.cli.train_words import duration
from convprop.data import Dataset, load

TOLERANCE = 0.2


@pytest.fixture(scope="module")
def like_mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of MNIST's size, for which lenet5 is chosen."""
    path = tmp_path_factory.mktemp("data") / "large.npz"
    images, labels = stripes(6000, (28, 28))
    np.savez(path, images=images, labels=labels)
    return path


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "optimizer": cp.Adam(1e-3),
        "schedule": None,
        "epochs": 3,
        "batch_size": 64,
        "validation": None,
        "class_weight": None,
        "balanced_batches": False,
        "augment": None,
        "stopping": None,
        "clip_norm": None,
        "average": None,
        "lookahead": None,
        "micro_batch": None,
    } | changes


@pytest.mark.parametrize(
    "options",
    [
        "--epochs 4",
        "--epochs 3 --validation 0.25",
        "--epochs 2 --augment 'shift=2 elastic=1' --average 0.99 --clip-norm 1",
        "--epochs 2 --batch-size 5",
    ],
)
def test_the_time_of_an_epoch_is_what_was_said(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    like_mnist: Path,
    options: str,
) -> None:
    # A thread's own time: what other processes take does not come into it.
    monkeypatch.setattr(time, "perf_counter", time.process_time)
    ratios = []
    threads = cp.get_num_threads()
    for _ in range(4):
        arguments = [str(like_mnist), *shlex.split(options), "--threads", "1", "--json"]
        assert cli.run(["train", *arguments]) == 0
        record = json.loads(capsys.readouterr().out)
        taken = record["train_seconds"] / record["epochs"]
        ratios.append(record["estimated_epoch_seconds"] / taken)
        if abs(ratios[-1] - 1) < TOLERANCE:
            break
    cp.set_num_threads(threads)
    assert abs(ratios[-1] - 1) < TOLERANCE, ratios


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("", marks=pytest.mark.slow),
        pytest.param("--validation 0.25", marks=pytest.mark.slow),
        "--augment zoom=0.1",
    ],
)
def test_the_peak_of_memory_is_what_was_said(like_mnist: Path, options: str) -> None:
    record = json.loads(
        run("train", like_mnist, "--epochs", "1", "--json", *shlex.split(options)).stdout
    )
    assert record["estimated_peak_bytes"] == pytest.approx(
        record["peak_memory_bytes"], rel=TOLERANCE
    )


@pytest.mark.slow
def test_the_peak_is_what_was_said_for_many_classes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = {
        name: random.integers(0, 256, (4000, 8, 8), dtype=np.uint8)
        for name in ("images", "test_images")
    }
    labels = np.arange(4000)
    np.savez(tmp_path / "many.npz", labels=labels, test_labels=labels, **images)
    options = ("--preset", "mlp", "--epochs", "1", "--batch-size", "400", "--json")
    record = json.loads(run("train", tmp_path / "many.npz", *options).stdout)
    assert record["classes"] == 4000
    assert record["estimated_peak_bytes"] == pytest.approx(
        record["peak_memory_bytes"], rel=TOLERANCE
    )


@pytest.mark.slow
def test_the_peak_is_what_was_said_for_large_photographs_in_a_stream(tmp_path: Path) -> None:
    for name, grey in (("dark", 20), ("light", 230)):
        (tmp_path / name).mkdir()
        for n in range(4):
            Image.new("RGB", (4000, 4000), (grey, grey, n)).save(tmp_path / name / f"{n}.jpg")
    options = ("--stream", "--size", "64", "--epochs", "1", "--batch-size", "4", "--json")
    record = json.loads(run("train", tmp_path, *options).stdout)
    assert record["peak_memory_bytes"] < 1.1 * record["estimated_peak_bytes"]


def test_trying_leaves_no_trace(like_mnist: Path) -> None:
    images = load(like_mnist).train
    network = cp.preset("lenet5", images.image_shape, 2)
    before = copy.deepcopy(network)
    expected = estimate(network, images, settings(epochs=1000, validation=0.1))
    assert expected.epoch_seconds is not None
    assert network.weights_sha256() == before.weights_sha256()
    assert network.normalisation is None
    assert network.training_settings is None


def test_trying_is_short(monkeypatch: pytest.MonkeyPatch, like_mnist: Path) -> None:
    images = load(like_mnist).train
    network = cp.preset("lenet5", images.image_shape, 2)
    took = []
    for epochs in (1, 100_000):
        started = time.process_time()
        estimate(network, images, settings(epochs=epochs))
        took.append(time.process_time() - started)
    assert took[0] < took[1] < 2 * MOST_SECONDS * cp.get_num_threads()


@pytest.mark.parametrize("count", [2, 3, 17])
def test_a_handful_of_images(count: int) -> None:
    images, labels = stripes(count)
    few = Dataset(images[:, None], labels.astype(np.int32), ("lying", "standing"), "few")
    network = cp.preset("digits", few.image_shape, 2)
    expected = estimate(network, few, settings(epochs=1, batch_size=4096))
    assert expected.epoch_seconds is not None
    assert 0 < expected.epoch_seconds < 10


def test_a_loss_that_fails_has_no_time(like_mnist: Path) -> None:
    images = load(like_mnist).train
    network = cp.preset("lenet5", images.image_shape, 2)
    expected = estimate(network, images, settings(optimizer=cp.SGD(1e30)))
    assert expected.epoch_seconds is None
    assert expected.peak_bytes > 10e6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0618, "0.062 s"),
        (4.12, "4.1 s"),
        (59.6, "60 s"),
        (119.4, "119 s"),
        (121, "2 min"),
        (7300, "2.0 h"),
    ],
)
def test_durations_have_two_or_three_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text
