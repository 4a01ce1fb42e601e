"""Profiles: every pass of every layer, its work counted, its time adding up to the step's."""

import re

import numpy as np
import pytest

import convprop as cp
from convprop.about.profile import Profile, profile
from convprop.errors import InvalidInput
from convprop.machine.native import engine
from convprop.machine.processors import affinity
from refusal import refuses

RANDOM = np.random.default_rng(0)


def profiled(net: cp.Network, count: int = 40, **options: object) -> Profile:
    images = RANDOM.integers(0, 256, (count, *net.input_shape), dtype=np.uint8)
    return profile(net, images, np.arange(count) % max(net.outputs, 2), steps=4, **options)


def entries(measured: Profile) -> dict[tuple[str, str], object]:
    return {("+".join(entry.layers), entry.name): entry for entry in measured.passes}


def test_every_pass_of_every_layer_is_there_with_its_operations():
    net = cp.preset("lenet5", (1, 28, 28), 10)
    before = net.weights_sha256()
    measured = profiled(net, batch_size=40)
    assert net.weights_sha256() == before
    operations = {key: entry.operations for key, entry in entries(measured).items()}
    adds = {"conv1": 117600, "conv2": 240000, "dense1": 48000, "dense2": 10080, "dense3": 840}
    for (layers, name), counted in operations.items():
        products = name in ("forward", "weight_gradient", "input_delta")
        own = adds.get(layers.split("+")[0], 0)
        assert counted == (2 * 40 * own if products else 0), (layers, name)
    named = {layers.split("+")[0]: layers for layers, _ in operations}
    for layer in adds:
        passes = {name for layers, name in operations if layers == named[layer]}
        # Nobody needs the delta of the images.
        wanted = {"forward", "weight_gradient", "input_delta", "update"}
        assert passes == (wanted - {"input_delta"} if layer == "conv1" else wanted)
    assert {name for layers, name in operations if not layers} >= {"images", "loss", "outside"}
    # Each of the layers is in one place, and none is left out.
    told = [name for layers in named.values() if layers for name in layers.split("+")]
    assert sorted(told) == sorted(net.names)


@pytest.fixture
def usual_limit(monkeypatch, usual_limit_seconds):
    """Measure the machine for long enough to be compared with it."""
    monkeypatch.setattr("convprop.about.profile.LIMIT_SECONDS", usual_limit_seconds)


@pytest.mark.usefixtures("usual_limit")
def test_times_add_up_to_the_step():
    measured = profiled(cp.preset("keras-mnist", (1, 28, 28), 10), 64)
    assert sum(entry.seconds for entry in measured.passes) == pytest.approx(measured.seconds)
    assert all(entry.seconds >= 0 for entry in measured.passes)
    rates = [entry for entry in measured.passes if entry.rate is not None]
    for entry in rates:
        assert entry.rate == entry.operations / entry.longest
        assert entry.longest >= entry.seconds * (1 - 1e-12)
        assert 0 < entry.share_of_limit < 1.2
    operations = sum(entry.operations for entry in rates)
    assert measured.share_of_limit == operations / measured.seconds / measured.limit


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("float64", 8)])
def test_bytes_are_those_of_the_arrays_read_and_written(dtype, size):
    layers = [cp.Conv(3, 3), cp.MaxPool(2), cp.Tanh(), cp.Flatten(), cp.Dense(2)]
    net = cp.Network(layers, (1, 6, 6), dtype=dtype)
    measured = entries(profiled(net, 20, batch_size=20, optimizer=cp.Adam()))
    # Twenty images lie in two blocks of sixteen.
    image, conv, pool, rows = (32 * size * values for values in (36, 48, 12, 2))
    weights, dense = size * (27 + 3), size * (24 + 2)
    expected = {
        ("", "images"): 20 * 36 + image,
        ("conv1", "forward"): image + weights + conv,
        ("conv1", "weight_gradient"): image + conv + weights,
        ("conv1", "update"): 7 * weights,
        ("max_pool1", "forward"): conv + 2 * pool,
        ("max_pool1", "input_delta"): 2 * pool + conv,
        ("tanh1", "forward"): 2 * pool,
        ("tanh1", "input_delta"): 3 * pool,
        ("dense1", "forward"): pool + dense + rows,
        ("dense1", "weight_gradient"): pool + rows + dense,
        ("dense1", "input_delta"): rows + dense + pool,
        ("dense1", "update"): 7 * dense,
        ("", "loss"): 2 * rows,
    }
    told = {key: entry.bytes for key, entry in measured.items() if entry.bytes is not None}
    assert told == expected


def test_an_activation_that_asks_for_its_input_is_an_operation_of_its_own():
    layers = [cp.Conv(3, 3), cp.SiLU(), cp.Conv(3, 1), cp.ELU(), cp.Dense(2), cp.Mish()]
    measured = entries(profiled(cp.Network(layers, (1, 6, 6)), 20, batch_size=20))
    conv = 32 * 4 * 48
    assert measured["silu1", "forward"].bytes == 2 * conv
    assert measured["silu1", "input_delta"].bytes == 3 * conv
    assert ("mish1", "input_delta") in measured
    assert ("conv2+elu1", "input_delta") in measured
    assert not any(name == "elu1" for name, _ in measured)


@pytest.mark.parametrize("preset", cp.presets.NAMES)
def test_the_table_fits_the_terminal(preset):
    entry = cp.presets.PRESETS[preset]
    net = cp.preset(preset, entry.input_shape, entry.classes)
    lines = str(profiled(net, 16, batch_size=16)).splitlines()
    assert max(map(len, lines)) <= 80
    headings = ["Layer", "Pass", "ms", "Share", "GFLOP/s", "Of limit", "MB", "GB/s"]
    assert re.split(r"  +", lines[0]) == headings
    assert lines[-1].startswith("step ")


@pytest.mark.parametrize("loss", [cp.BinaryCrossEntropy(), cp.SquaredError()])
def test_one_image_and_one_output_are_enough(loss):
    measured = profiled(cp.Network([cp.Dense(1)], (1, 4, 4), loss), 1)
    assert measured.batch_size == 1
    assert entries(measured)["dense1", "forward"].operations == 2 * 16


def test_wrong_numbers_are_refused():
    net = cp.Network([cp.Dense(2)], (1, 4, 4))
    images, labels = np.zeros((2, 4, 4)), np.arange(2)
    for name in ("batch_size", "steps"):
        with refuses(InvalidInput, f"{name} must be a positive integer, got 0"):
            profile(net, images, labels, **{name: 0})


def test_the_limit_is_that_of_registers():
    # Whatever else runs can only take away from it.
    single, double = (
        max(engine.multiply_add_limit(dtype, 0.05) for _ in range(5))
        for dtype in ("float32", "float64")
    )
    # A register holds half as many.
    assert 0.2 < double / single < 0.8


@pytest.mark.usefixtures("usual_limit")
def test_more_threads_than_processors_reach_no_more():
    before = cp.get_num_threads()
    try:
        cp.set_num_threads(1)
        one = profiled(cp.preset("lenet5", (1, 28, 28), 10), 16)
        cp.set_num_threads(4 * affinity())
        many = profiled(cp.preset("lenet5", (1, 28, 28), 10), 16)
    finally:
        cp.set_num_threads(before)
    assert many.limit < 2 * one.limit * affinity()
    assert all(entry.share_of_limit < 1.2 for entry in many.passes if entry.rate is not None)
