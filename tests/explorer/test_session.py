"""The training behind the page is that of `train`, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

import convprop as cp
from convprop.data import Dataset
from convprop.explorer.session import BATCH_SIZE, Session
from convprop.optimizers import OptimizerState
from convprop.schedules import Constant
from convprop.training.batches import Data
from convprop.training.course import Course
from convprop.training.run import Run

COUNT = 2 * BATCH_SIZE + 6  # an epoch of three steps, the last one of fewer images


def digits(outputs: int = 3) -> tuple[cp.Network, Dataset]:
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (COUNT, 1, 8, 8)).astype(np.uint8)
    classes = max(outputs, 2)
    labels = random.integers(0, classes, COUNT).astype(np.int32)
    layers = [cp.Conv(4, 3), cp.ReLU(), cp.MaxPool(2), cp.Dropout(0.25), cp.Dense(outputs)]
    loss = cp.SoftmaxCrossEntropy() if outputs > 1 else cp.BinaryCrossEntropy()
    net = cp.Network(layers, (1, 8, 8), loss, seed=5)
    return net, Dataset(images, labels, list(map(str, range(classes))), "drawn")


@pytest.mark.parametrize("outputs", [3, 1])
def test_steps_on_the_page_are_those_of_train(outputs: int):
    net, data = digits(outputs)
    session = Session(net, data, cp.Adam(0.01))
    losses = [loss for _ in range(3) for loss in session.train(2, cp.Adam(0.01))]
    records: list[float] = []
    cp.train(
        net,
        data.images,
        data.labels,
        optimizer=cp.Adam(0.01),
        epochs=2,
        batch_size=BATCH_SIZE,
        on_batch=lambda record: records.append(record.loss),
    )
    assert losses == records
    assert session.net.weights_sha256() == net.weights_sha256()


def test_a_step_by_itself_is_that_of_train():
    net, data = digits()
    other, _ = digits()
    cp.train(net, data.images, data.labels, epochs=1, batch_size=BATCH_SIZE)
    other.normalisation = net.normalisation
    course = Course(cp.Adam(1e-3), Constant(), 1, BATCH_SIZE, other.seed)
    run = Run(other, course, Data(data.images, data.labels, labels=True), state=OptimizerState())
    records = [run.step(rows) for rows in run.batches.rows_of(1)]
    assert [record.step for record in records] == [1, 2, 3]
    assert [record.images for record in records] == [32, 32, 6]
    assert other.weights_sha256() == net.weights_sha256()
