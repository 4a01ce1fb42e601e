"""One training under way: its steps and epochs, and its state, which a checkpoint holds."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from convprop._native import engine
from convprop.augmentation import Augment, mixup_share
from convprop.checkpoint import CheckpointError, Checkpoints, read
from convprop.data.stream import ImageStream, prefetched
from convprop.described import Described
from convprop.errors import TrainingDiverged, invalid
from convprop.network import Network
from convprop.optimizers import Optimizer
from convprop.schedules import Schedule
from convprop.stopping import EarlyStopping, Watch

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
    waited: float
    """Of the seconds, those in which the next batch had not been read yet."""


class History(list[EpochRecord]):
    """The records of the finished epochs."""

    interrupted: bool = False
    """Whether a KeyboardInterrupt ended the training early."""
    stopped: bool = False
    """Whether early stopping, or a hook, ended it early."""
    steps: int = 0
    """How many steps were taken, those of an unfinished epoch included."""
    resumed: int = 0
    """How many of them had been taken before, by the training that this one went on from."""
    best_epoch: int | None = None
    """The epoch whose weights the network has, where early stopping keeps the best."""
    resumed_from: Path | None = None
    """The checkpoint that this training went on from."""
    damaged: tuple[str, ...] = ()
    """What was wrong with newer checkpoints, which it passed over."""


@dataclass
class Data:
    """Checked images and targets, and which of their rows are meant (None: all)."""

    images: Array | ImageStream
    targets: Array
    labels: bool
    weights: NDArray[np.float64] | None = None
    rows: Indices | None = None

    def fingerprint(self) -> str:
        """Return a hash of shape, targets, weights, rows and some sixty of the images."""
        count = len(self.targets)
        sample = np.unique(np.linspace(0, count - 1, min(count, 64)).astype(np.int64))
        digest = hashlib.sha256(f"{self.images.shape} {self.images.dtype}".encode())
        for part in (self.images[sample], self.targets, self.weights, self.rows):
            digest.update(b"none" if part is None else np.ascontiguousarray(part).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Course:
    """The settings of a training that a model file keeps."""

    optimizer: Optimizer
    schedule: Schedule
    epochs: int
    batch_size: int
    seed: int
    shuffle: bool
    augment: Augment | None
    stopping: EarlyStopping | None
    clip_norm: float | None
    average: float | None
    balanced: bool

    def settings(self) -> dict[str, Any]:
        """Return them ready for JSON."""
        return {
            name: value.to_dict() if isinstance(value, Described) else value
            for name, value in self.__dict__.items()
        }


class Copies:
    """Arrays of the parameters' shapes, beside the live ones."""

    def __init__(self, live: list[Array]) -> None:
        self.live = live
        self.arrays = [array.copy() for array in live]

    def take(self) -> None:
        """Copy the live arrays."""
        for array, live in zip(self.arrays, self.live, strict=True):
            np.copyto(array, live)

    def put(self) -> None:
        """Copy into the live arrays."""
        for live, array in zip(self.live, self.arrays, strict=True):
            np.copyto(live, array)


@dataclass
class Position:
    """How far a training has come."""

    epoch: int = 1
    """The one under way."""
    batch: int = 0
    """How many of its batches are done."""
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    correct: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    kept_step: int = 0
    """Steps that the weights to go back to had taken."""
    averaged: int = 0
    """Steps that the average has seen."""


class _Stop(Exception):
    """A hook returned True."""


@dataclass
class Hooks:
    """What is called between two steps and two epochs."""

    on_batch: Callable[[BatchRecord], object] | None = None
    on_epoch: Callable[[EpochRecord], object] | None = None
    on_start: Callable[[History], object] | None = None


