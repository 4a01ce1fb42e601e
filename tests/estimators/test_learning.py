"""What the parameters do, and what fit leaves behind."""

import numpy as np
import pytest
from blobs import NAMES, blobs, classifier, layers, regressor
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV

import convprop as cp
from convprop.data.arrays import stratified_split
from convprop.data.normalise import normalisation, weighted_normalisation
from convprop.errors import InvalidInput
from convprop.estimators import auto_layers, base
from convprop.presets import PRESETS
from refusal import refuses


def test_it_is_train_with_these_arguments():
    images, y = blobs()
    codes = np.searchsorted(sorted(NAMES), y).astype(np.int32)
    net = cp.Network(layers(), (1, 6, 6), seed=5)
    history = cp.train(
        net,
        images,
        codes,
        optimizer=cp.SGD(0.05, momentum=0.9, weight_decay=0.016 / 16),
        schedule=cp.schedules.Cosine(),
        epochs=3,
        batch_size=16,
        shuffle=False,
        augment=cp.Augment(shift=1),
        clip_norm=1.0,
        average=0.9,
        seed=5,
    )
    fitted = cp.ConvNetClassifier(
        layers(),
        optimizer=cp.SGD(momentum=0.9),
        learning_rate_init=0.05,
        alpha=0.016,
        schedule=cp.schedules.Cosine(),
        epochs=3,
        batch_size=16,
        shuffle=False,
        augment=cp.Augment(shift=1),
        clip_norm=1.0,
        average=0.9,
        label_smoothing=0.0,
        random_state=5,
    ).fit(images, y)
    assert fitted.network_.weights_sha256() == net.weights_sha256()
    assert fitted.loss_curve_ == [record.loss for record in history]
    assert fitted.loss_ == fitted.loss_curve_[-1]
    assert fitted.best_loss_ == min(fitted.loss_curve_)
    assert (fitted.n_iter_, fitted.t_, fitted.n_features_in_) == (3, 180, 36)
    assert fitted.validation_scores_ is fitted.best_validation_score_ is None
    assert list(fitted.classes_) == sorted(NAMES)
    assert fitted.network_.class_names == tuple(sorted(NAMES))
    assert np.array_equal(fitted.predict_proba(images), net.predict(images))


def test_a_preset_comes_with_its_training():
    images = np.random.default_rng(0).integers(0, 255, (64, 28, 28), dtype=np.uint8)
    y = np.arange(64) % 10
    entry, net = PRESETS["lenet5"], cp.preset("lenet5", (1, 28, 28), 10, seed=3)
    cp.train(
        net,
        images,
        y,
        optimizer=entry.optimizer,
        schedule=entry.schedule,
        batch_size=min(entry.batch_size, 64),
        epochs=2,
    )
    fitted = cp.ConvNetClassifier("lenet5", epochs=2, random_state=3).fit(images, y)
    assert fitted.network_.weights_sha256() == net.weights_sha256()
    everything = fitted.get_params()
    assert everything["optimizer"] is None
    changed = fitted.set_params(optimizer__learning_rate=0.5)
    assert changed.optimizer == type(entry.optimizer)(
        **{**entry.optimizer.__dict__, "learning_rate": 0.5}
    )


@pytest.mark.parametrize(
    ("shape", "convolutions", "smallest"),
    [
        ((1, 8, 8), 4, 4),
        ((1, 1, 1), 0, 1),
        ((3, 2, 2), 0, 2),
        ((1, 28, 28), 6, 7),
        ((3, 32, 32), 8, 4),
        ((3, 100, 200), 8, 0),
        ((3, 4000, 4000), 8, 0),
        ((1, 1, 30), 6, 0),
    ],
)
def test_auto_fits_every_shape(shape, convolutions, smallest):
    net = cp.Network(auto_layers(shape, 5), shape)
    assert net.outputs == 5
    assert sum(isinstance(layer, cp.Conv) for layer in net.layers) == convolutions
    assert sum(array.size for array in net.parameters.values()) < 2_000_000
    maps = [shape for shape in net.shapes if len(shape) == 3]
    assert max(maps[-1][1:]) < 8
    if smallest:
        assert maps[-1][1:] == (smallest, smallest)


