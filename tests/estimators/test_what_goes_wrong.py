"""Odd data: a sensible result or one clear error; and everything given back."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from blobs import NAMES, blobs, classifier, regressor

import convprop as cp
from convprop.errors import InvalidInput, TrainingDiverged
from refusal import refuses


def auto(**parameters):
    return cp.ConvNetClassifier(**{"epochs": 2, "random_state": 0} | parameters)


def test_one_class_only():
    with refuses(InvalidInput, "y must have at least two classes, got one class, '7'"):
        auto().fit(np.zeros((5, 4, 4)), [7] * 5)


def test_classes_that_have_no_order():
    rule = "must hold classes of one kind, numbers, strings or booleans, got"
    with refuses(InvalidInput, f"y {rule} NoneType and str"):
        auto().fit(np.zeros((2, 4, 4)), ["a", None])
    with refuses(InvalidInput, f"y {rule} int and str"):
        auto().fit(np.zeros((2, 4, 4)), np.array(["a", 7], dtype=object))
    with refuses(InvalidInput, f"classes {rule} NoneType and str"):
        auto().partial_fit(np.zeros((2, 4, 4)), ["a", "b"], classes=["a", None])


def test_one_image_of_a_class():
    images, _ = blobs(10)
    y = ["often"] * 9 + ["once"]
    for settings in ({}, {"early_stopping": True}, {"class_weight": "balanced"}):
        fitted = auto(**settings).fit(images, y)
        assert fitted.predict_proba(images).shape == (10, 2)
    with refuses(
        InvalidInput, "labels must give some class at least two images to split, got one of each"
    ):
        auto(early_stopping=True).fit(images[:2], ["one", "other"])


def test_one_image():
    images, _ = blobs(1)
    # A batch of one image goes by small steps.
    fitted = regressor(epochs=400).fit(images, [3.5])
    assert fitted.predict(images) == pytest.approx([3.5], abs=0.1)
    with pytest.raises(ValueError, match="labels must give some class at least two images"):
        regressor(early_stopping=True).fit(images, [3.5])


@pytest.mark.parametrize("value", [0, 255, 0.1, -3e30])
def test_images_that_are_all_equal(value):
    X, y = np.full((12, 3, 8, 8), value), np.arange(12) % 3
    fitted = auto().fit(X, y)
    np.testing.assert_allclose(fitted.predict_proba(X), 1 / 3, atol=0.2)
    predicted = cp.ConvNetRegressor(epochs=2, random_state=0).fit(X, y).predict(X)
    assert np.isfinite(predicted).all()
    assert len(set(predicted)) == 1


def test_targets_that_are_all_equal():
    images, _ = blobs(12)
    fitted = regressor(early_stopping=True).fit(images, np.full(12, 7.0))
    assert np.isfinite(fitted.validation_scores_).all()
    assert np.abs(fitted.predict(images) - 7.0).max() < 3.0


@pytest.mark.slow
def test_ten_thousand_classes():
    X = np.random.default_rng(0).random((20_000, 2, 2), dtype="float32")
    y = np.repeat(np.arange(10_000), 2) * 3
    with pytest.warns(cp.TrainingWarning, match="nothing is learned"):  # of noise, rightly
        fitted = auto(epochs=1).fit(X, y)
    assert fitted.predict_proba(X[:5]).shape == (5, 10_000)
    assert set(fitted.predict(X[:5])) <= set(y)
    assert fitted.network_.outputs == 10_000


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (3, 1, 1), (1, 7), (9, 1), (2, 2)])
def test_the_smallest_images(shape):
    X = np.random.default_rng(0).random((20, *shape))
    y = X.reshape(20, -1)[:, 0] > 0.5
    fitted = auto(epochs=60, learning_rate_init=0.02, data_format="NCHW").fit(X, y)
    assert fitted.score(X, y) > 0.9


def test_a_preset_says_how_large_images_must_be():
    with pytest.raises(
        InvalidInput, match=r"images must be at least 12x12 for the preset lenet5, got 8x8 \("
    ):
        cp.ConvNetClassifier("lenet5").fit(np.zeros((4, 8, 8)), [0, 1] * 2)


@pytest.mark.parametrize(
    "labels",
    [
        ["no", "yes"],
        [False, True],
        [0.0, 1.0],
        [-3, 10**12],
        np.array(["x", "y"], dtype=object),
        ["", "a name, with <signs> & so on"],
    ],
    ids=str,
)
def test_labels_of_every_kind(labels):
    images, _ = blobs(20)
    known = np.asarray(labels)
    y = known[np.arange(20) % 2]
    images = images.copy()
    images[::2] //= 3
    fitted = auto(epochs=30).fit(images, y)
    assert np.array_equal(fitted.classes_, np.unique(known))
    assert fitted.classes_.dtype == known.dtype
    assert fitted.predict(images).dtype == known.dtype
    assert fitted.score(images, y) == 1.0
    assert fitted._repr_html_()


def test_labels_that_are_numbers_on_a_line():
    images, _ = blobs(4)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        auto().fit(images, [0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        auto().fit(images, [0.0, 1.0, np.nan, 1.0])
    with refuses(InvalidInput, "y must have one class for each of the 4 images, got 3"):
        auto().fit(images, [0, 1, 0])
    with refuses(InvalidInput, "y must have shape (4,) or (4, outputs), got shape (3,)"):
        regressor().fit(images, [0, 1, 0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"network": "lenet"},
            "network must be a list of layers, or one of auto, digits, lenet5, lenet-theano,"
            " keras-mnist, pytorch-mnist, cifar-tutorial, vgg-small, resnet-plain,"
            " inception-small, resnet20, resnet32, resnet56, resnet18, resnet34, resnet50,"
            " mobilenet-v2, efficientnet-lite0, squeezenet, densenet-40-12, mlp, got 'lenet'",
        ),
        (
            {"network": [cp.Dense(4)]},
            "network must end with 3 outputs for this y, got 4: input 1x6x6 -> dense1 4",
        ),
        ({"network": 3}, "layers must be a list of layers, got 3"),
        ({"epochs": 0}, "epochs must be a positive integer, got 0"),
        ({"batch_size": "all"}, "batch_size must be a positive integer, got 'all'"),
        (
            {"optimizer": "adan"},
            "optimizer must be None, an Optimizer or one of sgd, adam, adamw, rmsprop, adadelta,"
            " lars, lamb, got 'adan'",
        ),
        (
            {"schedule": "cosine"},
            "schedule must be None or one of convprop.schedules, got 'cosine'",
        ),
        ({"alpha": -1.0}, "alpha must be a number of at least 0, got -1.0"),
        ({"label_smoothing": 1.0}, "label_smoothing must be a number with 0 <= value < 1, got 1.0"),
        ({"warm_start": "no"}, "warm_start must be True or False, got 'no'"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be a positive integer, got 0"),
        ({"tol": -1}, "tol must be a number of at least 0, got -1"),
        ({"random_state": 2**64}, f"random_state must be below 2**64, got {2**64}"),
        (
            {"early_stopping": True, "validation_fraction": 1.5},
            "validation_fraction must be a number above 0 and below 1, got 1.5",
        ),
        ({"shuffle": 1}, "shuffle must be True or False, got 1"),
    ],
    ids=str,
)
def test_parameters_are_refused_before_any_work(parameters, message):
    images, y = blobs()
    net = cp.ConvNetClassifier(**parameters)
    with refuses(InvalidInput, message):
        net.fit(images, y)
    assert not hasattr(net, "network_")


def test_a_fit_that_fails_leaves_the_earlier_one():
    images, y = blobs()
    rows = images.reshape(len(images), -1)
    net = classifier().fit(rows, y)
    before = net.predict(rows)
    with pytest.raises(InvalidInput):
        net.fit(np.zeros((60, 81)), y[:3])
    assert net.n_features_in_ == 36
    assert (net.predict(rows) == before).all()


def test_targets_that_do_not_vary_have_scale_one():
    images, _ = blobs()
    net = regressor().partial_fit(images, np.full(len(images), 0.1))
    assert net.target_scale_ == [1.0]
    far = np.linspace(0, 1e300, len(images))
    with pytest.raises(InvalidInput, match="y must have a finite variance: divide it by a number"):
        regressor().fit(images.astype(np.float64), far)


def test_numbers_of_another_byte_order_keep_their_precision():
    images, y = blobs()
    assert classifier(epochs=1).fit(images.astype(">f8"), y).network_.dtype == np.float64
    assert classifier(epochs=1).fit(images.astype(">f4"), y).network_.dtype == np.float32


def steep():
    return [cp.Conv(4, 3), cp.ReLU(), cp.Dense(8), cp.ReLU(), cp.Dense(3)]


def test_a_training_that_diverges_leaves_nothing_or_what_there_was():
    images, y = blobs()
    wild = cp.ConvNetClassifier(steep(), optimizer=cp.SGD(1e30), epochs=4)
    with pytest.raises(TrainingDiverged):
        wild.fit(images, y)
    assert not hasattr(wild, "network_")
    net = cp.ConvNetClassifier(steep(), warm_start=True, epochs=4).fit(images, y)
    before = net.predict_proba(images)
    with pytest.raises(TrainingDiverged):
        net.set_params(optimizer=cp.SGD(1e30)).fit(images, y)
    assert net.classes_.tolist() == sorted(NAMES)
    assert np.isfinite(net.predict_proba(images)).all()
    assert before.shape == net.predict_proba(images).shape


MEASURE = """
import resource, sys, threading
sys.path.insert(0, sys.argv[1])
import numpy as np
import convprop as cp
from convprop.errors import TrainingDiverged

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def threads():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads"))

X = np.zeros((256, 3, 64, 64), dtype=np.uint8)
X[::2, :, :32] = 200
y = np.arange(256) % 2
layers = [cp.Conv(32, 3, padding=1), cp.ReLU(), cp.MaxPool(2), cp.Dense(9), cp.ReLU(), cp.Dense(2)]
fail = sys.argv[2] == "fails"
rate = 1e30 if fail else 0.001
kept = []
for turn in range(6):
    net = cp.ConvNetClassifier(layers, epochs=4, batch_size=256, optimizer=cp.SGD(rate))
    try:
        net.fit(X, y)
    except TrainingDiverged:
        assert fail
    else:
        assert not fail
    kept.append(net)
    if turn == 0:
        before, started = resident(), threads()
print(resident() - before, threads() - started, threading.active_count())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("ends", ["well", "fails"])
def test_memory_and_threads_come_back(ends):
    """Five more estimators, all kept, take less than one training's maps, 130 MB."""
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(Path(__file__).parent), ends],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CONVPROP_NUM_THREADS": "2"},
    )
    assert result.stderr == ""
    grown, threads, python_threads = map(int, result.stdout.split())
    assert grown < 60e6
    assert threads == 0
    assert python_threads == 1
