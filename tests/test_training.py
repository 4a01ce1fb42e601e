"""Training: the curve of the equations, the same bits always, and every way it can end."""

import os
import subprocess
import sys

import numpy as np
import pytest

import convprop as cp
import reference
from convprop import schedules
from convprop.errors import InvalidInput, TrainingDiverged
from convprop.machine.native import engine
from convprop.training.batches import SHUFFLE_STREAM
from convprop.training.run import SNAPSHOT_STEPS
from refusal import refuses

IMAGES = 40


def small(dtype: str = "float64", loss: cp.SquaredError | None = None) -> cp.Network:
    layers = [
        cp.Conv(3, 3, padding=1),
        cp.Tanh(),
        cp.MaxPool(2),
        cp.Conv(4, 2),
        cp.ReLU(),
        cp.Dense(3),
    ]
    return cp.Network(layers, (1, 6, 6), loss or cp.SoftmaxCrossEntropy(), seed=2, dtype=dtype)


def blobs(count: int = IMAGES) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images whose class is the third of the rows that is bright."""
    random = np.random.default_rng(3)
    labels = np.arange(count) % 3
    images = random.integers(0, 100, (count, 1, 6, 6))
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * label : 2 * label + 2] += 120
    return images.astype(np.uint8), labels


@pytest.mark.parametrize(
    "loss", [cp.SoftmaxCrossEntropy(), cp.SquaredError(), cp.BinaryCrossEntropy("sum")], ids=repr
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-11), ("float32", 1e-4)])
def test_loss_curve_is_that_of_the_equations(loss, dtype, tolerance):
    images, labels = blobs()
    net = small(dtype, loss)
    parameters, targets = reference.values(net), reference.one_hot(labels, 3)
    losses: list[float] = []
    rate, size, seed = 0.1 if loss.reduction == "mean" else 0.01, 16, 8
    cp.train(
        net,
        images,
        labels,
        optimizer=cp.SGD(rate, momentum=0.5),
        schedule=schedules.Step(at=(0.5,), decay=0.5),
        epochs=3,
        batch_size=size,
        seed=seed,
        on_batch=lambda record: losses.append(record.loss),
    )

    lanes = reference.lanes(net, images)
    assert lanes.mean() == pytest.approx(0, abs=1e-12)
    assert lanes.std() == pytest.approx(1, rel=1e-12)
    velocity = {name: np.zeros_like(values) for name, values in parameters.items()}
    expected = []
    for step in range(9):
        epoch, batch = 1 + step // 3, step % 3
        order = np.argsort(engine.random_bits(seed, SHUFFLE_STREAM + epoch, IMAGES), kind="stable")
        rows = order[batch * size : (batch + 1) * size]
        outputs = reference.forward(net, parameters, lanes[rows])
        error = reference.loss(net, outputs[-1], targets[rows])
        expected.append(error / len(rows) if loss.reduction == "sum" else error)
        _, gradients = reference.backward(net, parameters, outputs, targets[rows])
        for name, gradient in gradients.items():
            velocity[name] = 0.5 * velocity[name] + gradient
            factor = 1.0 if step / 9 < 0.5 else 0.5
            parameters[name] = parameters[name] - rate * factor * velocity[name]

    np.testing.assert_allclose(losses, expected, rtol=tolerance)
    for name, values in parameters.items():
        np.testing.assert_allclose(net.parameters[name], values, rtol=0, atol=tolerance)


def with_dropout(dtype: str = "float32") -> cp.Network:
    layers = [cp.Conv(8, 3), cp.ReLU(), cp.Dropout(0.3), cp.MaxPool(2), cp.Dense(3)]
    return cp.Network(layers, (1, 6, 6), seed=1, dtype=dtype)


def trained(**options: object) -> cp.Network:
    net = with_dropout()
    images, labels = blobs(100)
    cp.train(net, images, labels, **{"epochs": 3, "batch_size": 48} | options)
    return net


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_bits_do_not_depend_on_threads(threads):
    expected, before = trained().weights_sha256(), cp.get_num_threads()
    try:
        cp.set_num_threads(threads)
        assert trained().weights_sha256() == expected
    finally:
        cp.set_num_threads(before)


def test_bits_do_not_depend_on_the_instruction_set():
    from convprop._cpu import supported_isas

    script = "import test_training; print(test_training.trained().weights_sha256())"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=os.path.dirname(__file__),
            env=os.environ | {"CONVPROP_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for isa in supported_isas()
        if isa != "x86_64_v2"  # it has no fused multiply-add: outside the promise
    }
    assert len(hashes) <= 1


def test_seed_decides_order_and_dropout():
    assert trained().weights_sha256() == trained(seed=1).weights_sha256()
    assert trained().weights_sha256() != trained(seed=2).weights_sha256()


def test_order_given_is_kept_without_shuffling():
    images, labels = blobs(20)
    one, other = small(), small()
    cp.train(one, images, labels, epochs=1, batch_size=8, shuffle=False, seed=1)
    cp.train(other, images, labels, epochs=1, batch_size=8, shuffle=False, seed=2)
    assert one.weights_sha256() == other.weights_sha256()


def test_learns_and_says_so():
    images, labels = blobs(150)
    net = with_dropout()
    epochs = []
    history = cp.train(
        net,
        images,
        labels,
        epochs=12,
        batch_size=32,
        validation=blobs(60),
        on_epoch=epochs.append,
    )
    assert epochs == history
    assert [record.epoch for record in history] == list(range(1, 13))
    assert history[-1].loss < history[0].loss
    assert history[-1].accuracy > 0.9
    assert history[-1].validation_accuracy > 0.9
    assert (history[-1].validation_loss, history[-1].validation_accuracy) == net.evaluate(
        *blobs(60)
    )
    assert history.steps == 12 * 5
    assert not history.interrupted
    assert net.training_settings == {
        "optimizer": {
            "kind": "adam",
            "learning_rate": 0.001,
            "rate_factors": None,
            "decay_factors": None,
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-08,
            "weight_decay": 0.0,
        },
        "schedule": {"kind": "constant", "warmup": 0.0},
        "epochs": 12,
        "batch_size": 32,
        "seed": 1,
        "shuffle": True,
        "augment": None,
        "stopping": None,
        "clip_norm": None,
        "average": None,
        "balanced": False,
        "lookahead": None,
    }


def test_batches_are_reported():
    images, labels = blobs(20)
    records = []
    cp.train(
        small(),
        images,
        labels,
        optimizer=cp.SGD(0.5),
        schedule=schedules.Step(at=(0.5,)),
        epochs=2,
        batch_size=8,
        on_batch=records.append,
    )
    assert [record.step for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.epoch for record in records] == [1, 1, 1, 2, 2, 2]
    assert [record.images for record in records] == [8, 8, 4, 8, 8, 4]
    assert {(record.total_steps, record.steps_per_epoch) for record in records} == {(6, 3)}
    assert [record.learning_rate for record in records] == [0.5, 0.5, 0.5, 0.05, 0.05, 0.05]
    assert all(0 <= record.correct <= record.images for record in records)


def test_epoch_is_the_mean_of_its_images():
    images, labels = blobs(20)
    batches = []
    weights = np.linspace(0.5, 2, 20)
    options = {"epochs": 1, "batch_size": 8, "shuffle": False, "sample_weight": weights}
    record = cp.train(small(), images, labels, **options, on_batch=batches.append)[0]
    parts = [weights[:8].sum(), weights[8:16].sum(), weights[16:].sum()]
    assert record.loss == pytest.approx(np.average([b.loss for b in batches], weights=parts))
    assert record.accuracy == sum(batch.correct for batch in batches) / 20


def test_fraction_is_held_out():
    images, labels = blobs(90)
    net = small()
    steps = []
    history = cp.train(
        net, images, labels, epochs=1, batch_size=10, validation=0.2, on_batch=steps.append
    )
    assert sum(record.images for record in steps) == 72
    assert history[0].validation_loss is not None
    # Normalised by what is trained on, not by what is held out.
    assert net.normalisation[0] != images.mean()


@pytest.mark.filterwarnings("ignore::convprop.RangeWarning")
def test_normalisation_is_left_alone():
    images, labels = blobs()
    net = small()
    cp.train(net, images, labels, epochs=1, normalise=False)
    assert net.normalisation is None
    net.normalisation = [10.0], [0.5]
    cp.train(net, images, labels, epochs=1)
    assert net.normalisation[0] == [10.0]


def test_images_in_any_layout_and_dtype_train_alike():
    images, labels = blobs()
    expected = small()
    cp.train(expected, images, labels, epochs=2)
    for same in (images[:, 0], images.transpose(0, 2, 3, 1), images.astype(float)):
        net = small()
        cp.train(net, same, labels, epochs=2)
        for name, values in net.parameters.items():
            np.testing.assert_allclose(values, expected.parameters[name], rtol=1e-9, atol=1e-12)


def test_weight_two_is_the_image_twice():
    images, labels = blobs(10)
    weights = np.where(np.arange(10) == 4, 2, 1)
    one, other = small(), small()
    options = {"epochs": 5, "batch_size": 64, "shuffle": False, "normalise": False}
    cp.train(one, images / 255, labels, sample_weight=weights, **options)
    rows = np.repeat(np.arange(10), weights)
    cp.train(other, images[rows] / 255, labels[rows], **options)
    for name, values in one.parameters.items():
        np.testing.assert_allclose(values, other.parameters[name], rtol=1e-9, atol=1e-12)


def test_weight_zero_takes_no_part():
    images, labels = blobs(30)
    weights = (np.arange(30) >= 10).astype(float)
    one, other = small(), small()
    options = {"epochs": 2, "batch_size": 8, "shuffle": False, "normalise": False}
    history = cp.train(one, images / 255, labels, sample_weight=weights, **options)
    cp.train(other, images[10:] / 255, labels[10:], **options)
    assert one.weights_sha256() == other.weights_sha256()
    assert history.steps == 6


def test_interruption_keeps_what_was_learned():
    images, labels = blobs(100)

    def stop(record):
        if record.step == 7:
            raise KeyboardInterrupt

    prefix = []
    whole, part = with_dropout(), with_dropout()
    options = {"epochs": 4, "batch_size": 32, "schedule": schedules.Cosine()}
    history = cp.train(part, images, labels, on_batch=stop, **options)
    assert history.interrupted
    assert history.steps == 7
    assert len(history) == 1

    def look(record):
        if record.step == 7:
            prefix.append(whole.weights_sha256())

    complete = cp.train(whole, images, labels, on_batch=look, **options)
    assert prefix == [part.weights_sha256()]
    assert history[0][:3] == complete[0][:3]


def test_divergence_names_the_step_and_restores_the_weights():
    images, labels = blobs(60)
    net = small("float32")
    before = {}
    records = []

    def spoil(record):
        records.append(record)
        if record.step == SNAPSHOT_STEPS:
            before.update({name: values.copy() for name, values in net.parameters.items()})
        if record.step == SNAPSHOT_STEPS + 4:
            net.parameters["dense1.bias"][0] = np.nan

    with refuses(
        TrainingDiverged,
        "the loss became nan at step 55 (epoch 3); the network's weights are again those of"
        " step 50; a learning rate below 0.01 may help",
    ):
        cp.train(
            net,
            images,
            labels,
            optimizer=cp.SGD(0.01),
            epochs=9,
            batch_size=3,
            on_batch=spoil,
        )
    assert len(records) == SNAPSHOT_STEPS + 4
    for name, values in net.parameters.items():
        assert np.array_equal(values, before[name])


def test_learning_rate_that_is_too_large():
    images, labels = blobs(60)
    net = small("float32", cp.SquaredError())
    first = net.weights_sha256()
    with pytest.raises(
        TrainingDiverged, match=r"at step \d+ \(epoch \d\); .* that it started with;"
    ):
        cp.train(net, images, labels, optimizer=cp.SGD(1e20), epochs=3, batch_size=20)
    assert net.weights_sha256() == first


def test_interruption_does_not_keep_weights_that_are_not_finite():
    images, labels = blobs(20)
    net = small("float32")
    first = net.weights_sha256()

    def spoil(record):
        net.parameters["conv1.weight"][0] = np.inf
        raise KeyboardInterrupt

    with refuses(
        TrainingDiverged,
        "a weight is not finite after step 1 (epoch 1); the network's weights are again those"
        " that it started with; a learning rate below 0.001 may help",
    ):
        cp.train(net, images, labels, epochs=1, batch_size=5, on_batch=spoil)
    assert net.weights_sha256() == first


def test_weight_that_overflows_in_the_last_step():
    images, labels = blobs(20)
    net = small("float32")
    first = net.weights_sha256()

    def spoil(record):
        net.parameters["conv1.weight"][0] = np.inf

    with refuses(
        TrainingDiverged,
        "a weight is not finite after step 1 (epoch 1); the network's weights are again those"
        " that it started with; a learning rate below 0.001 may help",
    ):
        cp.train(net, images, labels, epochs=1, batch_size=20, on_batch=spoil)
    assert net.weights_sha256() == first


def test_weights_that_fail_at_once_get_no_advice():
    images, labels = blobs(20)
    net = small()
    net.parameters["dense1.bias"][...] = np.nan
    with refuses(
        TrainingDiverged,
        "the loss became nan at step 1 (epoch 1); the network's weights are again those"
        " that it started with",
    ):
        cp.train(net, images, labels, epochs=1)


def test_float_targets_have_no_accuracy():
    images, labels = blobs(30)
    net = small(loss=cp.SquaredError())
    targets = reference.one_hot(labels, 3)
    history = cp.train(net, images, targets, epochs=2, validation=(images, targets))
    assert history[0].accuracy is None
    assert history[0].validation_accuracy is None
    by_label = small(loss=cp.SquaredError())
    cp.train(by_label, images, labels, epochs=2)
    assert net.weights_sha256() == by_label.weights_sha256()


def test_single_output_learns_yes_and_no():
    images, labels = blobs(60)
    net = cp.Network([cp.Conv(4, 3), cp.Tanh(), cp.Dense(1)], (1, 6, 6), cp.BinaryCrossEntropy())
    answers = (labels == 1).astype(int)
    cp.train(net, images, answers, epochs=60, batch_size=16, optimizer=cp.Adam(0.01))
    assert net.evaluate(images, answers).accuracy == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "lenet5"}, "network must be a Network, got 'lenet5'"),
        ({"optimizer": "adam"}, "optimizer must be one of convprop.optimizers, got 'adam'"),
        (
            {"schedule": 0.5},
            "schedule must be None or one of convprop.schedules, got 0.5",
        ),
        ({"epochs": 0}, "epochs must be a positive integer, got 0"),
        ({"epochs": 2.5}, "epochs must be a positive integer, got 2.5"),
        (
            {"batch_size": 2**62},
            "batch_size must be at most 2147483647, got 4611686018427387904",
        ),
        ({"batch_size": -3}, "batch_size must be a positive integer, got -3"),
        ({"seed": -1}, "seed must be an integer in 0..2**64 - 1, got -1"),
        ({"on_batch": 5}, "on_batch must be None or callable, got 5"),
        ({"on_epoch": "print"}, "on_epoch must be None or callable, got 'print'"),
        ({"shuffle": 1}, "shuffle must be True or False, got 1"),
        ({"normalise": None}, "normalise must be True or False, got None"),
        (
            {"validation": 1.5},
            "validation must be None, (images, labels) or a number above 0 and below 1, got 1.5",
        ),
        (
            {"images": np.zeros((0, 1, 6, 6))},
            "images must hold at least one image, got shape (0, 1, 6, 6)",
        ),
        (
            {"images": np.zeros((IMAGES, 1, 6, 7))},
            "images must have shape (N, 1, 6, 6), (N, 6, 6, 1) or (N, 6, 6),"
            " got shape (40, 1, 6, 7)",
        ),
        (
            {"images": np.full((IMAGES, 1, 6, 6), np.nan)},
            "images must be finite, got nan at (image, channel, row, column) (0, 0, 0, 0)",
        ),
        ({"labels": np.arange(IMAGES)}, "labels must lie in 0..2, got 3 at index 3"),
        ({"labels": [0, 1]}, "labels must hold one label for each of the 40 images, got 2"),
        (
            {"labels": np.ones(IMAGES, int)},
            "labels must name at least two classes, got only class 1",
        ),
        (
            {"validation": (np.zeros((2, 1, 6, 6)), [0, 5])},
            "validation labels must lie in 0..2, got 5 at index 1",
        ),
        (
            {"validation": (np.zeros((2, 1, 5, 6)), [0, 1])},
            "validation images must have shape (N, 1, 6, 6), (N, 6, 6, 1) or (N, 6, 6),"
            " got shape (2, 1, 5, 6)",
        ),
        (
            {"sample_weight": np.ones(3)},
            "sample_weight must have shape (40,), got shape (3,)",
        ),
    ],
)
def test_refuses_before_anything_is_done(options, message):
    images, labels = blobs()
    net = small()
    first = net.weights_sha256()
    given = {"network": net, "images": images, "labels": labels} | options
    with refuses(InvalidInput, message):
        cp.train(given.pop("network"), given.pop("images"), given.pop("labels"), **given)
    assert net.weights_sha256() == first
    assert net.normalisation is None
    assert net.training_settings is None
