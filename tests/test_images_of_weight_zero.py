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
    far[WEIGHTS == 0] = np.nan
    assert numbers.evaluate(with_others(images / 255, np.nan), far, WEIGHTS).loss < 1e6


def with_others(images, value):
    """Return images with this value in every one of weight 0."""
    changed = images.copy()
    changed[WEIGHTS == 0] = value
    return changed


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (np.int64, 1000),
        (np.int64, -5),
        (np.int64, 1 << 40),
        (np.float32, np.nan),
        (np.float64, np.inf),
        (np.float64, 1e300),
        (np.float64, -1e9),
    ],
)
@pytest.mark.parametrize("trained", [False, True])
def test_nothing_that_they_hold_decides_anything(dtype, value, trained):
    """Neither whether integers are bytes, nor what is refused, nor what is warned of."""
    images, labels = blobs(60)
    images = images.astype(dtype)
    strange = np.where(WEIGHTS > 0, labels, -1)
    networks = [small(), small()]
    for net in networks if trained else []:
        cp.train(net, images, labels, epochs=1)
    one, other = networks
    settings = {"epochs": 2, "validation": 0.3, "class_weight": {0: 1.0, 1: 2.0, 2: 3.0}}
    changed = with_others(images, value)
    cp.train(one, changed, strange, sample_weight=WEIGHTS, **settings)
    cp.train(other, images[ROWS], labels[ROWS], sample_weight=WEIGHTS[ROWS], **settings)
    assert one.weights_sha256() == other.weights_sha256()
    assert np.array_equal(one.normalisation, other.normalisation)
    assert one.evaluate(changed, strange, WEIGHTS) == other.evaluate(
        images[ROWS], labels[ROWS], WEIGHTS[ROWS]
    )


def test_nothing_of_a_streams_decides_anything():
    images, labels = blobs(60)

    class Rows:
        shape, dtype = images.shape, np.dtype(np.float64)

        def __getitem__(self, rows):
            assert (WEIGHTS[rows] > 0).all()
            return images[rows].astype(np.float64)

    one, other = small(), small()
    for _ in range(2):
        cp.train(one, Rows(), labels, sample_weight=WEIGHTS, epochs=1)
        cp.train(other, Rows()[ROWS], labels[ROWS], sample_weight=WEIGHTS[ROWS], epochs=1)
    assert one.weights_sha256() == other.weights_sha256()


def test_what_does_weigh_something_is_looked_at():
    images, labels = blobs(60)
    row = int(ROWS[-2])
    floats = images.astype(float)
    floats[row, 0, 2, 1] = np.nan
    rule = "images must be finite, got nan at (image, channel, row, column)"
    with refuses(InvalidInput, f"{rule} ({row}, 0, 2, 1)"):
        cp.train(small(), floats, labels, sample_weight=WEIGHTS)
    with refuses(InvalidInput, f"labels must lie in 0..2, got 7 at index {row}"):
        wrong = np.where(np.arange(60) == row, 7, labels)
        cp.train(small(), images, wrong, sample_weight=WEIGHTS)
    with refuses(InvalidInput, "sample_weight must have shape (60,), got shape (59,)"):
        cp.train(small(), images, labels, sample_weight=WEIGHTS[1:])
    with refuses(InvalidInput, "images must hold at least one image, got shape (0,)"):
        cp.train(small(), [], [], sample_weight=[])
