"""Rates of a recipe for other batches than it was made for: of rules, and of estimators."""

import math

import numpy as np
import pytest

import convprop as cp
from convprop.auto import AUTO
from convprop.errors import InvalidInput
from convprop.optimizers import OPTIMIZERS
from convprop.presets import PRESETS

ADAPTIVE = [
    *(cp.Adam(0.1), cp.AdamW(0.1), cp.RMSprop(0.1), cp.Adadelta(0.1)),
    *(cp.LARS(0.1), cp.LAMB(0.1)),
]


def test_plain_descent_goes_in_proportion_downwards_and_by_the_root_upwards():
    rule = cp.SGD(0.016, momentum=0.9, weight_decay=0.01)
    assert rule.for_batches(4, 64) == cp.SGD(0.001, momentum=0.9, weight_decay=0.01)
    assert rule.for_batches(256, 64) == cp.SGD(0.032, momentum=0.9, weight_decay=0.02)


@pytest.mark.parametrize("rule", ADAPTIVE, ids=lambda rule: rule.kind)
def test_the_others_go_by_the_root(rule):
    assert {type(one) for one in ADAPTIVE} | {cp.SGD} == set(OPTIMIZERS.values())
    for taken in (1, 16, 256):
        assert rule.for_batches(taken, 64).learning_rate == 0.1 * math.sqrt(taken / 64)


@pytest.mark.parametrize("rule", [cp.SGD(0.1, weight_decay=0.01), cp.AdamW(0.1)], ids=repr)
@pytest.mark.parametrize("taken", [1, 16, 100, 1024])
def test_an_epoch_decays_weights_as_much(rule, taken):
    followed = rule.for_batches(taken, 64)
    an_epoch = followed.learning_rate * followed.weight_decay / taken
    assert an_epoch == pytest.approx(0.1 * 0.01 / 64, rel=1e-12)


@pytest.mark.parametrize("name", PRESETS)
def test_the_recipes_own_batch_changes_no_bit(name):
    recipe = PRESETS[name]
    assert recipe.optimizer.for_batches(recipe.batch_size, recipe.batch_size) is recipe.optimizer


@pytest.mark.parametrize("taken", [0, -1, 1.5, True])
def test_no_batch_has_so_many_images(taken):
    with pytest.raises(InvalidInput, match=r"^taken must be a positive integer, got "):
        cp.SGD(0.1).for_batches(taken, 64)


# ---- Estimators ----


def taught(estimator, count, dtype="float32", weights=None, **fit):
    """Fit on noise for an epoch; return the optimizer of the training."""
    random = np.random.default_rng(0)
    X = random.random((count, 16, 16), dtype="float32").astype(dtype)
    y = np.arange(count) % 2
    estimator.set_params(epochs=1, random_state=0)
    settings = estimator.fit(X, y, weights).network_.training_settings
    return settings["optimizer"]


@pytest.mark.parametrize("estimator", [cp.ConvNetClassifier, cp.ConvNetRegressor])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_a_preset_the_rate_is_that_of_the_batch(estimator, dtype):
    for network in ("lenet5", "keras-mnist"):
        recipe = PRESETS[network]
        for size, taken in (("auto", 40), (8, 8), (40, 40), (1000, 40)):
            given = taught(estimator(network, batch_size=size), 40, dtype)
            expected = recipe.optimizer.for_batches(taken, recipe.batch_size)
            assert given == expected.to_dict()


def test_a_regressor_of_a_preset_with_plain_descent_follows_too():
    given = taught(cp.ConvNetRegressor("cifar-tutorial", batch_size=16), 40)
    assert given == cp.AdamW(1e-3).for_batches(16, 64).to_dict()


def test_auto_and_layers_follow_their_recipe():
    layers = [cp.Conv(2, 3), cp.ReLU(), cp.Dense(2)]
    for network in ("auto", layers):
        given = taught(cp.ConvNetClassifier(network, batch_size=4), 40)
        assert given == AUTO.optimizer.for_batches(4, 64).to_dict()
        assert taught(cp.ConvNetClassifier(network), 64) == AUTO.optimizer.to_dict()


@pytest.mark.parametrize(
    ("parameters", "rate"),
    [
        ({"learning_rate_init": 0.02}, 0.02),
        ({"optimizer": cp.SGD(0.03)}, 0.03),
        ({"optimizer": cp.Adam(0.03)}, 0.03),
        # A name is the preset's own optimizer, or another one with its defaults.
        ({"optimizer": "adam"}, PRESETS["lenet5"].optimizer.learning_rate / 4),
        ({"optimizer": "adamw"}, 1e-3 / 4),
        ({"optimizer": "sgd"}, 0.01 / 16),
        ({"optimizer": "sgd", "learning_rate_init": 0.5}, 0.5),
    ],
)
def test_a_rate_that_is_given_is_taken_as_it_is(parameters, rate):
    given = taught(cp.ConvNetClassifier("lenet5", batch_size=4, **parameters), 20)
    assert given["learning_rate"] == rate


def test_alpha_is_divided_by_the_images_that_a_batch_has():
    for size, taken in ((8, 8), (1000, 20)):
        given = taught(cp.ConvNetClassifier("lenet5", batch_size=size, alpha=0.1), 20)
        assert given["weight_decay"] == 0.1 / taken


def test_what_is_held_out_is_not_counted():
    early = cp.ConvNetClassifier("lenet5", early_stopping=True, validation_fraction=0.25)
    assert taught(early, 40) == PRESETS["lenet5"].optimizer.for_batches(30, 64).to_dict()


@pytest.mark.parametrize(
    ("weights", "images"),
    [
        (np.full(20, 2.0), 40),
        (np.arange(20) % 2, 10),
        # Shares of one, as other programs give them, are no fewer images.
        (np.full(20, 1 / 20), 20),
        (np.full(20, 1000.0), 64),
    ],
)
def test_an_image_of_weight_2_is_two_images(weights, images):
    # Of the even half there is one class alone.
    net = cp.ConvNetRegressor("lenet5", batch_size=64)
    given = taught(net, 20, weights=weights)
    assert given == PRESETS["lenet5"].optimizer.for_batches(images, 64).to_dict()
