"""convprop, through the surface that its users have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import convprop as cp
from job import Job

_OPTIMIZERS = {"sgd": cp.SGD, "adam": cp.Adam}


class Competitor:
    """The network of the job in a file, trained by convprop.train."""

    def __init__(self, threads: int, job: str) -> None:
        cp.set_num_threads(threads)
        self.job = Job.load(Path(job))
        layers = cp.preset(self.job.preset, self.job.input_shape, self.job.classes).layers
        if not self.job.has_dropout:
            layers = tuple(layer for layer in layers if not isinstance(layer, cp.Dropout))
        self.net = cp.Network(layers, self.job.input_shape)

    def run(self, steps: int, after: Callable[[float], None]) -> None:
        """Train from the job's weights; call `after` with each step's loss."""
        for name, value in zip(self.net.parameters, self.job.parameters, strict=True):
            self.net.parameters[name] = value
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
