"""The figures that benchmarks/mnist_record.py makes of its trainings."""

import sys
from pathlib import Path

import numpy as np
import pytest

import convprop as cp
from convprop.data import Dataset, Split

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import mnist_record
from mnist_record import OURS, Turn


@pytest.fixture
def digits():
    random = np.random.default_rng(0)
    names = [str(digit) for digit in range(10)]

    def part(count):
        labels = random.integers(10, size=count).astype(np.int32)
        images = random.integers(64, size=(count, 1, 28, 28), dtype=np.uint8)
        # A bright row tells the class.
        images[np.arange(count), 0, 2 * labels + 4] += 191
        return Dataset(images, labels, names, "rows")

    return Split(part(2048), part(256))


def test_smoothed_targets_are_distributions():
    targets = mnist_record.smoothed(np.array([3, 0]))
    assert targets.shape == (2, 10) and targets.dtype == np.float32
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    assert targets.argmax(axis=1).tolist() == [3, 0]
    np.testing.assert_allclose(targets[0, 0], mnist_record.SMOOTHING / 10, rtol=1e-6)


def test_a_turn_trains_from_the_first_weights_of_its_seed(digits):
    threads = cp.get_num_threads()
    try:
        ours = mnist_record.Ours(1, digits)
        turns = [ours.train(seed) for seed in (0, 0, 1)]
    finally:
        cp.set_num_threads(threads)
    assert turns[0][:2] == turns[1][:2]
    assert turns[0].first_loss != turns[2].first_loss
    assert turns[0].accuracy > 0.9
    assert all(turn.seconds > 0 for turn in turns)


def test_figures():
    turns = {
        OURS: [Turn(2.3, 0.98, 1.0), Turn(2.3, 1.0, 3.0), Turn(2.3, 0.99, 2.0)],
        "pytorch": [Turn(2.3, 0.97, 10.0), Turn(2.3, 0.99, 30.0)],
        "pytorch-tuned": [Turn(2.3, 0.96, 6.0), Turn(2.3, 0.98, 6.0)],
    }
    figures = mnist_record.record(turns, threads=2)
    assert figures["mean_accuracy"] == pytest.approx(0.99)
    assert figures["std_accuracy"] == pytest.approx(0.01)
    assert figures["min_accuracy"] == 0.98
    assert figures["median_seconds"] == 2.0
    assert (figures["seeds"], figures["peer_seeds"], figures["threads"]) == (3, 2, 2)
    assert figures["peers"] == {"pytorch": 20.0, "pytorch-tuned": 6.0}
    assert figures["peer_accuracy"] == pytest.approx({"pytorch": 0.98, "pytorch-tuned": 0.97})
    assert (figures["ratio_default"], figures["ratio_best"]) == (10.0, 3.0)
    assert mnist_record.lines(figures).splitlines()[1:] == [
        "  test accuracy  99.000% ± 1.00% (standard deviation), worst 98.00%",
        "  convprop       2.00 s (1.50 to 2.50)",
        "  pytorch        20.00 s  10.00 x ours, accuracy 98.000% over 2 seeds",
        "  pytorch-tuned  6.00 s  3.00 x ours, accuracy 97.000% over 2 seeds",
    ]


def test_another_network_ends_the_measurement():
    mnist_record.compare("pytorch", 2.3000001, 2.3)
    with pytest.raises(SystemExit, match="pytorch does not train the same network"):
        mnist_record.compare("pytorch", 2.301, 2.3)
    with pytest.raises(SystemExit, match="nan"):
        mnist_record.compare("pytorch", float("nan"), 2.3)
