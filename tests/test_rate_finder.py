"""The learning-rate finder: its sweep, its rule, and trainings at what it suggests."""

import math
import tracemalloc
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

import convprop as cp
from convprop.data import load
from convprop.errors import InvalidInput
from convprop.report.raster import raster
from convprop.report.rates import rate_chart, rate_text
from convprop.report.svg import LIGHT, svg_file
from convprop.training.rate_finder import RateCurve, _smoothed, find_rate
from refusal import refuses

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (64, 1, 6, 6), dtype=np.uint8)
LABELS = (IMAGES[:, 0, 2, 3] > 127).astype(np.int32)


def network(loss=cp.SoftmaxCrossEntropy()):  # noqa: B008
    layers = [cp.Conv(3, 3), cp.ReLU(), cp.Dropout(0.1), cp.Dense(2)]
    return cp.Network(layers, (1, 6, 6), loss=loss, seed=5)


def test_the_sweep_is_a_training_whose_rate_grows():
    curve = find_rate(
        network(), IMAGES, LABELS, batch_size=16, smallest=1e-4, largest=1e-1, steps=40
    )
    losses, rates = [], []
    cp.train(
        network(),
        IMAGES,
        LABELS,
        optimizer=cp.Adam(1e-4),
        schedule=cp.schedules.Exponential(1e3),
        epochs=10,
        batch_size=16,
        on_batch=lambda step: (losses.append(step.loss), rates.append(step.learning_rate)),
    )
    np.testing.assert_array_equal(curve.losses, losses)
    np.testing.assert_allclose(curve.rates, rates, rtol=1e-12)
    np.testing.assert_allclose(curve.rates, np.geomspace(1e-4, 1e-1, 40), rtol=1e-12)
    assert not curve.diverged


def test_the_network_stays_as_it_is():
    net = network()
    before = net.weights_sha256()
    find_rate(net, IMAGES, LABELS, steps=30)
    assert net.weights_sha256() == before
    assert net.normalisation is None
    assert net.training_settings is None


def test_threads_change_nothing():
    threads = cp.get_num_threads()
    curves = []
    try:
        for number in (1, 2, 5):
            cp.set_num_threads(number)
            curves.append(find_rate(network(), IMAGES, LABELS, batch_size=24, steps=50))
    finally:
        cp.set_num_threads(threads)
    for curve in curves[1:]:
        np.testing.assert_array_equal(curve.losses, curves[0].losses)
        assert curve.suggestion == curves[0].suggestion


def test_smoothing_and_the_rule():
    curve = find_rate(network(), IMAGES, LABELS, batch_size=8, steps=100)
    for place in (0, 7, 50, len(curve.losses) - 1):
        weights = [math.exp(-((n - place) ** 2) / (2 * 2.0**2)) for n in range(len(curve.losses))]
        mean = sum(w * x for w, x in zip(weights, curve.losses, strict=True)) / sum(weights)
        assert curve.smoothed[place] == pytest.approx(mean)
    lowest = curve.rates[int(np.argmin(curve.smoothed))]
    assert curve.suggestion == pytest.approx(lowest / 4, rel=0.05)
    assert curve.suggestion == float(f"{curve.suggestion:.1e}")


def test_a_stream_gives_what_its_array_gives():
    class Stream:
        shape, dtype = IMAGES.shape, IMAGES.dtype

        def __getitem__(self, rows):
            return IMAGES[rows]

    one, other = (find_rate(network(), images, LABELS, steps=30) for images in (IMAGES, Stream()))
    np.testing.assert_array_equal(one.losses, other.losses)


@pytest.mark.parametrize(
    ("loss", "optimizer"),
    [(cp.SquaredError(), cp.SGD(1.0)), (cp.SoftmaxCrossEntropy(), cp.SGD(1.0, momentum=0.9))],
    ids=["to infinity", "far up"],
)
def test_a_sweep_ends_where_the_loss_grows_out_of_bounds(loss, optimizer):
    net = network(loss)
    before = net.weights_sha256()
    curve = find_rate(net, IMAGES, LABELS, optimizer=optimizer, largest=1e9, batch_size=16)
    assert curve.diverged
    assert 20 < len(curve.rates) < 200
    assert np.isfinite(curve.losses).all()
    assert curve.losses[-1] > curve.losses[0]
    assert curve.suggestion < curve.rates[-1]
    assert net.weights_sha256() == before


def test_nothing_is_suggested_where_the_loss_does_not_fall():
    flat = np.full((64, 1, 6, 6), 7, dtype=np.uint8)
    curve = find_rate(network(), flat, LABELS, batch_size=16)
    assert curve.smoothed.min() < curve.smoothed[0]
    assert curve.suggestion is None


def test_a_loss_that_is_infinite_at_once_is_an_error():
    huge = np.where(IMAGES > 127, 1e30, -1e30).astype(np.float32)
    net = network(cp.SquaredError())
    net.normalisation = [0.0], [1.0]
    with pytest.raises(cp.TrainingDiverged, match="the loss became inf at step 1"):
        find_rate(net, huge, LABELS)


@pytest.mark.parametrize(
    "optimizer",
    [
        cp.AdamW(1.0),
        pytest.param(cp.SGD(1.0, momentum=0.9), marks=pytest.mark.slow),
        pytest.param(cp.RMSprop(1.0), marks=pytest.mark.slow),
    ],
)
def test_digits_are_learned_at_the_suggestion(optimizer):
    digits = load("digits")
    train, test = digits.train, digits.test
    net = cp.preset("digits", (1, 8, 8), 10)
    curve = find_rate(net, train.images, train.labels, optimizer=optimizer, batch_size=32)
    cp.train(
        net,
        train.images,
        train.labels,
        optimizer=replace(optimizer, learning_rate=curve.suggestion),
        schedule=cp.schedules.OneCycle(),
        epochs=8,
        batch_size=32,
    )
    assert net.evaluate(test.images, test.labels).accuracy >= 0.975


