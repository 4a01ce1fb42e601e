"""Training: epochs of shuffled batches, with the same bits however and wherever it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convprop._native import engine
from convprop.data.arrays import normalisation, stratified_split
from convprop.described import Described, flag, number, seed_number
from convprop.errors import TrainingDiverged, invalid
from convprop.geometry import positive_integer
from convprop.network import Network
from convprop.ops.loss import as_weights
from convprop.optimizers import Adam, Optimizer
from convprop.schedules import Constant, Schedule

Array = NDArray[Any]
Indices = NDArray[np.int64]

SHUFFLE_STREAM = 0x53485546 << 32
"""The engine's random stream that orders epoch 0; epoch e has the e-th after it."""

SNAPSHOT_STEPS = 50
"""How many steps lie between two copies of the weights, which a failing loss goes back to."""


class BatchRecord(NamedTuple):
    """One step, as ``on_batch`` gets it."""

    step: int
    """From 1 to total_steps, over all epochs."""
    total_steps: int
    steps_per_epoch: int
    epoch: int
    """From 1."""
    images: int
    """How many images the batch has."""
    loss: float
    """The mean loss of an image of the batch, before the step's update."""
    correct: int
    """How many of them the network got right, or -1 where targets are no labels."""
    learning_rate: float


class EpochRecord(NamedTuple):
    """One epoch. Losses are means over images; what was not measured is None."""

    epoch: int
    """From 1."""
    loss: float
    """Measured on each batch before its update, as is the accuracy."""
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    """Of the training alone, without the validation."""
    learning_rate: float
    """At the epoch's last step."""


class History(list[EpochRecord]):
    """The records of the finished epochs."""

    interrupted: bool = False
    """Whether a KeyboardInterrupt ended the training early."""
    steps: int = 0
    """How many steps were taken, those of an unfinished epoch included."""


@dataclass
class _Set:
    """Checked arrays, and which of their rows are meant (None: all)."""

    images: Array
    targets: Array
    labels: bool
    weights: NDArray[np.float64] | None = None
    rows: Indices | None = None


def train(
    network: Network,
    images: ArrayLike,
    labels: ArrayLike,
    *,
    optimizer: Optimizer = Adam(1e-3),
    schedule: Schedule | None = None,
    epochs: int = 5,
    batch_size: int = 64,
    seed: int | None = None,
    validation: float | tuple[ArrayLike, ArrayLike] | None = None,
    shuffle: bool = True,
    sample_weight: ArrayLike | None = None,
    normalise: bool = True,
    on_batch: Callable[[BatchRecord], object] | None = None,
    on_epoch: Callable[[EpochRecord], object] | None = None,
) -> History:
    """Train a network, in place.

    Everything given is checked before anything is changed. The weights depend on the network,
    the data and the arguments alone, and not on threads, machine or an interruption after
    the step.

    Parameters
    ----------
    network : Network
    images : array_like
        (N, C, H, W), (N, H, W, C) or (N, H, W); uint8 stays uint8.
    labels : array_like
        (N,) integers in 0..K-1, or (N, K) floats.
    optimizer : Optimizer
    schedule : Schedule, optional
        Its factor multiplies the optimizer's learning rate at each step.
    epochs, batch_size : int
        The last batch of an epoch has what is left.
    seed : int, optional
        Of the shuffling, the held-out part and dropout; None: the network's.
    validation : float or (images, labels), optional
        What is measured after each epoch; a float holds out that fraction of every class.
    shuffle : bool
        A new order each epoch; False: the order given.
    sample_weight : array_like, optional
        (N,) numbers of at least 0. An image of weight 0 takes no part.
    normalise : bool
        If the network has no normalisation yet, give it the training images' channel means
        and standard deviations.
    on_batch, on_epoch : callable, optional
        Called after each step with a BatchRecord, after each epoch with an EpochRecord.

    Returns
    -------
    History
        A KeyboardInterrupt, in a hook or from the keyboard, ends the training with
        ``interrupted`` set and what was learned kept.

    Raises
    ------
    InvalidInput
        Before anything is done.
    TrainingDiverged
        The loss or a weight is NaN or infinite. The network holds its last good weights.
    """
    if not isinstance(network, Network):
        raise invalid("network", "be a Network", repr(network))
    if not isinstance(optimizer, Optimizer):
        raise invalid("optimizer", "be one of convprop.optimizers", repr(optimizer))
    schedule = Constant() if schedule is None else schedule
    if not isinstance(schedule, Schedule):
        raise invalid("schedule", "be None or one of convprop.schedules", repr(schedule))
    course = _Course(
        optimizer,
        schedule,
        positive_integer("epochs", epochs),
        positive_integer("batch_size", batch_size),
        network.seed if seed is None else seed_number(seed),
        flag("shuffle", shuffle),
    )
    flag("normalise", normalise)
    for parameter, hook in (("on_batch", on_batch), ("on_epoch", on_epoch)):
        if hook is not None and not callable(hook):
            raise invalid(parameter, "be None or callable", repr(hook))
    training, held_out = _sets(network, images, labels, validation, sample_weight, course.seed)
    if normalise and network.normalisation is None:
        rows = slice(None) if training.rows is None else training.rows
        network.normalisation = normalisation(training.images[rows])
    network.training_settings = course.settings()
    return _Run(network, course, training, held_out, on_batch, on_epoch).start()


