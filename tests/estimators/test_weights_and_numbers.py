"""What weighs nothing is not there, and numbers come back as exact as they were given."""

import numpy as np
import pytest
from blobs import NAMES, blobs, classifier, regressor
from PIL import Image
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.model_selection import cross_val_predict

import convprop as cp
from convprop.errors import InvalidInput
from refusal import refuses

WEIGHTS = np.random.default_rng(2).integers(0, 3, 60)
ROWS = np.flatnonzero(WEIGHTS)


def brightness(images):
    return images.reshape(len(images), -1)[:, :12].mean(axis=1)


def learned(fitted):
    """Return all that a training has said and left."""
    scores = fitted.validation_scores_
    return fitted.network_.weights_sha256(), fitted.loss_curve_, scores, fitted.t_, fitted.n_iter_


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"epochs": None},
        {"early_stopping": True, "validation_fraction": 0.3},
        {"batch_size": 7, "augment": cp.Augment(shift=1, noise=0.1)},
        {"network": "auto", "batch_size": 50},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("make", [classifier, regressor])
def test_images_of_weight_zero_are_not_there(make, kind, settings):
    images, y = blobs()
    if make is regressor:
        y = brightness(images)
    X = (images / 7).astype(kind)
    net = make().set_params(**settings)
    weighted = learned(net.fit(X, y, sample_weight=WEIGHTS))
    assert weighted == learned(net.fit(X[ROWS], y[ROWS], sample_weight=WEIGHTS[ROWS]))
    # Zeros and ones choose images.
    chosen = learned(net.fit(X, y, sample_weight=WEIGHTS > 0))
    assert chosen == learned(net.fit(X[ROWS], y[ROWS]))


@pytest.mark.parametrize("value", [1000, -5, 1 << 40])
@pytest.mark.parametrize("form", ["rows", "images", "fit after fit", "partial_fit"])
@pytest.mark.parametrize("make", [classifier, regressor])
def test_integers_are_bytes_if_those_are_that_weigh_something(make, form, value):
    images, y = blobs()
    y = brightness(images) if make is regressor else y
    X = images.astype(int).reshape(60, -1) if form == "rows" else images.astype(int)
    X[WEIGHTS == 0] = value
    if make is regressor:
        y[WEIGHTS == 0] = 1e300
    one, other = (make(epochs=2).set_params(network="auto") for _ in range(2))
    for _ in range(2 if form == "fit after fit" else 1):
        for net, (x, t, w) in (
            (one, (X, y, WEIGHTS)),
            (other, (X[ROWS], y[ROWS], WEIGHTS[ROWS])),
        ):
            net.warm_start = form == "fit after fit"
            fit = net.partial_fit if form == "partial_fit" else net.fit
            fit(x, t, sample_weight=w)
    assert learned(one) == learned(other)
    assert np.array_equal(one.network_.normalisation, other.network_.normalisation)


def test_floats_beyond_the_dtype_too():
    images, y = blobs()
    X = images.astype(np.longdouble)
    X[WEIGHTS == 0] = np.longdouble("1e4000") if np.finfo(X.dtype).maxexp > 1024 else 1e300
    weighted = learned(classifier().fit(X, y, sample_weight=WEIGHTS))
    assert weighted == learned(classifier().fit(X[ROWS], y[ROWS], sample_weight=WEIGHTS[ROWS]))
    # scikit-learn's rule is that X is finite, whatever an image weighs.
    X[WEIGHTS == 0] = np.nan
    for make, targets in ((classifier, y), (regressor, brightness(images))):
        for form in (X, X.reshape(60, -1)):
            with pytest.raises(ValueError, match="X contains NaN"):
                make().fit(form, targets, sample_weight=WEIGHTS)


