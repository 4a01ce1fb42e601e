"""What training can do besides following the gradient, each against its own definition."""

import math
from itertools import pairwise

import numpy as np
import pytest

import convprop as cp
from convprop import schedules
from convprop.data.arrays import stratified_split
from convprop.data.normalise import normalisation
from convprop.errors import InvalidInput
from convprop.machine.native import engine
from convprop.optimizers import OptimizerState
from convprop.training.augmentation import mixup_share
from refusal import refuses
from test_training import blobs, small, with_dropout

EVERYTHING = {
    "optimizer": cp.AdamW(0.01),
    "schedule": schedules.OneCycle(),
    "batch_size": 16,
    "epochs": 4,
    "augment": cp.Augment(shift=1, flip="both", rotation=20, noise=0.1, erase=0.3, mixup=0.4),
    "clip_norm": 0.5,
    "average": 0.9,
}


def weights(net):
    return {name: values.copy() for name, values in net.parameters.items()}


# ---- Clipping ----


@pytest.mark.parametrize("clip", [1e-3, 0.05, 1e3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipped_gradients_have_at_most_the_norm(clip, dtype):
    images, labels = blobs()
    net = small(dtype)
    net.normalisation = normalisation(images)
    before, gradients = weights(net), net.gradients(images, labels)
    norm = math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients.values()))
    cp.train(net, images, labels, optimizer=cp.SGD(0.5), epochs=1, batch_size=40, clip_norm=clip)
    scale = 0.5 * min(1.0, clip / norm)
    for name, values in net.parameters.items():
        moved = before[name] - values
        tolerance = (
            {"rtol": 1e-3, "atol": 2e-7} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-15}
        )
        np.testing.assert_allclose(moved, scale * gradients[name], **tolerance)


# ---- The same bits, whatever the threads ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_everything_at_once_has_the_same_bits_for_any_number_of_threads(dtype):
    images, labels = blobs(100)
    hashes, before = set(), cp.get_num_threads()
    try:
        for threads in (1, 2, 3, 7):
            cp.set_num_threads(threads)
            net = small(dtype)
            cp.train(net, images, labels, validation=0.2, **EVERYTHING)
            hashes.add(net.weights_sha256())
    finally:
        cp.set_num_threads(before)
    assert len(hashes) == 1


# ---- Averaging ----


def test_the_average_is_measured_and_kept():
    images, labels = blobs()
    taken = []
    net = small()
    start = weights(net)
    history = cp.train(
        net,
        images,
        labels,
        epochs=5,
        batch_size=8,
        average=0.8,
        validation=(images, labels),
        on_batch=lambda _: taken.append(weights(net)),
    )
    for name, values in net.parameters.items():
        mean = start[name]
        for number, step in enumerate(taken, start=1):
            decay = min(0.8, number / (number + 9))
            mean = decay * mean + (1 - decay) * step[name]
        np.testing.assert_allclose(values, mean, rtol=1e-12, atol=1e-15)
        assert not np.allclose(values, taken[-1][name], rtol=1e-3)
    assert history[-1].validation_loss == net.evaluate(images, labels).loss


def test_the_hook_of_an_epoch_finds_the_weights_that_were_measured():
    images, labels = blobs()
    net = small()
    losses = []
    history = cp.train(
        net,
        images,
        labels,
        epochs=3,
        average=0.99,
        validation=(images, labels),
        on_epoch=lambda _: losses.append(net.evaluate(images, labels).loss),
    )
    assert losses == [record.validation_loss for record in history]


# ---- Early stopping ----


def test_early_stopping_keeps_the_best_weights():
    images, labels = blobs()
    wrong = (labels + 1) % 3  # The better the training, the worse this gets.
    net = small()
    history = cp.train(
        net,
        images,
        labels,
        epochs=50,
        validation=(images, wrong),
        stopping=cp.EarlyStopping(patience=3),
    )
    losses = [record.validation_loss for record in history]
    assert history.stopped
    assert not history.interrupted
    assert len(history) == history.best_epoch + 3 < 50
    assert min(losses) == losses[history.best_epoch - 1]
    assert net.evaluate(images, wrong).loss == min(losses)