def _sets(
    network: Network,
    images: ArrayLike,
    labels: ArrayLike,
    validation: float | tuple[ArrayLike, ArrayLike] | None,
    sample_weight: ArrayLike | None,
    seed: int,
) -> tuple[_Set, _Set | None]:
    """Return the checked training set and what is held out of it or given for validation."""
    checked = network.as_images(images)
    count = len(checked)
    named = np.asarray(labels).ndim == 1
    targets = network.as_targets(labels, count, "labels", training=True)
    weights = as_weights(sample_weight, count)
    training = _Set(checked, targets, named, weights)
    held_out = None
    if isinstance(validation, tuple) and len(validation) == 2:
        others = network.as_images(validation[0], "validation images")
        named = np.asarray(validation[1]).ndim == 1
        wanted = network.as_targets(validation[1], len(others), "validation labels")
        held_out = _Set(others, wanted, named)
    elif validation is not None:
        rule = "be None, (images, labels) or a number above 0 and below 1"
        fraction = number("validation", validation, rule, math.ulp(0.0), 1.0)
        classes = targets if targets.ndim == 1 else np.zeros(count, dtype=np.int32)
        training.rows, rows = stratified_split(classes, fraction, seed)
        held_out = _Set(checked, targets, named, weights, rows)
    if weights is not None:
        for part, which in ((training, "trained on"), (held_out, "held out")):
            if part is not None and part.weights is not None:
                rows = np.arange(count) if part.rows is None else part.rows
                part.rows = rows[weights[rows] > 0]
                if len(part.rows) == 0:
                    rule = f"be above 0 for some image {which}"
                    raise invalid("sample_weight", rule, "0 for all")
    return training, held_out


@dataclass(frozen=True)
class _Course:
    """The settings of a training that a model file keeps."""

    optimizer: Optimizer
    schedule: Schedule
    epochs: int
    batch_size: int
    seed: int
    shuffle: bool

    def settings(self) -> dict[str, Any]:
        return {
            name: value.to_dict() if isinstance(value, Described) else value
            for name, value in self.__dict__.items()
        }


class _Weights:
    """A copy of the weights that is known to have given a finite loss."""

    def __init__(self, network: Network) -> None:
        self.live = list(network.parameters.values())
        self._kept = [array.copy() for array in self.live]
        self._next = [np.empty_like(array) for array in self.live]
        self.step = 0
        """How many steps the copy had taken."""

    def copy(self) -> None:
        """Copy the weights before a step; ``confirm`` follows if its loss is finite."""
        for array, live in zip(self._next, self.live, strict=True):
            np.copyto(array, live)

    def confirm(self, step: int) -> None:
        """Take the copy made last, after ``step`` steps, as the one to go back to."""
        self._kept, self._next = self._next, self._kept
        self.step = step

    def finite(self) -> bool:
        """Whether every live weight is a finite number."""
        return all(np.isfinite(array).all() for array in self.live)

    def restore(self) -> None:
        """Put the copy back in the network."""
        for live, array in zip(self.live, self._kept, strict=True):
            np.copyto(live, array)


