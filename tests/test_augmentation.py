"""Augmentation against the same formulas in NumPy, and what may not show in it."""

import math

import numpy as np
import pytest

import convprop as cp
from convprop.machine.native import engine
from convprop.training.augmentation import Augment, mixup_share
from refusal import refuses

KEY = 0x6175676D656E7421
SHAPE = (2, 13, 10)
MEAN, DEVIATION = np.array([100.0, 120.0]), np.array([40.0, 30.0])
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (50, *SHAPE), dtype=np.uint8)


def augmented(augment, images=IMAGES, rows=None, seed=3, epoch=0, dtype=np.float64):
    rows = np.arange(len(images)) if rows is None else np.asarray(rows)
    statistics = [values.astype(dtype) for values in (MEAN, DEVIATION)]
    return engine.augment(augment.settings(), images, rows, rows, *statistics, seed, epoch)


def words(row, block=0, seed=3):
    """Return an image's sixty-four random words of epoch 0, in the order of their use."""
    pairs = engine.random_bits(seed ^ KEY, row, 32 * (block + 1))[32 * block :].reshape(16, 2)
    low, high = pairs & np.uint64(0xFFFFFFFF), pairs >> np.uint64(32)
    return np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1).reshape(-1)


def uniform(row, k):
    return float(words(row)[k]) * 2.0**-32


def symmetric(row, k):
    return 2 * uniform(row, k) - 1


def factor(most, v):
    return 1 + most * v if v >= 0 else 1 / (1 - most * v)


def shift(row, axis, most):
    return int(uniform(row, axis) * (2 * most + 1)) - most


def expected_move(image, row, augment):
    """Return an image moved as the header of kernels/ops/augment.h says."""
    _, height, width = image.shape
    down, right = (shift(row, axis, most) for axis, most in enumerate(augment.shift))
    settings = augment.settings()
    flips = [
        uniform(row, 2) < settings["flip_rows"],
        uniform(row, 3) < settings["flip_columns"],
    ]
    angle = 2 * math.pi * settings["rotation"] * symmetric(row, 4)
    zoom = factor(augment.zoom, symmetric(row, 5))
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    y = rows - (height - 1) / 2 - down
    x = columns - (width - 1) / 2 - right
    y, x = (
        math.cos(angle) * y + math.sin(angle) * x,
        -math.sin(angle) * y + math.cos(angle) * x,
    )
    places = []
    for axis, (place, size) in enumerate(((y, height), (x, width))):
        part = 1 - (1 - augment.crop) * uniform(row, 6 + axis)
        middle = (size - 1) / 2 + (1 - part) * size / 2 * symmetric(row, 8 + axis)
        scaled = (-part if flips[axis] else part) / zoom * place + middle
        places.append(np.clip(scaled, 0, size - 1))
    return interpolated(image, *places)


def interpolated(image, y, x):
    _, height, width = image.shape
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    values = image.astype(np.float64)
    upper = values[:, top, left] + (x - left) * (values[:, top, right] - values[:, top, left])
    lower = values[:, bottom, left] + (x - left) * (
        values[:, bottom, right] - values[:, bottom, left]
    )
    return upper + (y - top) * (lower - upper)


@pytest.mark.parametrize(
    "augment",
    [
        Augment(),
        Augment(shift=3),
        Augment(shift=(0, 12), flip="horizontal"),
        Augment(flip="both"),
        Augment(rotation=180),
        Augment(zoom=0.5, flip="vertical"),
        Augment(crop=0.4),
        Augment(shift=2, flip="both", rotation=20, zoom=0.2, crop=0.8),
    ],
    ids=repr,
)
def test_moves_are_those_of_the_formula(augment):
    found = augmented(augment)
    for row, image in enumerate(IMAGES):
        np.testing.assert_allclose(found[row], expected_move(image, row, augment), atol=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (4, 1), (2, 2)])
def test_smallest_images(size):
    images = RANDOM.integers(0, 256, (20, 2, *size), dtype=np.uint8)
    augment = Augment(shift=1, flip="both", rotation=30, zoom=0.3, crop=0.5)
    found = augmented(augment, images)
    for row, image in enumerate(images):
        np.testing.assert_allclose(found[row], expected_move(image, row, augment), atol=1e-9)
    full = Augment(elastic=2, brightness=0.5, contrast=0.5, noise=0.1, erase=0.5)
    assert np.isfinite(augmented(full, images)).all()


def test_brightness_and_contrast():
    found = augmented(Augment(brightness=0.5, contrast=0.7))
    mean, deviation = MEAN[:, None, None], DEVIATION[:, None, None]
    for row, image in enumerate(IMAGES):
        stronger = factor(0.7, symmetric(row, 11))
        brighter = 0.5 * symmetric(row, 10) * deviation
        np.testing.assert_allclose(found[row], (image - mean) * stronger + mean + brighter)