@dataclass
class Run:
    """One training: what it works on, and where it has come to."""

    network: Network
    course: Course
    training: Data
    held_out: Data | None
    hooks: Hooks
    checkpoints: Checkpoints | None
    history: History = field(default_factory=History)
    at: Position = field(default_factory=Position)
    watch: Watch = field(default_factory=Watch)

    def __post_init__(self) -> None:
        network, course = self.network, self.course
        rows = self.training.rows
        self.rows = np.arange(len(self.training.targets)) if rows is None else rows
        self.steps_per_epoch = -(-len(self.rows) // course.batch_size)
        self.total_steps = course.epochs * self.steps_per_epoch
        self.live = list(network.parameters.values())
        self.kept, self.next_kept = Copies(self.live), Copies(self.live)
        stopping = course.stopping
        self.best = Copies(self.live) if stopping is not None and stopping.keep_best else None
        self.average = None if course.average is None else Copies(self.live)
        self.normalisation = network.lane_normalisation()
        self.plan = network.plan("train", min(course.batch_size, len(self.rows)))
        optimizer = course.optimizer
        self.state = [np.zeros_like(array) for array in self.live for _ in range(optimizer.slots)]
        self.plan.bind_optimizer(optimizer.kind, optimizer.settings(), self.state)
        self.checkpointed = time.perf_counter()

    def start(self) -> History:
        """Go through the epochs, or as far as nothing ends them."""
        if self.hooks.on_start is not None:
            self.hooks.on_start(self.history)
        try:
            while self.at.epoch <= self.course.epochs and not self.history.stopped:
                self._epoch()
        except _Stop:
            self.history.stopped = True
        except KeyboardInterrupt:
            self.history.interrupted = True
            if not self._finite():
                self._diverged("a weight is not finite after", self.history.steps)
            if self.checkpoints is not None:
                self.checkpoint()
            return self.history
        self._finish()
        return self.history

    def _finish(self) -> None:
        """Give the network the weights that were asked for."""
        if self.best is not None and self.watch.best_epoch:
            self.best.put()
            self.history.best_epoch = self.watch.best_epoch
        elif self.average is not None and self.at.averaged:
            self.average.put()

    # ---- An epoch ----

    def _epoch(self) -> None:
        at, batch_size = self.at, self.course.batch_size
        order = self._order(at.epoch)
        batches = [order[n : n + batch_size] for n in range(0, len(order), batch_size)]
        with closing(self._pixels(batches[at.batch :])) as pixels:
            for batch in batches[at.batch :]:
                started = time.perf_counter()
                images, index = next(pixels)
                at.waited += time.perf_counter() - started
                record = self._step(images, index, batch)
                weight = self._weight(batch)
                at.loss_sum += record.loss * weight
                at.weight_sum += weight
                at.correct += record.correct
                at.batch += 1
                at.seconds += time.perf_counter() - started
                self._hook(self.hooks.on_batch, record)
                self._checkpoint_if_due()
        if not self._finite():
            self._diverged("a weight is not finite after", self.history.steps)
        self._end_epoch(len(order))

    def _end_epoch(self, images: int) -> None:
        at, stopping = self.at, self.course.stopping
        mixed = self.course.augment is not None and self.course.augment.mixup > 0
        accuracy = at.correct / images if self.training.labels and not mixed else None
        with self._averaged():
            validated = self._validate()
            loss, rate = at.loss_sum / at.weight_sum, self._rate(self.history.steps)
            record = EpochRecord(at.epoch, loss, accuracy, *validated, at.seconds, rate, at.waited)
            self.history.append(record)
            if stopping is not None:
                best = self.watch.see(stopping, stopping.cost(record), at.epoch)
                if best and self.best is not None:
                    self.best.take()
                self.history.stopped = self.watch.waited >= stopping.patience
        self.at = Position(at.epoch + 1, kept_step=at.kept_step, averaged=at.averaged)
        self._hook(self.hooks.on_epoch, record)
        every = None if self.checkpoints is None else self.checkpoints.epochs
        if every is not None and at.epoch % every == 0:
            self.checkpoint()

    def _hook(self, hook: Callable[[Any], object] | None, record: object) -> None:
        if hook is not None and hook(record) is True:
            raise _Stop

    def _order(self, epoch: int) -> Indices:
        """Return the epoch's rows, by the order of random bits; equal ones as they were."""
        if not self.course.shuffle:
            return self.rows
        bits = engine.random_bits(self.course.seed, SHUFFLE_STREAM + epoch, len(self.rows))
        shuffled = self.rows[np.argsort(bits, kind="stable")]
        return _balanced(shuffled, self.training.targets) if self.course.balanced else shuffled

    def _weight(self, batch: Indices) -> float:
        weights = self.training.weights
        return float(len(batch)) if weights is None else float(weights[batch].sum())

    def _pixels(
        self, batches: list[Indices]
    ) -> Generator[tuple[Array, Indices | None], None, None]:
        """Yield, for each batch, an array and which rows of it are the batch's."""
        images = self.training.images
        if isinstance(images, np.ndarray):
            for batch in batches:
                yield images, batch
        else:
            for pixels in prefetched(images, batches):
                yield pixels, None

    # ---- A step ----

    def _step(self, images: Array, index: Indices | None, batch: Indices) -> BatchRecord:
        course, done = self.course, self.history.steps
        rate = self._rate(done + 1)
        snapshot = done % SNAPSHOT_STEPS == 0
        if snapshot:
            self.next_kept.take()
        targets, weights = self.training.targets, self.training.weights
        if index is None or course.augment is not None:
            targets = targets[batch]
            weights = None if weights is None else weights[batch]
        if course.augment is not None:
            images = self._augmented(course.augment, images, index, batch)
            index = None
            if course.augment.mixup:
                share = mixup_share(course.augment.mixup, course.seed, done + 1)
                images, targets, weights = self._mixed(share, images, targets, weights)
        loss, correct = self.plan.train_step(
            images,
            index,
            targets,
            weights,
            *self.normalisation,
            rate,
            done + 1,
            course.seed,
            course.clip_norm or 0.0,
        )
        if not math.isfinite(loss):
            self._diverged(f"the loss became {loss} at", done + 1)
        self.history.steps = done + 1
        if snapshot:
            self.kept, self.next_kept = self.next_kept, self.kept
            self.at.kept_step = done
        if self.average is not None:
            self._add_to_average(self.average)
        if self.network.loss.reduction == "sum":
            loss /= self._weight(batch)
        return BatchRecord(
            done + 1,
            self.total_steps,
            self.steps_per_epoch,
            self.at.epoch,
            len(batch),
            loss,
            correct,
            rate,
        )

    def _rate(self, step: int) -> float:
        course = self.course
        return course.optimizer.learning_rate * course.schedule.factor(step, self.total_steps)

    def _augmented(
        self, augment: Augment, images: Array, index: Indices | None, batch: Indices
    ) -> Array:
        places = np.arange(len(batch)) if index is None else index
        mean, scale = self.normalisation
        deviation = (1.0 / scale).astype(self.network.dtype)
        changed: Array = engine.augment(
            augment.settings(),
            images,
            places,
            batch,
            mean,
            deviation,
            self.course.seed,
            self.at.epoch,
        )
        return changed

    def _mixed(
        self, share: float, images: Array, targets: Array, weights: NDArray[np.float64] | None
    ) -> tuple[Array, Array, NDArray[np.float64] | None]:
        """Return a batch each of whose images is averaged with the one that mirrors it."""
        if targets.ndim == 1:
            targets = np.eye(self.network.outputs, dtype=self.network.dtype)[targets]
        one, other = (self.network.dtype.type(part) for part in (share, 1.0 - share))
        mixed = (one * part + other * part[::-1] for part in (images, targets))
        if weights is not None:
            weights = share * weights + (1.0 - share) * weights[::-1]
        return *mixed, weights

    def _add_to_average(self, average: Copies) -> None:
        """Let the average follow the weights, at first faster than in the end."""
        assert self.course.average is not None
        self.at.averaged += 1
        decay = min(self.course.average, self.at.averaged / (self.at.averaged + 9.0))
        for array, live in zip(average.arrays, self.live, strict=True):
            array += array.dtype.type(1.0 - decay) * (live - array)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Have the average in the place of the weights, if there is one."""
        if self.average is None:
            yield
            return
        weights = Copies(self.live)
        self.average.put()
        try:
            yield
        finally:
            weights.put()

    def _validate(self) -> tuple[float | None, float | None]:
        """Return loss and accuracy of what is held out, None and None where nothing is."""
        if self.held_out is None:
            return None, None
        part = self.held_out
        return self.network.measure(part.images, part.targets, part.weights, part.rows, part.labels)

    def _finite(self) -> bool:
        return all(np.isfinite(array).all() for array in self.live)

    def _diverged(self, what: str, step: int) -> NoReturn:
        """Put the last good weights back and say so."""
        self.kept.put()
        step_kept = self.at.kept_step
        kept = f"those of step {step_kept}" if step_kept else "those that it started with"
        # At the first step the learning rate has had no effect yet.
        rate = self.course.optimizer.learning_rate
        advice = f"; a learning rate below {rate:g} may help" if self.history.steps else ""
        error = TrainingDiverged(
            f"{what} step {step} (epoch {self.at.epoch}); the network's weights are again"
            f" {kept}{advice}"
        )
        error.step = step_kept
        raise error

    # ---- Checkpoints ----

    def _checkpoint_if_due(self) -> None:
        checkpoints = self.checkpoints
        if checkpoints is None or checkpoints.seconds is None:
            return
        if time.perf_counter() - self.checkpointed >= checkpoints.seconds:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write the state as it is."""
        assert self.checkpoints is not None
        description = {
            "network": self._identity(),
            "steps": self.history.steps,
            "history": [list(record) for record in self.history],
            "position": self.at.__dict__,
            "watch": self.watch.__dict__ | {"best": _json(self.watch.best)},
        }
        self.checkpoints.write(self.history.steps, self._arrays(), description)
        self.checkpointed = time.perf_counter()

    def _arrays(self) -> dict[str, Array]:
        """Return all arrays of the state by name."""
        names = list(self.network.parameters)
        slots = self.course.optimizer.slots
        arrays = dict(zip((f"weight {name}" for name in names), self.live, strict=True))
        arrays |= {f"state {n % slots} {names[n // slots]}": a for n, a in enumerate(self.state)}
        for what, copies in (("kept", self.kept), ("best", self.best), ("average", self.average)):
            if copies is not None:
                arrays |= {f"{what} {n}": a for n, a in zip(names, copies.arrays, strict=True)}
        return arrays

    def _identity(self) -> dict[str, Any]:
        """Return what a training must have in common with the one that it goes on from."""
        network = self.network
        normalisation = network.normalisation
        return {
            "layers": [layer.to_dict() for layer in network.layers],
            "input_shape": list(network.input_shape),
            "loss": network.loss.to_dict(),
            "dtype": network.dtype.name,
            "normalisation": normalisation and [part.tolist() for part in normalisation],
            "training": self.course.settings(),
            "data": self.training.fingerprint(),
            "validation": self.held_out and self.held_out.fingerprint(),
        }

    def resume(self) -> None:
        """Go to where the newest good checkpoint was, if there is one."""
        assert self.checkpoints is not None
        faults = []
        for path in self.checkpoints.files():
            try:
                arrays, description = read(path)
                self._restore(path, arrays, description)
            except CheckpointError as error:
                faults.append(str(error))
            else:
                self.history.resumed_from = path
                break
        self.history.damaged = tuple(faults)

    def _restore(self, path: object, arrays: dict[str, Array], description: dict[str, Any]) -> None:
        theirs, ours = description["network"], _as_json(self._identity())
        for name, value in ours.items():
            if theirs.get(name) != value:
                rule = f"go on with the training that {path} is of"
                raise invalid("resume", rule, f"another {name}")
        mine = self._arrays()
        if arrays.keys() != mine.keys():
            raise CheckpointError(f"{path}: it lacks arrays of the state, or has others")
        for name, array in arrays.items():
            if (array.shape, array.dtype) != (mine[name].shape, mine[name].dtype):
                raise CheckpointError(f"{path}: {name} has another shape or dtype")
        for name, array in arrays.items():
            np.copyto(mine[name], array)
        self.history.extend(EpochRecord(*record) for record in description["history"])
        self.history.steps = self.history.resumed = description["steps"]
        self.at = Position(**description["position"])
        watch = description["watch"]
        self.watch = Watch(**watch | {"best": _number(watch["best"])})
        stopping = self.course.stopping
        self.history.stopped = stopping is not None and self.watch.waited >= stopping.patience


def _balanced(order: Indices, targets: Array) -> Indices:
    """Return as many rows, every class as often as the others, each class in the given order.

    A class's rows come again, in the same order, when all have been taken.
    """
    classes = [order[targets[order] == label] for label in np.unique(targets[order])]
    turns = -(-len(order) // len(classes))
    columns = [np.resize(rows, turns) for rows in classes]
    return np.stack(columns, axis=1).reshape(-1)[: len(order)]


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.inf if value is None else value


def _as_json(value: Any) -> Any:
    """Return a value as it comes back from a file: tuples are lists there."""
    import json

    return json.loads(json.dumps(value))