def test_nested_parameters():
    net = cp.ConvNetClassifier(optimizer=cp.AdamW(0.1), augment=cp.Augment(shift=2))
    parameters = net.get_params()
    assert parameters["optimizer__learning_rate"] == 0.1
    assert parameters["augment__shift"] == (2, 2)
    assert not any("__" in name for name in net.get_params(deep=False))
    net.set_params(optimizer__beta1=0.5, optimizer__epsilon=1e-3, augment__flip="both", epochs=3)
    assert net.optimizer == cp.AdamW(0.1, beta1=0.5, epsilon=1e-3)
    assert net.augment == cp.Augment(shift=2, flip="both")
    net.set_params(optimizer="sgd", optimizer__momentum=0.5)
    assert net.optimizer == cp.SGD(momentum=0.5)
    fresh = cp.ConvNetClassifier().set_params(augment__shift=1, optimizer__learning_rate=0.5)
    assert fresh.augment == cp.Augment(shift=1)
    assert isinstance(fresh.optimizer, cp.Adam)
    assert fresh.set_params(**clone(net).get_params()).get_params() == net.get_params()
    with refuses(
        InvalidInput,
        "optimizer__slope must be one of learning_rate, rate_factors, decay_factors, momentum,"
        " nesterov, weight_decay, decoupled, got the parameter optimizer=SGD(momentum=0.5)",
    ):
        net.set_params(optimizer__slope=1)
    with pytest.raises(ValueError, match="Invalid parameter 'width'"):
        net.set_params(width=1)
    with pytest.raises(ValueError, match="epochs__width"):
        net.set_params(epochs__width=1)


def test_every_epoch_of_partial_fit_is_the_next_of_one_training():
    images, y = blobs()
    optimizer = cp.SGD(0.05, momentum=0.9)
    parts = classifier(optimizer=optimizer, batch_size=16)
    for _ in range(3):
        parts.partial_fit(images, y)
    whole = classifier(
        optimizer=optimizer, batch_size=16, epochs=3, schedule=cp.schedules.Constant()
    ).fit(images, y)
    assert parts.network_.weights_sha256() == whole.network_.weights_sha256()
    assert parts.loss_curve_ == whole.loss_curve_
    assert (parts.n_iter_, parts.t_) == (3, 180)


def test_partial_fit_takes_batches_of_some_classes():
    images, y = blobs()
    net = classifier(learning_rate_init=0.01)
    order = np.argsort(y, kind="stable")
    with refuses(InvalidInput, "y must have at least two classes, got one class, 'above'"):
        net.partial_fit(images[order[:10]], y[order[:10]])
    for _ in range(60):
        for rows in np.array_split(np.random.default_rng(0).permutation(60), 6):
            net.partial_fit(images[rows], y[rows], classes=NAMES)
    assert net.score(images, y) > 0.9
    net.partial_fit(images[order[:10]], y[order[:10]])
    with refuses(
        InvalidInput, "y must hold only the classes 'above', 'below', 'middle', got 'left'"
    ):
        net.partial_fit(images[:2], ["left", "above"])
    with refuses(
        InvalidInput,
        "classes must be those of the first call, 'above', 'below', 'middle', got"
        " ['above', 'left']",
    ):
        net.partial_fit(images[:2], ["above", "above"], classes=["above", "left"])


def test_partial_fit_in_a_changed_mind():
    """Another optimizer begins with nothing; fit begins anew."""
    images, y = blobs()
    net = classifier().partial_fit(images, y)
    net.set_params(optimizer="sgd").partial_fit(images, y)
    assert net.n_iter_ == 2
    assert net.fit(images, y).n_iter_ == 4