@pytest.mark.slow
def test_mnist_is_learned_at_the_suggestion(mnist_folder):
    mnist = load(mnist_folder)
    train = mnist.train.subset(np.arange(10_000))
    net = cp.preset("lenet5", (1, 28, 28), 10)
    curve = find_rate(net, train.images, train.labels)
    assert 1e-3 < curve.suggestion < 3e-2
    optimizer = cp.Adam(curve.suggestion)
    schedule = cp.schedules.OneCycle()
    cp.train(net, train.images, train.labels, optimizer=optimizer, schedule=schedule, epochs=2)
    test = mnist.test.subset(np.arange(2000))
    assert net.evaluate(test.images, test.labels).accuracy >= 0.955


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "adam"}, "optimizer must be one of convprop.optimizers, got 'adam'"),
        ({"steps": 19}, "steps must be an integer of at least 20, got 19"),
        ({"smallest": 0}, "smallest must be a positive number, got 0"),
        ({"largest": 1e-6}, "largest must be above the smallest rate, 1e-06, got 1e-06"),
        ({"batch_size": 0}, "batch_size must be a positive integer, got 0"),
    ],
)
def test_what_is_refused(given, message):
    with refuses(cp.InvalidInput, message):
        find_rate(network(), IMAGES, LABELS, **given)


def made_curve(suggestion):
    """A loss that falls from 2 to 1 at a rate of 0.01, rises again, and explodes in the end."""
    rates = np.geomspace(1e-6, 10.0, 71)
    losses = 1.0 + np.abs(np.log10(rates) + 2.0) / 4.0
    losses[-3:] = 1e9
    return RateCurve(rates, losses, losses, True, suggestion)


def test_the_chart_says_what_it_shows():
    chart = rate_chart(made_curve(0.0025))
    assert "smallest at 0.01. The suggested rate is 0.0025." in chart.description
    root = ElementTree.fromstring(svg_file(chart))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"loss", "smoothed", "suggested: 0.0025", "learning rate", "1e-6", "0.01"} <= {*texts}
    assert "No rate is suggested." in rate_chart(made_curve(None)).description


def test_the_picture_has_the_lines_where_they_belong():
    chart = rate_chart(made_curve(0.0025))
    pixels = np.asarray(raster(chart)).astype(int)
    assert pixels.shape == (600, 900, 3)
    blue = np.array([int(LIGHT["first"][n : n + 2], 16) for n in (1, 3, 5)])
    rows, columns = np.nonzero((np.abs(pixels - blue) < 8).all(axis=2))
    below = rows > 80
    lowest = columns[below][np.argmax(rows[below])]
    left, right = 54 * 2.5, (360 - 18) * 2.5
    # 0.01 is four of the seven powers of ten from the left.
    assert abs(lowest - (left + 4 / 7 * (right - left))) < 8
    ink = (np.abs(pixels[100:500] - np.array([0x1B, 0x1F, 0x24])) < 8).all(axis=2).sum(axis=0)
    suggested = left + (math.log10(0.0025) + 6) / 7 * (right - left)
    assert abs(np.argmax(ink) - suggested) < 4
    assert 0.5 < ink.max() / 400 < 0.75


def test_the_plot_of_text():
    lines = rate_text(made_curve(0.0025), 80)
    assert max(map(len, lines)) <= 80
    assert all(line.isascii() for line in lines)
    plot = [line[10:] for line in lines[:12]]
    lowest = max(number for number, line in enumerate(plot) if "*" in line)
    stars = [place for place, mark in enumerate(plot[lowest]) if mark == "*"]
    assert abs(np.mean(stars) - 4 / 7 * 69) <= 2
    marks = {place for line in plot for place, mark in enumerate(line) if mark == ":"}
    assert marks == {round((math.log10(0.0025) + 6) / 7 * 69)}
    assert {"1e-6", "0.01", "1"} <= {*lines[-1].split()}
    assert not any(":" in line for line in rate_text(made_curve(None), 80))
    assert max(map(len, rate_text(made_curve(0.0025), 40))) <= 40


def test_an_interrupt_keeps_the_curve_so_far():
    def at(step):
        def interrupt(record):
            if record.step == step:
                raise KeyboardInterrupt

        return interrupt

    settings = {"batch_size": 8, "steps": 100}
    whole = find_rate(network(), IMAGES, LABELS, **settings)
    curve = find_rate(network(), IMAGES, LABELS, **settings, on_batch=at(40))
    assert (curve.interrupted, curve.suggestion, curve.diverged) == (True, None, False)
    assert not whole.interrupted
    np.testing.assert_array_equal(curve.losses, whole.losses[:40])
    assert "No rate is suggested." in svg_file(rate_chart(curve))
    with pytest.raises(KeyboardInterrupt):
        find_rate(network(), IMAGES, LABELS, batch_size=8, steps=500, on_batch=at(19))
    with refuses(InvalidInput, "on_batch must be None or callable, got 3"):
        find_rate(network(), IMAGES, LABELS, on_batch=3)


def test_a_long_sweep_takes_no_square_of_memory():
    losses = np.ones(10_000)
    tracemalloc.start()
    try:
        assert np.allclose(_smoothed(losses, 200.0), 1.0)
        assert tracemalloc.get_traced_memory()[1] < 100 * losses.nbytes
    finally:
        tracemalloc.stop()
