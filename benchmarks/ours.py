"""convprop, through the surface that its users have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import convprop as cp
from job import Job

_OPTIMIZERS = {"sgd": cp.SGD, "adam": cp.Adam}


class Trainer:
    """The network of the job in a file, trained by convprop.train."""

    def __init__(self, threads: int, job: str) -> None:
        cp.set_num_threads(threads)
        self.job = Job.load(Path(job))
        self.net = _network(self.job)
        self.most_steps = len(self.job.batches())

    def run(self, steps: int, after: Callable[[float], None]) -> None:
        """Train from the job's weights; call `after` with each step's loss."""
        _set_parameters(self.net, self.job)
        settings = dict(self.job.optimizer)
        optimizer = _OPTIMIZERS[settings.pop("kind")](**settings)
        images = steps * self.job.batch
        cp.train(
            self.net,
            self.job.images[:images],
            self.job.labels[:images],
            optimizer=optimizer,
            epochs=1,
            batch_size=self.job.batch,
            shuffle=False,
            normalise=False,
            on_batch=lambda record: after(record.loss),
        )


class Predictor:
    """The network of the job in a file, asked for the probabilities of one batch."""

    most_steps = sys.maxsize

    def __init__(self, threads: int, job: str) -> None:
        cp.set_num_threads(threads)
        given = Job.load(Path(job))
        self.net = _network(given)
        _set_parameters(self.net, given)
        self.images = given.images

    def output(self) -> np.ndarray:
        """Return the probabilities."""
        return self.net.predict(self.images)

    def run(self, steps: int, after: Callable[[float], None]) -> None:
        """Predict so many times; there is no loss to tell `after`."""
        for _ in range(steps):
            self.net.predict(self.images)
            after(0.0)


def _network(job: Job) -> cp.Network:
    layers = cp.preset(job.preset, job.input_shape, job.classes).layers
    if not job.has_dropout:
        layers = tuple(layer for layer in layers if not isinstance(layer, cp.Dropout))
    return cp.Network(layers, job.input_shape)


def _set_parameters(net: cp.Network, job: Job) -> None:
    for name, value in zip(net.parameters, job.parameters, strict=True):
        net.parameters[name] = value