def test_warm_start_goes_on():
    images, y = blobs()
    net = classifier(warm_start=True, learning_rate_init=0.01)
    losses = [net.fit(images, y).loss_ for _ in range(3)]
    assert losses == sorted(losses, reverse=True)
    assert net.t_ == 3 * 4 * 60
    cold = classifier(learning_rate_init=0.01)
    assert cold.fit(images, y).loss_ == cold.fit(images, y).loss_ == losses[0]
    with pytest.raises(ValueError, match="y must hold only the classes"):
        net.fit(images, np.where(y == "above", "up", y))


def test_early_stopping_keeps_the_best():
    images, y = blobs()
    net = classifier(
        epochs=200, learning_rate_init=0.01, early_stopping=True, validation_fraction=0.25
    ).fit(images, y)
    assert net.n_iter_ < 200
    assert len(net.validation_scores_) == len(net.loss_curve_) == net.n_iter_
    assert net.best_loss_ is None
    assert net.best_validation_score_ in net.validation_scores_
    codes = np.searchsorted(net.classes_, y)
    _, rows = stratified_split(codes, 0.25, 0)
    assert net.score(images[rows], y[rows]) == net.best_validation_score_


@pytest.mark.parametrize("outputs", [1, 3])
def test_early_stopping_of_numbers_measures_their_part_explained(outputs):
    images, _ = blobs()
    random = np.random.default_rng(0)
    y = images.reshape(60, -1) @ random.normal(size=(36, outputs)) + 100
    y = y[:, 0] if outputs == 1 else y
    weights = random.integers(0, 3, 60)
    net = regressor(
        outputs, epochs=50, learning_rate_init=0.01, early_stopping=True, validation_fraction=0.25
    ).fit(images, y, sample_weight=weights)
    weighed = np.flatnonzero(weights)
    _, held_out = stratified_split(np.zeros(len(weighed)), 0.25, 0)
    rows = weighed[held_out]
    predicted = net.predict(images[rows])
    expected = r2_score(
        y[rows] / net.target_scale_,
        predicted / net.target_scale_,
        sample_weight=weights[rows],
        multioutput="variance_weighted",
    )
    assert net.best_validation_score_ == pytest.approx(expected, abs=1e-5)


def test_classes_weigh_alike_if_they_are_balanced():
    images, y = blobs()
    rows = np.concatenate([np.flatnonzero(y == NAMES[0])[:4], np.flatnonzero(y != NAMES[0])])
    images, y = images[rows], y[rows]
    counts = {name: int((y == name).sum()) for name in NAMES}
    by_hand = {name: len(y) / (3 * count) for name, count in counts.items()}
    balanced = classifier(class_weight="balanced").fit(images, y)
    assert balanced.loss_curve_ == classifier(class_weight=by_hand).fit(images, y).loss_curve_
    given = np.array([by_hand[name] for name in y])
    weighted = classifier().fit(images, y, sample_weight=given)
    assert balanced.loss_curve_ == weighted.loss_curve_
    # An image that counts as two counts as two.
    twice = np.where(np.arange(len(y)) % 2, 2.0, 1.0)
    settings = {"class_weight": "balanced", "batch_size": 1000}
    X = images.astype("float64")
    one = classifier(**settings).fit(X, y, sample_weight=twice)
    other = classifier(**settings).fit(
        X.repeat(twice.astype(int), axis=0), y.repeat(twice.astype(int))
    )
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-9)
    with refuses(
        InvalidInput,
        "class_weight must be None or a mapping for partial_fit, which does not see all images,"
        " got 'balanced'",
    ):
        classifier(class_weight="balanced").partial_fit(images, y)
    with pytest.raises(ValueError, match="class_weight"):
        classifier(class_weight={"left": 2.0}).fit(images, y)