def test_noise_is_normal_and_its_numbers_independent():
    images = np.zeros((400, 2, 16, 16))
    found = augmented(Augment(noise=0.5), images) / (0.5 * DEVIATION[:, None, None])
    values = found.reshape(-1)
    n = len(values)
    assert abs(values.mean()) < 5 / math.sqrt(n)
    assert abs(values.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((values**4).mean() - 3) < 5 * math.sqrt(96 / n)
    beyond = np.mean(np.abs(values) > 3)
    assert abs(beyond - 0.0027) < 5 * math.sqrt(0.0027 / n)
    for apart in (1, 2, 4, 16, 64, 512):
        assert abs(np.mean(values[:-apart] * values[apart:])) < 5 / math.sqrt(n)


def test_erased_rectangles():
    images = np.full((400, 2, 20, 30), 7, dtype=np.uint8)
    found = augmented(Augment(erase=0.5), images)
    erased = found[:, 0] == MEAN[0]
    np.testing.assert_array_equal(erased, found[:, 1] == MEAN[1])
    assert (found[:, 0][~erased] == 7).all()
    happened = erased.any(axis=(1, 2))
    assert abs(happened.mean() - 0.5) < 5 * 0.5 / math.sqrt(400)
    for mask in erased[happened]:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask.sum() == len(rows) * len(columns)
        assert 2 <= len(rows) <= 8
        assert 3 <= len(columns) <= 12


def test_elastic_distortion_is_smooth_and_bounded():
    rows, columns = np.meshgrid(np.arange(40.0), np.arange(48.0), indexing="ij")
    # Images whose pixels are their own coordinates show where each was read from.
    images = np.stack([rows, columns])[np.newaxis].repeat(30, axis=0)
    places = augmented(Augment(elastic=3), images)
    moved = places - images
    inside = moved[:, :, 4:-4, 4:-4]
    assert np.abs(inside).max() <= 3
    assert inside.std() > 0.5
    assert np.abs(np.diff(inside, axis=2)).max() < 3 * 1.5 / 8
    assert np.abs(np.diff(inside, axis=3)).max() < 3 * 1.5 / 8


EVERYTHING = Augment(
    shift=2,
    flip="both",
    rotation=15,
    zoom=0.1,
    crop=0.9,
    elastic=1,
    brightness=0.2,
    contrast=0.2,
    noise=0.1,
    erase=0.5,
)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_seed_epoch_and_row_show(dtype):
    whole = augmented(EVERYTHING, dtype=dtype)
    some = np.array([7, 3, 49, 3])
    np.testing.assert_array_equal(augmented(EVERYTHING, rows=some, dtype=dtype), whole[some])
    before = cp.get_num_threads()
    try:
        for threads in (1, 3, 7):
            cp.set_num_threads(threads)
            np.testing.assert_array_equal(augmented(EVERYTHING, dtype=dtype), whole)
    finally:
        cp.set_num_threads(before)
    floats = IMAGES.astype(dtype)
    np.testing.assert_array_equal(augmented(EVERYTHING, floats, dtype=dtype), whole)
    for changed in ({"seed": 4}, {"epoch": 1}):
        other = augmented(EVERYTHING, dtype=dtype, **changed)
        assert (other != whole).any(axis=(1, 2, 3)).all()


def test_mixup_shares_have_the_beta_distribution():
    for parameter in (0.2, 1.0, 3.0):
        shares = np.array([mixup_share(parameter, 5, step) for step in range(2000)])
        variance = 1 / (4 * (2 * parameter + 1))
        assert abs(shares.mean() - 0.5) < 5 * math.sqrt(variance / 2000)
        assert abs(shares.var() - variance) < 0.15 * variance
        assert mixup_share(parameter, 5, 17) == shares[17]


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 30)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_most_that_is_taken(size, dtype):
    images = RANDOM.integers(0, 256, (20, 2, *size), dtype=np.uint8)
    most = {"zoom": 1000.0, "elastic": 1000.0, "contrast": 1000.0, "brightness": 1000.0}
    furthest = Augment(shift=2**31 - 1, rotation=180, crop=1e-300, noise=1000.0, **most)
    assert np.isfinite(augmented(furthest, images, dtype=dtype)).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shift": -1}, "shift must be an integer of at least 0, or two of them, got -1"),
        (
            {"shift": (1, 2, 3)},
            "shift must be an integer of at least 0, or two of them, got (1, 2, 3)",
        ),
        (
            {"flip": "sideways"},
            "flip must be one of none, horizontal, vertical, both, got 'sideways'",
        ),
        ({"rotation": 181}, "rotation must be a number with 0 <= value <= 180, got 181"),
        ({"crop": 0}, "crop must be a number with 0 < value <= 1, got 0"),
        ({"erase": 1.5}, "erase must be a number with 0 <= value <= 1, got 1.5"),
        ({"noise": math.nan}, "noise must be a number with 0 <= value <= 1000, got nan"),
        ({"mixup": 5.0}, "mixup must be 0, or a number with 0.01 <= value <= 4.0, got 5.0"),
    ],
)
def test_what_is_refused(given, message):
    with refuses(cp.InvalidInput, message):
        Augment(**given)