class _Run:
    """One training: what it works on, and where it has come to."""

    def __init__(
        self,
        network: Network,
        course: _Course,
        training: _Set,
        held_out: _Set | None,
        on_batch: Callable[[BatchRecord], object] | None,
        on_epoch: Callable[[EpochRecord], object] | None,
    ) -> None:
        self.network, self.course = network, course
        self.training, self.held_out = training, held_out
        self.on_batch, self.on_epoch = on_batch, on_epoch
        rows = training.rows
        self.rows = np.arange(len(training.images)) if rows is None else rows
        self.steps_per_epoch = -(-len(self.rows) // course.batch_size)
        self.total_steps = course.epochs * self.steps_per_epoch
        self.history = History()
        self.weights = _Weights(network)
        self.normalisation = network.lane_normalisation()
        self.plan = network.plan("train", min(course.batch_size, len(self.rows)))
        optimizer = course.optimizer
        state = [
            np.zeros_like(array) for array in self.weights.live for _ in range(optimizer.slots)
        ]
        self.plan.bind_optimizer(optimizer.kind, optimizer.settings(), state)

    def start(self) -> History:
        """Go through the epochs, or as far as there is no KeyboardInterrupt."""
        try:
            for epoch in range(1, self.course.epochs + 1):
                record = self._epoch(epoch)
                self.history.append(record)
                if self.on_epoch is not None:
                    self.on_epoch(record)
        except KeyboardInterrupt:
            self.history.interrupted = True
            if not self.weights.finite():
                self._diverged("a weight is not finite after", self.history.steps, epoch)
        return self.history

    def _epoch(self, epoch: int) -> EpochRecord:
        order = self._order(epoch)
        started = time.perf_counter()
        loss_sum = weight_sum = correct = 0.0
        for start in range(0, len(order), self.course.batch_size):
            batch = order[start : start + self.course.batch_size]
            record = self._step(batch, epoch)
            weight = self._weight(batch)
            loss_sum += record.loss * weight
            weight_sum += weight
            correct += record.correct
            if self.on_batch is not None:
                self.on_batch(record)
        if not self.weights.finite():
            self._diverged("a weight is not finite after", self.history.steps, epoch)
        seconds = time.perf_counter() - started
        accuracy = correct / len(order) if self.training.labels else None
        validated = self._validate()
        return EpochRecord(
            epoch, loss_sum / weight_sum, accuracy, *validated, seconds, record.learning_rate
        )

    def _order(self, epoch: int) -> Indices:
        """Return the epoch's rows, by the order of random bits; equal ones as they were."""
        if not self.course.shuffle:
            return self.rows
        bits = engine.random_bits(self.course.seed, SHUFFLE_STREAM + epoch, len(self.rows))
        return self.rows[np.argsort(bits, kind="stable")]

    def _weight(self, batch: Indices) -> float:
        weights = self.training.weights
        return float(len(batch)) if weights is None else float(weights[batch].sum())

    def _step(self, batch: Indices, epoch: int) -> BatchRecord:
        done = self.history.steps
        factor = self.course.schedule.factor(done + 1, self.total_steps)
        rate = self.course.optimizer.learning_rate * factor
        snapshot = done % SNAPSHOT_STEPS == 0
        if snapshot:
            self.weights.copy()
        loss, correct = self.plan.train_step(
            self.training.images,
            batch,
            self.training.targets,
            self.training.weights,
            *self.normalisation,
            rate,
            done + 1,
            self.course.seed,
        )
        if not math.isfinite(loss):
            self._diverged(f"the loss became {loss} at", done + 1, epoch)
        self.history.steps = done + 1
        if snapshot:
            self.weights.confirm(done)
        if self.network.loss.reduction == "sum":
            loss /= self._weight(batch)
        return BatchRecord(
            done + 1,
            self.total_steps,
            self.steps_per_epoch,
            epoch,
            len(batch),
            loss,
            correct,
            rate,
        )

    def _diverged(self, what: str, step: int, epoch: int) -> NoReturn:
        """Put the last good weights back and say so."""
        self.weights.restore()
        step_kept = self.weights.step
        kept = f"those of step {step_kept}" if step_kept else "those that it started with"
        # At the first step the learning rate has had no effect yet.
        rate = self.course.optimizer.learning_rate
        advice = f"; a learning rate below {rate:g} may help" if self.history.steps else ""
        error = TrainingDiverged(
            f"{what} step {step} (epoch {epoch}); the network's weights are again {kept}{advice}"
        )
        error.step = step_kept
        raise error

    def _validate(self) -> tuple[float | None, float | None]:
        """Return loss and accuracy of what is held out, None and None where nothing is."""
        if self.held_out is None:
            return None, None
        part = self.held_out
        return self.network.measure(part.images, part.targets, part.weights, part.rows, part.labels)