def test_normalisation_by_weights_is_that_of_so_many_images():
    images = np.random.default_rng(0).random((7, 3, 5, 3))
    images[:, 1] = 4.5
    weights = np.array([0, 1, 2, 3, 0, 1, 1])
    one = weighted_normalisation(images, weights.astype(float))
    other = normalisation(images.repeat(weights, axis=0))
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-13)
    assert one[1][1] == 1.0


def test_random_state():
    images, y = blobs()
    same = [classifier(random_state=np.random.RandomState(7)).fit(images, y) for _ in range(2)]
    assert same[0].loss_curve_ == same[1].loss_curve_
    state = np.random.RandomState(7)
    different = [classifier(random_state=state).fit(images, y) for _ in range(2)]
    assert different[0].loss_curve_ == same[0].loss_curve_ != different[1].loss_curve_
    any_ = [classifier(random_state=None).fit(images, y) for _ in range(2)]
    assert any_[0].loss_curve_ != any_[1].loss_curve_


def test_verbose_says_a_line_an_epoch(capsys):
    images, y = blobs()
    classifier(verbose=True, early_stopping=True).fit(images, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("epoch 2: loss ")
    assert ", accuracy 0." in lines[1]
    assert ", validation accuracy " in lines[1]
    assert lines[1].endswith(" s")
    classifier().fit(images, y)
    assert capsys.readouterr().out == ""


def test_an_interrupted_training_keeps_what_it_has_learned(monkeypatch, capsys):
    images, y = blobs()

    def line(record):
        if record.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(base, "_line", line)
    fitted = classifier(verbose=True)
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(images, y)
    assert fitted.n_iter_ == 2
    assert fitted.n_features_in_ == images[0].size
    assert fitted.predict(images).shape == (60,)


def test_an_interrupted_search_ends(monkeypatch):
    images, y = blobs()

    def line(record):
        lines.append(record)
        if len(lines) == 6:  # The second epoch of the second training.
            raise KeyboardInterrupt

    lines = []
    monkeypatch.setattr(base, "_line", line)
    search = GridSearchCV(classifier(verbose=True), {"alpha": [0.0, 0.1]}, cv=2, n_jobs=1)
    with pytest.raises(KeyboardInterrupt):
        search.fit(images, y)
    assert len(lines) == 6
    assert not hasattr(search, "cv_results_")


def test_logarithms_of_probabilities_stay_finite():
    images, y = blobs()
    fitted = classifier().fit(images, y)
    fitted.network_.parameters["dense2.bias"] = [0, 500, 0]
    logarithms = fitted.predict_log_proba(images)
    assert (fitted.predict_proba(images) == 0).any()
    assert np.isfinite(logarithms).all()
    assert logarithms.min() < -400


def test_several_outputs():
    images, _ = blobs()
    y = np.stack([np.arange(60) % 3, np.arange(60) % 3 * -1000.0], axis=1)
    net = regressor(2, epochs=200, learning_rate_init=0.01).fit(images, y)
    assert net.predict(images).shape == (60, 2)
    assert net.score(images, y) > 0.9
    with pytest.warns(DataConversionWarning):
        assert regressor().fit(images, y[:, :1]).predict(images).shape == (60,)
    with refuses(InvalidInput, "y must have 2 outputs, as in the first call, got 1"):
        net.partial_fit(images, y[:, 0])


@pytest.mark.parametrize("preset", ["cifar-tutorial", "lenet-theano"])
def test_a_preset_of_plain_gradient_descent_learns_numbers(preset):
    random = np.random.default_rng(0)
    images = random.integers(0, 60, (120, 1, 16, 16), dtype=np.uint8)
    places = random.integers(0, 13, (120, 2))
    for image, (row, column) in zip(images, places, strict=True):
        image[0, row : row + 3, column : column + 3] += 150
    net = cp.ConvNetRegressor(preset, epochs=20, batch_size=8, random_state=0)
    assert net.fit(images, places).score(images, places) > 0.6
    assert isinstance(net._optimizer(), cp.AdamW)
    assert net.set_params(optimizer="sgd")._optimizer() == cp.SGD(momentum=0.9)
