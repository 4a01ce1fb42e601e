"""What chance gives an image goes by its place, not by which other images are computed with it.

So a batch may be split into parts, each of which a process of its own computes: an image's place
in the epoch, its dropout mask, whether a branch is left out for it, its augmentation, and its
partner and share of a mixup stay what they are in the whole batch, to the bit. An epoch's order and
an augmentation are asked for part by part here, a mixup pair by pair. The engine counts the places
of dropout and of stochastic depth from the beginning of what it is given, so what they drop is
compared with random words that the test draws for one place at a time.
"""

from __future__ import annotations

import numpy as np
import pytest

import convprop as cp
from convprop import ops
from convprop.machine.native import engine
from convprop.training.augmentation import mixup_share
from convprop.training.batches import Batches, Data, order_of
from convprop.training.course import Course

SEED, STEP, EPOCH = 12345678901234567890, 5, 3
CHANGES = cp.Augment(
    shift=2, flip="both", rotation=20, zoom=0.2, crop=0.8, elastic=1.5, brightness=0.2,
    contrast=0.2, noise=0.1, erase=0.5,
)  # fmt: skip
PARTS = [[slice(None)], [slice(0, 16), slice(16, None)], [slice(n, n + 5) for n in range(0, 37, 5)]]
BATCH = 37


