"""What a training will take, said before it starts: time by trying a few steps, and memory."""

from __future__ import annotations

import copy
import math
import statistics
import time
from typing import Any, NamedTuple

import numpy as np

from convprop.about.memory import training_memory
from convprop.data import Dataset
from convprop.data.stream import prefetched_bytes
from convprop.errors import TrainingDiverged
from convprop.machine.memory import peak_memory
from convprop.network import PREDICT_BATCH, Network
from convprop.training import BatchRecord, EpochRecord, History
from convprop.training import train as train_network
from convprop.training.symptoms import unremarked

MOST_SECONDS, FEWEST_SECONDS = 0.3, 0.06
SHARE = 0.02
"""How much of the training's own time trying takes, within these bounds."""
FEWEST_STEPS = 10
"""But so many steps, where they fit into the most seconds."""
WARM_STEPS = 3
"""Threads wake up and caches fill in the first steps; they do not count."""


class Estimate(NamedTuple):
    """What to expect; seconds are None where the trial's loss failed."""

    epoch_seconds: float | None
    """Of one epoch, with the measuring of what is held out."""
    peak_bytes: int
    """The largest resident size of this process."""


def estimate(network: Network, images: Dataset, settings: dict[str, Any]) -> Estimate:
    """Return what training ``network`` with ``train(..., **settings)`` will take.

    A copy of the network goes through the first steps, with everything that belongs to them;
    the network itself stays as it is.
    """
    computed = _peak_bytes(network, images, settings)
    trial = _Trial(settings["epochs"])
    clone = copy.deepcopy(network)
    without = {"stopping": None, "epochs": max(settings["epochs"], FEWEST_STEPS + WARM_STEPS)}
    hooks = {name: getattr(trial, name) for name in ("on_start", "on_batch", "on_epoch")}
    try:
        with unremarked():
            history = train_network(
                clone, images.images, images.labels, **(settings | without | hooks)
            )
    except TrainingDiverged:
        return Estimate(None, max(computed, peak_memory()))
    if history.interrupted:
        raise KeyboardInterrupt
    held_out = round(len(images) * (settings["validation"] or 0.0))
    steps = max(1.0, (len(images) - held_out) / settings["batch_size"])
    seconds = steps * trial.step_seconds + _measuring_seconds(clone, images, held_out)
    # What the copy has taken already, the network will take too.
    return Estimate(seconds, max(computed, peak_memory()))


class _Trial:
    """The hooks that time some steps and then end the training."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.times: list[float] = []
        self.started = self.before = 0.0
        self.full = 0

    @property
    def step_seconds(self) -> float:
        """The mean of a full step, which other processes lengthen as they will the training.

        The slowest twentieth is left out: a single stall would count for far too much.
        """
        counted = sorted(self.times[WARM_STEPS:] or self.times)
        return statistics.fmean(counted[: len(counted) - len(counted) // 20])

    def on_start(self, _: History) -> None:
        self.started = self.before = time.perf_counter()

    def on_batch(self, batch: BatchRecord) -> bool:
        now = time.perf_counter()
        self.full = self.full or batch.images
        if batch.images == self.full:
            self.times.append(now - self.before)
        self.before = now
        spent = now - self.started
        if len(self.times) < FEWEST_STEPS + WARM_STEPS:
            return spent >= MOST_SECONDS and len(self.times) > 1
        total = self.epochs * batch.steps_per_epoch
        seconds = SHARE * total * self.step_seconds
        return spent >= min(MOST_SECONDS, max(FEWEST_SECONDS, seconds))

    def on_epoch(self, _: EpochRecord) -> None:
        self.before = time.perf_counter()


def _measuring_seconds(network: Network, images: Dataset, count: int) -> float:
    """Return how long it takes to measure ``count`` images."""
    if count == 0:
        return 0.0
    some = min(count, PREDICT_BATCH)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        network.evaluate(images.images[:some], images.labels[:some])
        seconds.append(time.perf_counter() - started)
    return min(seconds) * count / some


def _peak_bytes(network: Network, images: Dataset, settings: dict[str, Any]) -> int:
    """Return the peak of memory; the images are in it already, or are read batch by batch."""
    at_once = settings["micro_batch"] or settings["batch_size"]
    memory = training_memory(
        network,
        settings["optimizer"],
        settings["batch_size"],
        len(images),
        settings["micro_batch"],
    )
    loaded = len(images) * math.prod(network.input_shape)
    weights = sum(array.nbytes for array in network.parameters.values())
    copies = sum(settings[name] is not None for name in ("stopping", "average", "lookahead"))
    augmented = 0
    if settings["augment"] is not None:
        batch = min(at_once, len(images))
        augmented = batch * math.prod(network.input_shape) * network.dtype.itemsize
    predicting = network.plan_bytes("predict")
    reading = 0
    if not isinstance(images.images, np.ndarray):
        batches = at_once, network.predict_batch()
        reading = max(prefetched_bytes(images.images, size) for size in batches)
    return sum(memory) - loaded + weights * copies + augmented + predicting + reading
