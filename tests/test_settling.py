"""Early stopping and schedules: one waits for what the other still has to bring."""

import math

import numpy as np
import pytest

import convprop as cp
from convprop import schedules
from convprop.errors import InvalidInput
from convprop.schedules import Constant, Cosine, Exponential, OneCycle, Step, Trapezoid
from convprop.training.checkpoint import Checkpoints
from convprop.training.records import EpochRecord
from convprop.training.stopping import Watch
from test_training import blobs, small, with_dropout


def test_the_trapezoid_rises_stays_and_falls():
    shape = Trapezoid(initial=0.1, final=0.01, rise=0.25, fall=0.5)
    factors = [shape.factor(step, 101) for step in range(1, 102)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[12] < factors[13] < 1.0
    assert factors[25:51] == [1.0] * 26
    assert factors[51:] == sorted(factors[51:], reverse=True)
    assert factors[75] == pytest.approx((1 + 0.01) / 2)
    assert factors[-1] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rise": 0.0}, "rise must be a number above 0 and below 1, got 0.0"),
        ({"fall": 1.0}, "fall must be a number above 0 and below 1, got 1.0"),
        ({"rise": 0.5, "fall": 0.75}, "fall must be at most 1 less the rise, 0.5, got 0.75"),
    ],
)
def test_a_trapezoid_that_is_none_is_refused(settings, message):
    with pytest.raises(InvalidInput) as caught:
        Trapezoid(**settings)
    assert str(caught.value) == message


# ---- When a training can end ----


@pytest.mark.parametrize(
    ("schedule", "settled"),
    [
        (Constant(), 1),
        (Step(), 501),
        (Step((0.25,), 0.5), 251),
        # The factor is 0.1 and some above the last one at the step before.
        (Exponential(0.01), 481),
        (Cosine(), 796),
        (OneCycle(), 857),
    ],
    ids=repr,
)
def test_a_rate_that_is_to_change_is_waited_for(schedule, settled):
    first = next(n for n in range(1, 1001) if schedule.fewest_steps(n, 1000) == n)
    assert first == pytest.approx(settled, abs=3)
    assert all(schedule.fewest_steps(n, 1000) == 1000 for n in range(1, first))
    last = schedule.factor(1000, 1000)
    assert all(schedule.factor(n, 1000) - last <= 0.1 + 1e-12 for n in range(first, 1001))


@pytest.mark.parametrize("shape", [Trapezoid(), Trapezoid(rise=0.01, fall=0.9)], ids=repr)
@pytest.mark.parametrize("total", [10, 37, 1000])
def test_a_trapezoids_fall_begins_where_it_is_asked_for(shape, total):
    for step in range(1, total + 1):
        fewest = shape.fewest_steps(step, total)
        assert step <= fewest <= total
        if step < fewest < total:
            # What has been done is as under the schedule of the shorter training.
            assert shape.factor(step, total) == shape.factor(step, fewest) == 1.0
            assert shape.factor(fewest, fewest) == pytest.approx(shape.final)
            assert (fewest - step) / fewest <= shape.fall + 1 / fewest


@pytest.mark.parametrize("schedule", [OneCycle(), Cosine(), Step((0.8,)), Exponential()], ids=repr)
def test_nothing_ends_while_the_rate_is_high(schedule):
    images, labels = blobs()
    wrong = (labels + 1) % 3  # The better the training, the worse this gets.
    history = cp.train(
        small(),
        images,
        labels,
        epochs=30,
        schedule=schedule,
        validation=(images, wrong),
        stopping=cp.EarlyStopping(2),
    )
    settled = next(n for n in range(1, 31) if schedule.fewest_steps(n, 30) == n)
    assert settled > 10
    assert settled <= history.best_epoch
    assert len(history) == min(history.best_epoch + 2, 30)
    assert history.stopped == (len(history) < 30)


def test_a_trapezoids_rate_comes_down_before_the_end():
    images, labels = blobs()
    wrong = (labels + 1) % 3
    seen = []
    history = cp.train(
        small(),
        images,
        labels,
        epochs=60,
        batch_size=16,
        schedule=Trapezoid(),
        validation=(images, wrong),
        stopping=cp.EarlyStopping(3),
        on_batch=lambda batch: seen.append(batch.total_steps),
    )
    rates = [record.learning_rate for record in history]
    losses = [record.validation_loss for record in history]
    rising, held = 6, rates.count(1e-3)
    assert rates == sorted(rates[:rising]) + [1e-3] * held + sorted(rates[rising + held :])[::-1]
    # The best epoch at the full rate is three before its last.
    assert losses[rising : rising + held].index(min(losses[rising : rising + held])) == held - 4
    assert seen[0] == 60 * 3
    assert seen[-1] == 3 * len(history)
    assert history.ends_with == len(history) == math.ceil((rising + held) / 0.6)
    assert rates[-1] == pytest.approx(1e-7)
    assert history.stopped
    assert history.best_epoch > rising + held


def fell(records):
    rates = [record.learning_rate for record in records]
    return 1e-3 in rates and rates[-1] < 1e-3