def test_later_chunks_and_rounded_numbers_are_those_that_weigh_something():
    images, _ = blobs()
    y = brightness(images)
    net = regressor().partial_fit(images, y)
    far, others = y.copy(), images.astype(float)
    far[WEIGHTS == 0], others[WEIGHTS == 0] = 1e30, 1e30
    # Warnings are errors.
    net.partial_fit(others, far, sample_weight=WEIGHTS)
    # float64 tells only the small ones apart, which are those that weigh something.
    # Of numbers between these and 0, float64 tells all apart.
    near = np.where(WEIGHTS > 0, np.arange(60), (1 << 60) + np.arange(60))
    with pytest.raises(InvalidInput, match="y must vary by more than float64 rounds them by"):
        regressor().fit(images[WEIGHTS == 0], near[WEIGHTS == 0])
    weighted = learned(regressor().fit(images, near, sample_weight=WEIGHTS))
    assert weighted == learned(
        regressor().fit(images[ROWS], near[ROWS], sample_weight=WEIGHTS[ROWS])
    )


def test_pictures_that_weigh_nothing_are_not_opened(tmp_path):
    """Their size, their colour and their absence change nothing."""
    images, y = blobs()
    pictures = [Image.fromarray(image[0]) for image in images]
    for row in np.flatnonzero(WEIGHTS == 0):
        pictures[row] = tmp_path / "missing.png" if row % 2 else Image.new("RGB", (9, 9), "red")
    # The first one tells the size.
    pictures.insert(0, Image.new("RGB", (9, 9)))
    weights, targets = np.insert(WEIGHTS, 0, 0), np.insert(y, 0, y[0])
    weighted = learned(classifier().fit(pictures, targets, sample_weight=weights))
    some = [pictures[row] for row in np.flatnonzero(weights)]
    assert weighted == learned(classifier().fit(some, y[ROWS], sample_weight=WEIGHTS[ROWS]))


@pytest.mark.parametrize("class_weight", ["balanced", {"above": 0, "middle": 1, "below": 2}])
def test_classes_weigh_what_their_images_do(class_weight):
    images, y = blobs()
    net = classifier(class_weight=class_weight, early_stopping=True)
    weighted = learned(net.fit(images, y, sample_weight=WEIGHTS))
    assert weighted == learned(net.fit(images[ROWS], y[ROWS], sample_weight=WEIGHTS[ROWS]))
    assert net.classes_.tolist() == sorted(NAMES)


def test_targets_are_normalised_by_those_that_weigh_something():
    images, _ = blobs()
    y = np.where(WEIGHTS > 0, brightness(images), 1e30)
    net = regressor().partial_fit(images, y, sample_weight=WEIGHTS)
    only = regressor().partial_fit(images[ROWS], y[ROWS], sample_weight=WEIGHTS[ROWS])
    assert net.target_mean_ == only.target_mean_
    assert net.target_scale_ == only.target_scale_
    assert learned(net) == learned(only)


def test_a_class_of_which_no_image_weighs_anything_is_still_a_class():
    images, y = blobs()
    weights = (y == "above").astype(int)
    net = classifier(early_stopping=True).fit(images, y, sample_weight=weights)
    assert net.best_validation_score_ == 1.0
    assert net.classes_.tolist() == sorted(NAMES)
    assert net.predict_proba(images[weights > 0])[:, 0].min() > 0.5
    parts = classifier().partial_fit(images, y, sample_weight=weights)
    some = classifier().partial_fit(images[::3], y[::3], classes=NAMES)
    assert learned(parts) == learned(some)
    for make, targets in ((classifier, y), (regressor, brightness(images))):
        # scikit-learn's versions say it in one way or leave it to us.
        with pytest.raises(ValueError, match=r"non-zero|above 0 for some image"):
            make().fit(images, targets, sample_weight=np.zeros(60))


@pytest.mark.parametrize("seed", range(10))
def test_a_bagging_of_few_images(seed):
    """It weighs the images that it does not draw with 0, and a third are not drawn."""
    images, y = blobs(20)
    rows = images.reshape(20, -1)
    settings = {"n_estimators": 3, "random_state": seed}
    classes = BaggingClassifier(classifier(early_stopping=True), **settings).fit(rows, y)
    assert np.isfinite(classes.predict_proba(rows)).all()
    values = BaggingRegressor(regressor(early_stopping=True), **settings)
    assert np.isfinite(values.fit(rows, brightness(images)).predict(rows)).all()