def test_early_stopping_waits_for_more_than_the_tolerance():
    images, labels = blobs()
    options = {"epochs": 30, "optimizer": cp.SGD(1e-3)}
    losses = [record.loss for record in cp.train(small(), images, labels, **options)]
    gains = [before - after for before, after in pairwise(losses)]
    assert min(gains) > 0
    stopping = cp.EarlyStopping(2, tolerance=10.0, measure="loss")
    history = cp.train(small(), images, labels, stopping=stopping, **options)
    # The first epoch is better than nothing; then two are waited for.
    assert len(history) == 3
    assert history.best_epoch == 3
    stopping = cp.EarlyStopping(2, measure="loss", keep_best=False)
    history = cp.train(small(), images, labels, stopping=stopping, **options)
    assert len(history) == 30
    assert history.best_epoch is None
    assert not history.stopped


def test_a_hook_stops_by_returning_true():
    images, labels = blobs()
    history = cp.train(small(), images, labels, batch_size=8, on_batch=lambda b: b.step == 7)
    assert (history.steps, history.stopped, history.interrupted) == (7, True, False)
    history = cp.train(small(), images, labels, on_epoch=lambda e: e.epoch == 2)
    assert (len(history), history.stopped) == (2, True)
    history = cp.train(small(), images, labels, on_epoch=lambda e: np.bool_(e.epoch == 2))
    assert (len(history), history.stopped) == (2, True)
    history = cp.train(small(), images, labels, on_batch=lambda b: b.step)
    assert not history.stopped


# ---- Classes that are rare ----


def uneven() -> tuple[np.ndarray, np.ndarray]:
    images, labels = blobs(90)
    chosen = np.concatenate([np.flatnonzero(labels == k)[:n] for k, n in enumerate((30, 10, 3))])
    return images[chosen], labels[chosen]


def test_class_weights_are_sample_weights():
    images, labels = uneven()
    counts = np.bincount(labels)
    hashes = set()
    for options in (
        {"class_weight": "balanced"},
        {"class_weight": dict(enumerate(len(labels) / (3 * counts)))},
        {"sample_weight": (len(labels) / (3 * counts))[labels]},
    ):
        net = small()
        net.normalisation = normalisation(images)
        cp.train(net, images, labels, epochs=2, **options)
        hashes.add(net.weights_sha256())
    assert len(hashes) == 1