@pytest.mark.parametrize("enough", [lambda records: len(records) == 3, fell], ids=["rise", "fall"])
def test_a_training_that_is_ended_before_epochs_are_compared_keeps_its_last_weights(enough):
    images, labels = blobs()
    held_out = images, (labels + 1) % 3
    seen, weights = [], []
    net = small()

    def on_epoch(record):
        seen.append(record)
        weights.append(net.weights_sha256())
        return enough(seen)

    history = cp.train(
        net,
        images,
        labels,
        epochs=60,
        batch_size=16,
        schedule=Trapezoid(),
        validation=held_out,
        stopping=cp.EarlyStopping(3),
        on_epoch=on_epoch,
    )
    assert (history.stopped, history.best_epoch) == (True, None)
    assert net.weights_sha256() == weights[-1] != weights[-2]


def test_of_equal_accuracies_the_one_with_the_smaller_loss_is_kept():
    rule, watch = cp.EarlyStopping(9, 0.0, "validation_accuracy"), Watch()
    measured = [(0.5, 1.0), (0.9, 0.8), (0.9, 0.6), (0.9, 0.7), (0.9, 0.596), (0.9, 0.592)]
    waited = []
    for epoch, (accuracy, loss) in enumerate(measured, 1):
        record = EpochRecord(epoch, 2.0, None, loss, accuracy, 0.0, 0.1, 0.0)
        watch.see(rule, record, epoch, 20)
        waited.append(watch.waited)
    assert watch.best_epoch == 6
    # A loss that creeps is waited for no longer than one that stays.
    assert waited == [0, 0, 0, 1, 2, 3]


def test_a_loss_that_falls_within_the_tolerance_is_not_waited_for():
    rule, watch = cp.EarlyStopping(9, 0.5), Watch()
    for epoch, loss in enumerate([1.0, 0.9, 0.8], 1):
        watch.see(rule, EpochRecord(epoch, 2.0, None, loss, 0.9, 0.0, 0.1, 0.0), epoch, 20)
    assert (watch.best_epoch, watch.waited) == (3, 2)


# ---- Going on ----


@pytest.mark.parametrize("stop", [4, 14, 20, 26, 35])
def test_a_training_goes_on_wherever_the_rate_is(stop, tmp_path):
    images, labels = blobs()
    options = {
        "validation": (images, (labels + 1) % 3),
        "stopping": cp.EarlyStopping(2),
        "schedule": Trapezoid(),
        "epochs": 40,
        "batch_size": 16,
    }
    net, again = with_dropout(), with_dropout()
    history = cp.train(net, images, labels, **options)
    assert stop < history.steps
    options["checkpoints"] = Checkpoints(tmp_path / "net")

    def interrupt(batch):
        if batch.step == stop:
            raise KeyboardInterrupt

    assert cp.train(again, images, labels, on_batch=interrupt, **options).interrupted
    resumed = cp.train(again, images, labels, resume=True, **options)
    assert [record[:5] for record in resumed] == [record[:5] for record in history]
    assert (resumed.ends_with, resumed.stopped) == (history.ends_with, True)
    assert again.weights_sha256() == net.weights_sha256()


# ---- Estimators ----


@pytest.mark.parametrize("estimator", [cp.ConvNetClassifier, cp.ConvNetRegressor])
def test_estimators_that_stop_early_have_the_schedule_for_it(estimator):
    plain, early = estimator("digits"), estimator("digits", early_stopping=True)
    assert plain._schedule() == OneCycle()
    assert early._schedule() == Trapezoid()
    early.set_params(schedule=Cosine())
    assert early._schedule() == Cosine()
    assert estimator(early_stopping=True, schedule=Constant())._schedule() == Constant()


def test_the_best_score_is_that_of_the_weights():
    random = np.random.default_rng(0)
    images = random.random((60, 6, 6)).astype(np.float32)
    y = images.mean(axis=(1, 2)) + 0.01 * random.standard_normal(60)
    layers = [cp.Conv(4, 3), cp.ReLU(), cp.Dense(1)]
    fitted = cp.ConvNetRegressor(
        layers, epochs=40, early_stopping=True, validation_fraction=0.3, random_state=1
    ).fit(images, y)
    assert fitted.best_validation_score_ in fitted.validation_scores_
    rows = cp.data.arrays.stratified_split(np.zeros(60), 0.3, 1)[1]
    assert fitted.score(images[rows], y[rows]) == pytest.approx(
        fitted.best_validation_score_, abs=1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize("network", ["digits", "auto"])
def test_150_digits_are_learned_as_well_with_early_stopping(network):
    digits = cp.data.load("digits")
    X, y = digits.train.images[:150], digits.train.labels[:150]
    scores = {}
    for early in (False, True):
        scores[early] = [
            cp.ConvNetClassifier(network, early_stopping=early, random_state=seed)
            .fit(X, y)
            .score(digits.test.images, digits.test.labels)
            for seed in range(4)
        ]
    assert np.mean(scores[True]) > np.mean(scores[False]) - 0.04
    assert min(scores[True]) > 0.7


def test_schedules_are_described_with_the_others():
    assert schedules.SCHEDULES["trapezoid"] is Trapezoid
