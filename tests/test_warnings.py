"""Warnings: of trainings whose losses show that they go wrong, and of pixels in another range."""

import math
import warnings

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

import convprop as cp
from convprop.data.value_range import warn_of_range
from convprop.errors import RangeWarning, TrainingWarning
from test_training import blobs, small

STILL = "no better than that of one answer to all images"


def warned(call, *arguments, **options):
    """Call it; return what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*arguments, **options)
    return [str(one.message) for one in caught if issubclass(one.category, cp.ConvpropWarning)]


# ---- What the losses say ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("loss", "rate"),
    [(cp.SoftmaxCrossEntropy(), 1e3), (cp.BinaryCrossEntropy(), 1e3), (cp.SquaredError(), 0.6)],
    ids=repr,
)
def test_a_loss_out_of_bounds(loss, rate, dtype):
    images, _ = blobs()
    labels = np.random.default_rng(0).integers(0, 3, 40)  # Nothing to learn, much to lose.
    layers = [cp.Conv(4, 3), cp.Tanh(), cp.Dense(3)]
    net = cp.Network(layers, (1, 6, 6), loss, dtype=dtype)
    optimizer = cp.SGD(rate, momentum=0.9)
    settings = {"epochs": 3, "batch_size": 8, "clip_norm": 20.0}
    said = warned(cp.train, net, images, labels, optimizer=optimizer, **settings)
    assert len(said) == 1
    assert said[0].startswith("the loss is ")
    assert f"a smaller learning rate than {rate:g}, or clip_norm, may help" in said[0]


@pytest.mark.parametrize(
    ("loss", "targets", "one_answer"),
    [
        (cp.SoftmaxCrossEntropy(), lambda labels: labels, math.log(3)),
        (cp.SoftmaxCrossEntropy("sum"), lambda labels: labels, math.log(3)),
        (cp.SoftmaxCrossEntropy(label_smoothing=0.2), lambda labels: labels, math.log(3)),
        (
            cp.BinaryCrossEntropy(),
            lambda labels: labels,
            3 * math.log(3) - 2 * math.log(2),
        ),
        (cp.SquaredError(), lambda labels: labels[:, None] * np.array([1.0, 5.0, 0.0]), 26 / 3),
    ],
    ids=str,
)
def test_a_loss_that_stays_where_one_answer_would_be(loss, targets, one_answer):
    images, labels = blobs(39)
    net = small(loss=loss)
    settings = {"optimizer": cp.SGD(1e-12), "epochs": 34, "batch_size": 13}
    said = warned(cp.train, net, images, targets(labels), **settings)
    assert len(said) == 1
    assert said[0].startswith("after 102 steps the loss is ")
    assert f"{STILL} ({one_answer:.4g})" in said[0]
    # Before so many steps it is no surprise.
    settings["epochs"] = 33
    assert warned(cp.train, small(loss=loss), images, targets(labels), **settings) == []


def test_rare_classes_and_weights_are_part_of_the_one_answer():
    images, _ = blobs(40)
    labels = (np.arange(40) < 4).astype(int)
    settings = {"optimizer": cp.SGD(1e-12), "epochs": 50, "batch_size": 20}
    shares = (0.1, 0.5)
    for share, changes in zip(shares, ({}, {"class_weight": "balanced"}), strict=True):
        said = warned(cp.train, small(), images, labels, **settings, **changes)
        answer = -share * math.log(share) - (1 - share) * math.log(1 - share)
        assert f"({answer:.4g})" in said[0]
    said = warned(cp.train, small(), images, labels, balanced_batches=True, **settings)
    assert f"({math.log(2):.4g})" in said[0]


@pytest.mark.parametrize("size", [1e-30, 1e30, 1e100])
def test_numbers_of_any_size_are_watched(size):
    images, _ = blobs()
    layers = [cp.Dense(1)]
    net = cp.Network(layers, (1, 6, 6), cp.SquaredError(), dtype="float64")
    y = size * (1 + np.arange(40.0)[:, None])
    with np.errstate(over="ignore"):
        warned(cp.train, net, images, y / 40, optimizer=cp.SGD(1e-9), epochs=1)


def test_what_the_held_out_images_leave_behind():
    images, labels = blobs()
    wrong = (labels + 1) % 3  # The better the training, the worse this gets.
    settings = {"epochs": 40, "validation": (images, wrong), "optimizer": cp.Adam(0.01)}
    said = warned(cp.train, small(), images, labels, **settings)
    assert len(said) == 1
    assert said[0].startswith("the held-out loss was smallest after epoch ")
    assert "are learned by heart" in said[0]
    early = cp.EarlyStopping(patience=30)
    assert warned(cp.train, small(), images, labels, stopping=early, **settings) == []


def test_the_warning_is_shown_where_train_is_called():
    images, labels = blobs()
    with pytest.warns(TrainingWarning) as caught:
        cp.train(small(), images, labels, optimizer=cp.SGD(1e-12), epochs=100, batch_size=20)
    assert caught[0].filename == __file__


@pytest.mark.slow
@pytest.mark.parametrize("name", cp.presets.NAMES)
def test_a_presets_own_training_warns_of_nothing(name):
    entry = cp.presets.PRESETS[name]
    digits = cp.data.load("digits").train
    images = digits.images[:256]
    if name != "digits":
        images = images.repeat(4, axis=2).repeat(4, axis=3)
    net = cp.preset(name, images.shape[1:], 10)
    settings = {"optimizer": entry.optimizer, "schedule": entry.schedule, "validation": 0.2}
    said = warned(
        cp.train,
        net,
        images,
        digits.labels[:256],
        epochs=4,
        batch_size=entry.batch_size,
        **settings,
    )
    assert said == []


# ---- Pixels in another range ----

RANGES = {
    "0..255": lambda unit: (unit * 255).astype(np.uint8),
    "0..1": lambda unit: unit,
    "-1..1": lambda unit: 2.0 * unit - 1.0,
    "0..65535": lambda unit: unit * 65535,
    "0..16": lambda unit: unit * 16,
}


@pytest.fixture
def unit():
    """Images in 0..1, half of whose pixels are black."""
    random = np.random.default_rng(4)
    return np.maximum(random.random((40, 1, 6, 6)).astype(np.float32) * 2 - 1, 0)


def trained_on(images, dtype="float32"):
    net = small(dtype)
    cp.train(net, images, np.arange(len(images)) % 3, epochs=1)
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("trained", "given"),
    [
        ("0..255", "0..1"),
        ("0..1", "0..255"),
        ("0..255", "-1..1"),
        ("-1..1", "0..255"),
        ("0..65535", "0..255"),
        ("0..255", "0..65535"),
        ("0..16", "0..1"),
        ("0..1", "0..16"),
    ],
)
def test_images_of_another_range(unit, trained, given, dtype):
    net = trained_on(RANGES[trained](unit), dtype)
    others = RANGES[given](unit)
    labels = np.arange(40) % 3
    for call, arguments in (
        (net.predict, (others,)),
        (net.predict_classes, (others,)),
        (net.forward, (others,)),
        (net.evaluate, (others, labels)),
        (cp.train, (net, others, labels)),
    ):
        said = warned(call, *arguments, **({"epochs": 1} if call is cp.train else {}))
        assert len(said) == 1, call
        assert said[0].startswith("images have values from ")
    held_out = {"validation": (others, labels), "epochs": 1}
    said = warned(cp.train, small(dtype), RANGES[trained](unit), labels, **held_out)
    assert said[0].startswith("validation images have values from ")


@pytest.mark.parametrize("kind", RANGES)
def test_images_of_the_range_trained_on(unit, kind):
    images = RANGES[kind](unit)
    net = trained_on(images)
    assert warned(net.predict, images) == []
    for image in images:
        assert warned(net.predict, image[None]) == []
    for level in (images.min(), images.max()):
        assert warned(net.predict, np.full_like(images[:1], level)) == []


def test_sparse_images_are_no_other_range():
    images = np.zeros((100, 1, 6, 6), dtype=np.uint8)
    images[::20, 0, 2, 2] = 255
    net = trained_on(images)
    assert warned(net.predict, images) == []
    assert warned(net.predict, images[:1]) == []


def test_of_several_channels_one_is_enough(unit):
    images = np.concatenate([unit, np.ones_like(unit)], axis=1)
    net = cp.Network([cp.Dense(3)], (2, 6, 6))
    cp.train(net, images, np.arange(40) % 3, epochs=1)
    assert warned(net.predict, images) == []
    images[:, 1] = 255
    said = warned(net.predict, images)
    assert "(mean 1, standard deviation 1)" in said[0]


def test_a_normalisation_that_is_of_no_images_says_nothing(unit):
    net = trained_on(unit)
    for normalisation in (([0.0], [1.0]), None):
        net.normalisation = normalisation
        assert warned(net.predict, unit * 255) == []
    untrained = small()
    untrained.normalisation = [0.5], [3.0]
    assert warned(untrained.predict, unit * 255) == []


def test_a_stream_is_looked_at(unit):
    class Stream:
        shape, dtype = (40, 1, 6, 6), np.dtype(np.uint8)

        def __getitem__(self, rows):
            return RANGES["0..255"](unit)[rows]

    with pytest.warns(RangeWarning):
        warn_of_range(Stream(), (np.array([0.5]), np.array([3.0])), "images")


def test_a_file_says_it_too(unit, tmp_path):
    trained_on(RANGES["0..255"](unit)).save(tmp_path / "net.safetensors")
    net = cp.load(tmp_path / "net.safetensors")
    with pytest.warns(RangeWarning) as caught:
        net.predict(unit)
    assert caught[0].filename == __file__


# ---- Estimators ----


@pytest.mark.parametrize("estimator", [cp.ConvNetClassifier, cp.ConvNetRegressor])
def test_estimators_warn_of_chunks_and_of_pixels(estimator, unit):
    y = np.arange(40) % 2
    net = estimator([cp.Dense(2 if estimator is cp.ConvNetClassifier else 1)], random_state=0)
    assert warned(net.partial_fit, unit, y) == []
    assert warned(net.partial_fit, unit[::-1], y) == []
    assert len(warned(net.partial_fit, unit * 255, y)) == 1
    assert len(warned(net.predict, unit * 255)) == 1
    assert len(warned(net.transform, unit * 255)) == 1
    net.set_params(warm_start=True, epochs=1)
    assert len(warned(net.fit, unit * 255, y)) == 1
    net.set_params(warm_start=False)
    assert warned(net.fit, unit * 255, y) == []


@pytest.mark.parametrize("estimator", [cp.ConvNetClassifier, cp.ConvNetRegressor])
@pytest.mark.parametrize("method", ["partial_fit", "fit", "predict", "transform", "score"])
def test_an_estimators_warning_is_shown_where_it_is_called(estimator, method, unit):
    """Between the call and the package are scikit-learn's wrappers, and its own score."""
    y = np.arange(40) % 2
    layers = [cp.Dense(2 if estimator is cp.ConvNetClassifier else 1)]
    net = estimator(layers, epochs=1, warm_start=True, random_state=0).fit(unit, y)
    targets = () if method in ("predict", "transform") else (y,)
    with pytest.warns(RangeWarning) as caught:
        getattr(net, method)(unit * 255, *targets)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_warning_in_a_cross_validation_is_shown_where_that_is_called(unit):
    net = cp.ConvNetClassifier([cp.Dense(2)], epochs=1, random_state=0)
    images = np.concatenate([unit, unit * 255])
    with pytest.warns(RangeWarning) as caught:
        cross_val_score(net, images, np.arange(80) % 2, cv=[(np.arange(40), np.arange(40, 80))])
    assert {warning.filename for warning in caught} == {__file__}


def test_a_regressors_chunk_of_targets_far_outside(unit):
    y = unit.mean(axis=(1, 2, 3))
    net = cp.ConvNetRegressor([cp.Dense(1)], random_state=0)
    assert warned(net.partial_fit, unit, y) == []
    assert warned(net.partial_fit, unit, y[::-1]) == []
    said = warned(net.partial_fit, unit, y + 1000)
    assert said[0].startswith("y has values from ")
    assert "unlike those of the first call" in said[0]