def test_balanced_batches_take_every_class_equally_often():
    images, labels = uneven()
    net = small()
    net.normalisation = normalisation(images)
    one_by_one, seen = small(), []
    one_by_one.normalisation = net.normalisation
    options = {"epochs": 2, "optimizer": cp.SGD(0.01)}
    cp.train(
        net,
        images,
        labels,
        batch_size=1,
        balanced_batches=True,
        on_batch=lambda record: seen.append(record.loss),
        **options,
    )
    # Each class in turn; and the mean loss shows which image it was.
    assert len(seen) == 2 * len(labels)
    fresh = small()
    fresh.normalisation = net.normalisation
    losses, _ = engine.loss(
        fresh.forward(images), labels.astype(np.int32), "softmax_cross_entropy", None
    )
    first = int(np.argmin(np.abs(losses - seen[0])))
    assert losses[first] == pytest.approx(seen[0], rel=1e-12)
    assert labels[first] == 0
    from convprop.training.batches import _balanced

    order = np.random.default_rng(0).permutation(len(labels))
    rows = _balanced(order, labels)
    assert len(rows) == len(labels)
    assert labels[rows].tolist() == [0, 1, 2] * (len(labels) // 3) + [0][: len(labels) % 3]
    for label in range(3):
        members = order[labels[order] == label]
        own = rows[labels[rows] == label]
        assert own.tolist() == np.resize(members, len(own)).tolist()


# ---- Augmentation ----


def one_step(images, targets, **options):
    net = small()
    net.normalisation = normalisation(blobs()[0])
    cp.train(
        net, images, targets, epochs=1, batch_size=len(images), shuffle=False, seed=9, **options
    )
    return net.weights_sha256()


def changed(augment, images, epoch=1):
    rows = np.arange(len(images))
    mean, scale = normalisation(blobs()[0])
    return engine.augment(augment.settings(), images, rows, rows, mean, 1 / scale, 9, epoch)


def test_training_sees_the_augmented_images():
    images, labels = blobs()
    augment = cp.Augment(shift=1, rotation=10, noise=0.2)
    assert one_step(images, labels, augment=augment) == one_step(changed(augment, images), labels)
    assert one_step(images, labels, augment=augment) != one_step(images, labels)


def test_mixup_averages_images_and_targets():
    images, labels = blobs()
    share = mixup_share(0.7, 9, 1)
    mixed = share * images + (1 - share) * images[::-1]
    targets = np.eye(3)[labels]
    targets = share * targets + (1 - share) * targets[::-1]
    found = []
    history = cp.train(
        net := small(),
        images,
        labels,
        epochs=1,
        batch_size=40,
        shuffle=False,
        seed=9,
        augment=cp.Augment(mixup=0.7),
        on_batch=found.append,
    )
    assert net.weights_sha256() == one_step(mixed, targets)
    # An image that is two has no right answer to count.
    assert found[0].correct == -1
    assert history[0].accuracy is None


# ---- One training after another ----


@pytest.mark.parametrize("optimizer", [cp.SGD(0.05, momentum=0.9), cp.Adam(0.01)], ids=repr)
def test_trainings_with_one_state_are_one_training(optimizer):
    images, labels = blobs(60)
    options = {"optimizer": optimizer, "batch_size": 16, "seed": 5}
    augment = cp.Augment(shift=1, mixup=0.5)
    whole, parts, forgetful = with_dropout(), with_dropout(), with_dropout()
    cp.train(whole, images, labels, epochs=3, augment=augment, **options)
    state = OptimizerState()
    for _ in range(3):
        cp.train(parts, images, labels, epochs=1, augment=augment, state=state, **options)
        cp.train(forgetful, images, labels, epochs=1, augment=augment, **options)
    assert parts.weights_sha256() == whole.weights_sha256() != forgetful.weights_sha256()
    assert (state.steps, state.epochs) == (12, 3)


def test_a_state_of_something_else_is_refused():
    images, labels = blobs()
    state = OptimizerState()
    cp.train(small(), images, labels, epochs=1, state=state)
    with refuses(InvalidInput, "state must be of sgd, got adam"):
        cp.train(small(), images, labels, optimizer=cp.SGD(0.1), state=state)
    with refuses(InvalidInput, "state must be of this network, got arrays of other shapes"):
        cp.train(small("float32"), images, labels, state=state)


# ---- Label smoothing ----


def test_label_smoothing_keeps_the_outputs_apart_by_less():
    images, labels = blobs()
    spreads = []
    for smoothing in (0.0, 0.3):
        net = small(loss=cp.SoftmaxCrossEntropy(label_smoothing=smoothing))
        cp.train(net, images, labels, epochs=60, optimizer=cp.Adam(0.02))
        assert net.evaluate(images, labels).accuracy == 1
        spreads.append(net.predict(images).max(axis=1).mean())
    # What makes the smoothed loss smallest is 1 - s + s / K.
    assert spreads[1] == pytest.approx(0.8, abs=0.03)
    assert spreads[0] > 0.97


# ---- What is refused ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": "shift"}, "augment must be None or Augment(...), got 'shift'"),
        ({"stopping": 3}, "stopping must be None or EarlyStopping(...), got 3"),
        (
            {"stopping": cp.EarlyStopping()},
            "validation must be given for EarlyStopping(), got None",
        ),
        ({"clip_norm": 0}, "clip_norm must be a positive number, got 0"),
        ({"average": 1.0}, "average must be a number above 0 and below 1, got 1.0"),
        (
            {"class_weight": "even"},
            "class_weight must be None, 'balanced' or a mapping, got 'even'",
        ),
        ({"class_weight": {1.0: 2.0}}, "class_weight must name classes of the labels, got 1.0"),
        ({"class_weight": {7: 2.0}}, "class_weight must name classes of the labels, got 7"),
        ({"class_weight": {0: -1.0}}, "class_weight must be a positive number, got -1.0"),
        ({"balanced_batches": 1}, "balanced_batches must be True or False, got 1"),
        ({"resume": True}, "checkpoints must be given to resume, got None"),
    ],
)
def test_what_is_refused(options, message):
    images, labels = blobs()
    net = small()
    before = net.weights_sha256()
    with refuses(InvalidInput, message):
        cp.train(net, images, labels, **options)
    assert net.weights_sha256() == before
    assert net.normalisation is None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            {"class_weight": "balanced"},
            "class_weight must be None where targets are no labels, got 'balanced'",
        ),
        (
            {"balanced_batches": True},
            "balanced_batches must be False where targets are no labels, got True",
        ),
    ],
)
def test_targets_that_are_no_labels_have_no_classes(option, message):
    images, labels = blobs()
    with refuses(InvalidInput, message):
        cp.train(small(), images, np.eye(3)[labels], **option)