# ---- Numbers far from 0 ----


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("offset", [0.0, 1.7e9, -1e13])
def test_numbers_far_from_zero_are_learned_as_those_near_it(offset, kind):
    images, _ = blobs()
    X, y = images.astype(kind), brightness(images) + offset
    net = regressor(epochs=80, learning_rate_init=0.01).fit(X, y)
    assert net.network_.dtype == np.float32
    assert net.score(X, y) > 0.95
    predicted = net.predict(X)
    assert predicted.dtype == np.float64
    # The network's own outputs, brought back in float64 and in no other way.
    outputs = net.network_.forward(X).astype(np.float64)
    assert np.array_equal(predicted, outputs[:, 0] * net.target_scale_ + net.target_mean_)
    net.partial_fit(X, y)
    assert net.score(X, y) > 0.95


def test_several_numbers_far_from_zero():
    images, _ = blobs()
    X = images.astype(np.float32)
    y = np.column_stack([brightness(images) + 1.7e9, brightness(images[:, :, ::-1]) - 1e12])
    net = regressor(2, epochs=80, learning_rate_init=0.01)
    assert net.fit(X, y).score(X, y) > 0.9
    assert net.predict(X).dtype == np.float64
    crossed = cross_val_predict(net, X, y.astype(np.int64), cv=2)
    assert np.abs(crossed - y).max() < 1000


def test_numbers_beyond_float32():
    images, _ = blobs()
    X, y = images.astype(np.float32), brightness(images) * 1e90
    net = regressor(epochs=80, learning_rate_init=0.01).fit(X, y)
    assert net.score(X, y) > 0.95


def test_integers_that_float64_does_not_tell_apart():
    images, _ = blobs()
    near, far = 2**60 + np.arange(60), 2**60 + np.arange(60) * 10**6
    with refuses(
        InvalidInput,
        "y must vary by more than float64 rounds them by: subtract their mean, got"
        " 1152921504606846976 to 1152921504606847035 in column 0",
    ):
        regressor().fit(images, near)
    assert regressor(epochs=1).fit(images, far).target_scale_ > 1e6
    regressor(epochs=1).fit(images, np.tile(np.array([-128, 127], dtype=np.int8), 30))


def test_early_stopping_measures_numbers_far_from_zero():
    images, _ = blobs()
    X, y = images.astype(np.float32), brightness(images) + 1.7e9
    net = regressor(epochs=80, learning_rate_init=0.01, early_stopping=True).fit(X, y)
    assert net.best_validation_score_ > 0.9


@pytest.mark.parametrize("size", [1e-300, 1e-320, 1e-160])
def test_numbers_whose_squares_are_zero_are_refused_with_the_cure(size):
    """scikit-learn's R² would divide 0 by 0."""
    images, _ = blobs()
    y = brightness(images) * size
    rule = "have a variance that is no 0 in float64: multiply it by a number that is large"
    with refuses(InvalidInput, f"y must {rule}, got values from {y.min():.3g} to {y.max():.3g}"):
        regressor().fit(images, y)
    with refuses(InvalidInput, f"y must {rule}, got values from {y.min():.3g} to {y.max():.3g}"):
        regressor(2).fit(images, np.column_stack([brightness(images), y]))
    large = regressor(epochs=40, learning_rate_init=0.01).fit(images, brightness(images) * 1e-100)
    assert large.score(images, brightness(images) * 1e-100) > 0.9
    net = cp.Network([cp.Dense(1)], (1, 6, 6), cp.SquaredError())
    advice = "labels must vary by more than float32 rounds them by: multiply them by a number"
    with pytest.raises(InvalidInput, match=advice):
        cp.train(net, images, y)