def philox(counter: list[int], key: int) -> list[int]:
    """Philox4x32-10 of Salmon, Moraes, Dror and Shaw, 2011, for one counter."""
    words, keys = counter, [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * words[0], 0xCD9E8D57 * words[2]
        words = [
            (b >> 32) ^ words[1] ^ keys[0], b & 0xFFFFFFFF,
            (a >> 32) ^ words[3] ^ keys[1], a & 0xFFFFFFFF,
        ]  # fmt: skip
        keys = [(keys[0] + 0x9E3779B9) & 0xFFFFFFFF, (keys[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return words


def kept(place: int, units: int, rate: float, layer: int = 0) -> np.ndarray:
    """Return which units of the image in a place of the whole batch dropout keeps."""
    key = SEED ^ int.from_bytes(b"dropout!", "big")
    words = [philox([unit, place, STEP, layer << 16], key) for unit in range(-(-units // 4))]
    return np.ravel(words)[:units] >= int(rate * 2**32)


def left_in(places: int, rate: float, layer: int = 0) -> np.ndarray:
    """Return which images of the whole batch stochastic depth keeps."""
    key = SEED ^ int.from_bytes(b"droppath", "big")
    words = [philox([0, place, STEP, layer << 16], key)[0] for place in range(places)]
    return np.array(words) >= int(rate * 2**32)


def batches(augment: cp.Augment | None = None, labels: bool = True, **changed) -> Batches:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 2, 7, 6), np.uint8)
    net = cp.Network([cp.Flatten(), cp.Dense(4)], images.shape[1:], cp.SquaredError())
    targets = random.integers(4, size=60)
    weights = random.uniform(0.5, 2, 60)
    settings = {
        "optimizer": cp.SGD(0.1), "schedule": None, "epochs": 4, "batch_size": BATCH, "seed": SEED,
        "shuffle": True, "augment": augment, "stopping": None, "clip_norm": None, "average": None,
        "balanced": False,
    }  # fmt: skip
    return Batches(Data(images, targets, labels, weights), Course(**settings | changed), net)


@pytest.mark.parametrize("count", [1, 16, 60, 1000])
def test_an_images_place_in_an_epoch_follows_from_its_own_words_and_theirs(count):
    """A row's words are those of its number in the stream, whatever else of the stream is drawn."""
    stream = (0x53485546 << 32) + EPOCH
    words = []
    for row in range(count):
        a, b, c, d = philox([row // 2, 0, stream & 0xFFFFFFFF, stream >> 32], SEED)
        words.append(c | d << 32 if row % 2 else a | b << 32)
    assert engine.random_bits(SEED, stream, count).tolist() == words
    assert order_of(SEED, EPOCH, count).tolist() == sorted(range(count), key=words.__getitem__)


def test_every_process_finds_the_same_batches():
    """The rows of a batch need no image: who computes a part of it takes its rows of the whole."""
    assert all(map(np.array_equal, batches().rows_of(EPOCH), batches().rows_of(EPOCH)))
    rows = batches().rows_of(EPOCH)[0]
    for part in PARTS:
        assert np.array_equal(np.concatenate([rows[some] for some in part]), rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("part", PARTS, ids=len)
def test_an_augmentation_is_that_of_the_row(dtype, part):
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 2, 7, 6), np.uint8)
    mean, deviation = np.array([100, 120], dtype), np.array([60, 50], dtype)
    rows = order_of(SEED, EPOCH, BATCH)

    def augmented(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        places = np.arange(len(images))
        how = CHANGES.settings()
        return engine.augment(how, images, places, rows, mean, deviation, SEED, EPOCH)

    whole = augmented(images, rows)
    parts = [augmented(images[some], rows[some]) for some in part]
    assert np.array_equal(np.concatenate(parts), whole)
    for n in (0, 15, 16, 36):
        others = np.zeros_like(images)
        others[n] = images[n]
        assert np.array_equal(augmented(others, rows)[n], whole[n])
    # The row counts, and the test would see it.
    assert not np.array_equal(augmented(images[16:], np.arange(BATCH - 16)), whole[16:])


@pytest.mark.parametrize("augment", [cp.Augment(mixup=0.4), CHANGES], ids=["alone", "augmented"])
def test_a_mixups_partner_and_share_are_those_of_the_place_in_the_whole_batch(augment):
    """An image's partner is in the mirrored place: the two alone give what the whole batch does."""
    settings = {name: getattr(augment, name) for name in augment.to_dict() if name != "kind"}
    all_of = batches(cp.Augment(**settings | {"mixup": 0.4}))
    rows = all_of.rows_of(EPOCH)[0]
    images = all_of.data.images
    whole = all_of.batch(images, rows, rows, EPOCH, STEP)
    for place in range(BATCH):
        pair = np.array([rows[place], rows[BATCH - 1 - place]])
        alone = all_of.batch(images, pair, pair, EPOCH, STEP)
        for mixed, of_whole in ((alone.images, whole.images), (alone.targets, whole.targets)):
            assert np.array_equal(mixed[0], of_whole[place])
        assert alone.weights[0] == whole.weights[place]


def test_a_mixups_share_is_that_of_the_step():
    share = mixup_share(0.4, SEED, STEP)
    assert share == mixup_share(0.4, SEED, STEP)
    assert len({mixup_share(0.4, SEED, step) for step in range(20)}) == 20
    blended = batches(cp.Augment(mixup=0.4))
    rows = blended.rows_of(EPOCH)[0]
    whole = blended.batch(blended.data.images, rows, rows, EPOCH, STEP)
    one, other = np.float32(share), np.float32(1 - share)
    images = blended.data.images
    assert np.array_equal(whole.images, one * images[rows] + other * images[rows[::-1]])


@pytest.mark.parametrize("rate", [0.25, 0.5])
@pytest.mark.parametrize("shape", [(1, 5), (BATCH, 3), (BATCH, 2, 3, 3)], ids=str)
def test_a_dropout_mask_is_that_of_the_place(shape, rate):
    o = np.random.default_rng(0).standard_normal(shape)
    dropped = ops.dropout.forward(o, rate, seed=SEED, step=STEP, layer=2)
    for place in range(shape[0]):
        mask = kept(place, o[0].size, rate, layer=2).reshape(shape[1:])
        assert np.array_equal(dropped[place] != 0, mask)
    assert len({kept(place, 64, rate).tobytes() for place in range(BATCH)}) == BATCH


@pytest.mark.parametrize("count", [1, 5, 8, 16, BATCH])
def test_a_step_drops_by_the_place_in_its_batch(count):
    """One image at a time weighs something: the gradient is of its units, those that are kept."""
    net = cp.Network([cp.Dropout(0.5), cp.Dense(3)], (2, 3, 3), cp.SquaredError("sum"), seed=1)
    random = np.random.default_rng(count)
    for place in {0, count // 2, count - 1}:
        images = random.uniform(1, 2, (count, 2, 3, 3)).astype(np.float32)
        weights = np.zeros(count)
        weights[place] = 1.0
        found = [np.empty_like(value) for value in net.parameters.values()]
        net.plan("train", count).gradients(
            images, None, np.ones((count, 3), np.float32), weights, *net.lane_normalisation(),
            STEP, SEED, found,
        )  # fmt: skip
        for gradient in found[0]:
            assert np.array_equal(gradient != 0, kept(place, 18, 0.5))


@pytest.mark.parametrize("rate", [0.25, 0.5])
@pytest.mark.parametrize("shape", [(1, 5), (BATCH, 3), (BATCH, 2, 3, 3)], ids=str)
def test_what_stochastic_depth_leaves_out_is_that_of_the_place(shape, rate):
    o = np.random.default_rng(0).uniform(1, 2, shape)
    dropped = ops.stochastic_depth.forward(o, rate, seed=SEED, step=STEP, layer=2)
    kept_images = left_in(shape[0], rate, layer=2)
    assert np.array_equal(dropped != 0, np.broadcast_to(kept_images, shape[::-1]).T)


@pytest.mark.parametrize("layers", [[], [cp.Conv(2, 1), cp.Flatten()]], ids=["rows", "maps"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [1, 5, 8, 16, BATCH])
def test_a_step_leaves_out_a_branch_by_the_place_in_its_batch(count, threads, layers):
    """One image at a time weighs something: where its branch is left out, that learns nothing."""
    branch = cp.Residual(cp.Conv(2, 1, name="branch"), drop=0.5)
    net = cp.Network([branch, *layers, cp.Dense(3)], (2, 3, 3), cp.SquaredError("sum"), seed=1)
    place_of = next(n for n, name in enumerate(net.names) if name == "stochastic_depth1")
    kept_images = left_in(count, 0.5, place_of)
    random, before = np.random.default_rng(count), cp.get_num_threads()
    cp.set_num_threads(threads)
    for place in range(count):
        images = random.uniform(1, 2, (count, 2, 3, 3)).astype(np.float32)
        weights = np.zeros(count)
        weights[place] = 1.0
        found = [np.empty_like(value) for value in net.parameters.values()]
        net.plan("train", count).gradients(
            images, None, np.ones((count, 3), np.float32), weights, *net.lane_normalisation(),
            STEP, SEED, found,
        )  # fmt: skip
        of_branch = found[list(net.parameters).index("branch.weight")]
        assert (of_branch != 0).all() if kept_images[place] else (of_branch == 0).all()
    cp.set_num_threads(before)