def test_stopping_refuses():
    with refuses(InvalidInput, "patience must be a positive integer, got 0"):
        cp.EarlyStopping(0)
    with refuses(
        InvalidInput,
        "measure must be one of validation_loss, validation_accuracy, loss, got 'accuracy'",
    ):
        cp.EarlyStopping(measure="accuracy")


def test_held_out_images_are_not_augmented_nor_weighed_by_class():
    images, labels = blobs(90)
    rows, held = stratified_split(labels, 0.2, 2)
    options = {"epochs": 2, "augment": cp.Augment(noise=1.0), "class_weight": {0: 3.0}}
    net = small()
    history = cp.train(net, images, labels, validation=0.2, **options)
    assert history[-1].validation_loss == net.evaluate(images[held], labels[held]).loss
    assert len(rows) == 72


# ---- Looking ahead ----


@pytest.mark.parametrize("lookahead", [cp.Lookahead(), cp.Lookahead(3, 0.8), cp.Lookahead(2, 1)])
def test_slow_weights_follow_every_few_steps(lookahead):
    images, labels = blobs(80)
    options = {"optimizer": cp.SGD(0.1), "epochs": 4, "batch_size": 16}
    net, measured = small(), []
    slow = weights(net)

    def on_epoch(_):
        measured.append(weights(net))

    net.normalisation = normalisation(images)
    # Without the step back, the steps from one such place to the next are those of SGD alone.
    follower = small()
    follower.normalisation = net.normalisation
    history = cp.train(net, images, labels, lookahead=lookahead, on_epoch=on_epoch, **options)

    def steps_of_sgd(record):
        if record.step % lookahead.steps == 0:
            share = lookahead.share
            for name, values in follower.parameters.items():
                slow[name] += share * (values - slow[name])
                values[...] = slow[name]

    cp.train(follower, images, labels, on_batch=steps_of_sgd, **options)
    for name, values in net.parameters.items():
        np.testing.assert_array_equal(values, slow[name])
    assert history.steps == 20
    # The hook of an epoch finds the weights that it is of: the slow ones.
    for name, values in measured[-1].items():
        np.testing.assert_array_equal(values, slow[name])


def test_a_training_that_looks_ahead_goes_on_from_any_step(tmp_path):
    images, labels = blobs(80)
    options = EVERYTHING | {"lookahead": cp.Lookahead(3), "average": None}

    def trained(**more):
        net = with_dropout()
        cp.train(net, images, labels, **options | more)
        return net.weights_sha256()

    whole = trained()
    for step in (2, 3, 4, 7):
        checkpoints = cp.Checkpoints(tmp_path / str(step))

        def on_batch(record, step=step):
            if record.step == step:
                raise KeyboardInterrupt

        trained(checkpoints=checkpoints, on_batch=on_batch)
        assert trained(checkpoints=checkpoints, resume=True) == whole
    with pytest.raises(InvalidInput, match="which had lookahead=Lookahead"):
        trained(checkpoints=checkpoints, resume=True, lookahead=cp.Lookahead(4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cp.Lookahead(0), "steps must be a positive integer, got 0"),
        (
            lambda: cp.Lookahead(5, 1.5),
            "share must be a number above 0 and at most 1, got 1.5",
        ),
        (lambda: cp.Lookahead(share=0), "share must be a number above 0 and at most 1, got 0"),
    ],
)
def test_looking_ahead_refuses(make, message):
    with refuses(InvalidInput, message):
        make()
