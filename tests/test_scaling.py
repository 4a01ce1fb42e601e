"""The model of benchmarks/scaling.py: how a step's work is divided, and what follows from it."""

import sys
from pathlib import Path

import pytest

import convprop as cp

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import scaling
from scaling import Division, Machine

FREE = Machine({1: 1.0, 2: 2.0}, {1: 1.0, 2: 2.0}, meeting=0.0, fixed=0.0, cache=1 << 40)


def lenet5():
    return cp.preset("lenet5", (1, 28, 28), 10)


def stack():
    layers = [cp.Conv(4, 3), cp.ReLU(), cp.MaxPool(2), cp.Conv(6, 3), cp.Tanh(), cp.Dense(10)]
    return cp.Network(layers, (1, 10, 10))


@pytest.mark.parametrize(
    ("batch", "threads", "division"),
    [
        (1, 1, Division(blocks=1, units=1, parts=1, most_blocks=1)),
        (1, 2, Division(blocks=1, units=1, parts=2, most_blocks=1)),
        (128, 2, Division(blocks=8, units=2, parts=1, most_blocks=4)),
        # Three groups, two and three of them.
        (128, 3, Division(blocks=8, units=3, parts=1, most_blocks=3)),
        (128, 7, Division(blocks=8, units=7, parts=1, most_blocks=2)),
        (65, 2, Division(blocks=5, units=2, parts=1, most_blocks=3)),
        # Sixty-three blocks: seven groups of eight and one of seven.
        (1000, 64, Division(blocks=63, units=8, parts=8, most_blocks=8)),
    ],
)
def test_division_of_a_batch(batch, threads, division):
    assert Division.of(batch, threads) == division


def test_multiply_adds_leave_out_the_first_input_delta():
    layers = 117_600, 240_000, 48_000, 10_080, 840
    assert scaling.multiply_adds(lenet5()) == 3 * sum(layers) - layers[0]


def test_one_thread_has_all_the_work_and_two_have_half_each():
    assert scaling.longest_share(lenet5(), 128, 1) == pytest.approx(1)
    assert scaling.longest_share(lenet5(), 128, 2) == pytest.approx(1 / 2)


def test_a_team_is_as_slow_as_its_largest_share_of_maps():
    # One block and four threads: a map of four each, two of six, three rows of ten.
    conv1, conv2, dense = 4 * 9 * 64, 6 * 4 * 9 * 4, 10 * 6 * 4
    busiest = 2 * conv1 / 4 + 3 * conv2 * 2 / 6 + 3 * dense * 3 / 10
    expected = busiest / (2 * conv1 + 3 * conv2 + 3 * dense)
    assert scaling.longest_share(stack(), 16, 4) == pytest.approx(expected)


def test_meetings_of_a_team():
    # The images; forward, convolutions and pool once each; back, twice for a convolution.
    each_block = 1 + 3 + 2 + 1 + 2
    # The dense layer forward; the loss; the dense layer back, which meets before its delta too.
    at_once = 1 + 1 + 2
    assert scaling.meetings(stack(), 16, 2) == each_block + at_once
    # Eight groups of two blocks for eight teams.
    assert scaling.meetings(stack(), 256, 16) == 2 * each_block + at_once
    assert scaling.meetings(stack(), 256, 8) == 0


def test_traffic_is_none_where_all_fits_into_the_cache():
    net = stack()
    maps = 4 * 16 * (100 + 4 * 64 + 4 * 16 + 6 * 4 + 10)
    weights = 4 * sum(array.size for array in net.parameters.values())
    assert scaling.traffic(net, 16, maps + 4 * weights) == 0
    assert scaling.traffic(net, 16, maps + 4 * weights - 1) == 3 * maps + 8 * weights


def test_prediction_starts_from_one_thread():
    assert scaling.predict(FREE, lenet5(), 128, 1, alone=2.0) == 2.0
    assert scaling.predict(FREE, lenet5(), 128, 2, alone=2.0) == pytest.approx(1.0)


def test_prediction_counts_what_does_not_divide():
    serial = Machine({1: 1.0, 2: 1.6}, {1: 1.0, 2: 1.0}, meeting=1e-3, fixed=0.5, cache=1 << 40)
    # The part that divides, slowed down as the multiply-adds are, and three meetings of two.
    expected = 0.5 + 1.5 / 2 * (2 / 1.6) + 3e-3
    assert scaling.predict(serial, lenet5(), 128, 2, alone=2.0) == pytest.approx(expected)


def test_prediction_is_bound_by_memory():
    slow = Machine({1: 1.0, 2: 2.0}, {1: 1e-6, 2: 1e-6}, meeting=0.0, fixed=0.0, cache=0)
    moved = scaling.traffic(lenet5(), 128, 0) / 1e3
    for threads, grown in ((2, 1), (64, 32)):
        seen = scaling.predict(slow, lenet5(), 128, threads, alone=1e-3)
        assert seen == pytest.approx(moved / grown)
        shared = scaling.predict(slow, lenet5(), 128, threads, alone=1e-3, shared=True)
        assert shared == pytest.approx(moved)
