"""Images of weight 0 take no part: a training and a measure are those of the others, to the bit."""

import numpy as np
import pytest

import convprop as cp
from convprop.data.normalise import normalisation, weighted_normalisation
from convprop.errors import InvalidInput
from refusal import refuses
from test_training import blobs, small, with_dropout

WEIGHTS = np.random.default_rng(1).integers(0, 3, 60).astype(float)
ROWS = np.flatnonzero(WEIGHTS)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"validation": 0.3},
        {"validation": 0.3, "stopping": cp.EarlyStopping(1, measure="validation_accuracy")},
        {"batch_size": 7, "shuffle": False},
        {"augment": cp.Augment(shift=1, noise=0.2, erase=0.5, mixup=0.3), "batch_size": 16},
        {"validation": 0.3, "augment": cp.Augment(rotation=20), "class_weight": "balanced"},
        {"balanced_batches": True, "average": 0.9, "clip_norm": 0.1},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [small, with_dropout])
def test_a_training_is_that_of_the_others(settings, make):
    images, labels = blobs(60)
    all_of_them, others = make(), make()
    histories = [
        cp.train(all_of_them, images, labels, sample_weight=WEIGHTS, epochs=3, **settings),
        cp.train(
            others, images[ROWS], labels[ROWS], sample_weight=WEIGHTS[ROWS], epochs=3, **settings
        ),
    ]
    one, other = ([record[:5] for record in history] for history in histories)
    assert one == other
    assert all_of_them.weights_sha256() == others.weights_sha256()
    assert np.array_equal(all_of_them.normalisation, others.normalisation)
    assert histories[0].images == histories[1].images


def test_zeros_and_ones_leave_images_out():
    images, labels = blobs(60)
    chosen = WEIGHTS > 0
    one, other = small(), small()
    settings = {"epochs": 2, "validation": 0.2, "augment": cp.Augment(shift=1)}
    cp.train(one, images / 255, labels, sample_weight=chosen, **settings)
    cp.train(other, images[chosen] / 255, labels[chosen], **settings)
    assert one.weights_sha256() == other.weights_sha256()


def test_every_split_has_images_of_both_parts():
    """However few weigh something, and wherever they are."""
    images, labels = blobs(60)
    for seed in range(20):
        weights = np.zeros(60)
        weights[np.random.default_rng(seed).permutation(60)[:20]] = 1.0
        net = small()
        history = cp.train(
            net, images, labels, validation=0.1, sample_weight=weights, epochs=1, seed=seed
        )
        assert history.held_out >= 1
        assert history.images + history.held_out == 20
    weights = np.eye(60)[7]
    with refuses(
        InvalidInput, "labels must give some class at least two images to split, got one of each"
    ):
        cp.train(small(), images, labels, validation=0.1, sample_weight=weights)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_weighted_normalisation_is_that_of_the_others(dtype):
    images = blobs(60)[0].astype(dtype)
    images[WEIGHTS == 0] = 255
    one = weighted_normalisation(images, WEIGHTS)
    assert np.array_equal(one, weighted_normalisation(images[ROWS], WEIGHTS[ROWS]))
    twice = images.repeat(WEIGHTS.astype(int), axis=0)
    np.testing.assert_allclose(one, normalisation(twice), rtol=1e-12)


def test_a_measure_is_that_of_the_others():
    images, labels = blobs(60)
    net = small()
    assert net.evaluate(images, labels, WEIGHTS) == net.evaluate(
        images[ROWS], labels[ROWS], WEIGHTS[ROWS]
    )
    # What weighs nothing may be as wrong as it likes.
    far = np.zeros((60, 3))
    far[WEIGHTS == 0] = 1e38
    numbers = cp.Network([cp.Dense(3)], (1, 6, 6), cp.SquaredError())
    assert numbers.evaluate(images, far, WEIGHTS).loss < 1e6
