"""One training under way: its steps and epochs, and its state, which a checkpoint holds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from convprop.errors import InvalidInput, ModelFileError, TrainingDiverged, warn
from convprop.network import Network
from convprop.optimizers import OptimizerState
from convprop.training.batches import Batches, Data, Indices, Read
from convprop.training.checkpoint import CheckpointError, Checkpoints, CheckpointWarning, read
from convprop.training.course import Course
from convprop.training.identity import check_same, identity, read_identity
from convprop.training.interrupts import between_steps
from convprop.training.records import BatchRecord, EpochRecord, History
from convprop.training.standing import Position, Standing
from convprop.training.stopping import Watch
from convprop.training.symptoms import Symptoms

Array = NDArray[Any]

SNAPSHOT_STEPS = 50
"""How many steps lie between two copies of the weights, which a failing loss goes back to."""


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
    data: Data
    held_out: Data | None = None
    hooks: Hooks = field(default_factory=Hooks)
    checkpoints: Checkpoints | None = None
    state: OptimizerState = field(default_factory=OptimizerState)
    history: History = field(default_factory=History)
    at: Position = field(default_factory=Position)
    watch: Watch = field(default_factory=Watch)
    micro_batch: int | None = None
    """How many images of a batch are taken at a time; None: all."""

    def __post_init__(self) -> None:
        network, course = self.network, self.course
        self.batches = Batches(self.data, course, network, self.micro_batch)
        self.live = list(network.parameters.values())
        self.kept, self.next_kept = Copies(self.live), Copies(self.live)
        stopping = course.stopping
        self.best = Copies(self.live) if stopping is not None and stopping.keep_best else None
        self.average = None if course.average is None else Copies(self.live)
        self.slow = None if course.lookahead is None else Copies(self.live)
        size, part_size = self.batches.size, self.batches.part_size
        self.plan = network.plan("train", size, part_size if part_size < size else 0)
        trained = [network.parameters[name] for name in network.graph.trained]
        self.state.fit(course.optimizer, trained)
        # What an earlier training with the same state has gone through.
        self.earlier_steps, self.earlier_epochs = self.state.steps, self.state.epochs
        self.plan.bind_optimizer(
            course.optimizer.kind,
            course.optimizer.settings(),
            self.state.arrays,
            course.optimizer.factors(network.graph.parameters),
        )
        self.symptoms = Symptoms(network, course, self.data)
        self.checkpointed = time.perf_counter()
        self.history.images = len(self.batches.rows)
        self.history.held_out = 0 if self.held_out is None else self.held_out.count
        # False while weights and position do not belong together.
        self.whole = True

    @property
    def last_epoch(self) -> int:
        """The epoch that training ends with, as things are."""
        return self.watch.last_epoch or self.course.epochs

    @property
    def total_steps(self) -> int:
        """How many steps it then has taken."""
        return self.last_epoch * self.batches.per_epoch

    def start(self) -> History:
        """Go through the epochs, or as far as nothing ends them."""
        if self.hooks.on_start is not None:
            self.hooks.on_start(self.history)
        started = time.perf_counter()
        with between_steps() as interrupts:
            self.interrupts = interrupts
            try:
                while self.at.epoch <= self.last_epoch:
                    self._epoch()
                self.history.stopped = self.last_epoch < self.course.epochs
            except _Stop:
                self.history.stopped = self.history.stopped_by_hook = True
            except KeyboardInterrupt:
                self._interrupted()
        self._finish()
        self.history.seconds = time.perf_counter() - started
        self.history.ended = datetime.now(UTC)
        if not self.history.interrupted:
            self.symptoms.judge(self.history)
        return self.history

    def _interrupted(self) -> None:
        self.history.interrupted = True
        if not self._finite():
            self._diverged("a weight is not finite after", self.history.steps)
        if self.checkpoints is not None and self.whole:
            self.checkpoint()

    def _finish(self) -> None:
        """Give the network the weights that were asked for."""
        if self.best is not None and self.watch.best_epoch:
            self.best.put()
            self.history.best_epoch = self.watch.best_epoch
        elif self.average is not None and self.at.averaged:
            self.average.put()
        elif self.slow is not None:
            self.slow.put()

    # ---- An epoch ----

    def _epoch(self) -> None:
        at = self.at
        rows = self.batches.rows_of(self.earlier_epochs + at.epoch)[at.batch :]
        with closing(self.batches.read(rows)) as pixels:
            for batch in rows:
                started = time.perf_counter()
                record = self.step(batch, pixels)
                at.seconds += time.perf_counter() - started
                self._hook(self.hooks.on_batch, record)
                if self.interrupts:
                    raise KeyboardInterrupt
                self._checkpoint_if_due()
        if not self._finite():
            self._diverged("a weight is not finite after", self.history.steps)
        self._end_epoch()

    def _end_epoch(self) -> None:
        self.whole = False
        at, stopping = self.at, self.course.stopping
        loss = at.loss_sum / at.weight_sum
        accuracy = at.correct / len(self.batches.rows) if self.batches.labels else None
        with self._measured():
            validated = self._validate()
            record = EpochRecord(
                at.epoch, loss, accuracy, *validated, at.seconds, at.learning_rate, at.waited
            )
            if stopping is not None:
                fewest = self._fewest_epochs()
                best = self.watch.see(stopping, record, fewest, self.last_epoch)
                self.history.ends_with = self.watch.last_epoch or None
                if best and self.best is not None:
                    self.best.take()
            self.history.append(record)
            self.state.epochs += 1
            self.at = Position(at.epoch + 1, kept_step=at.kept_step, averaged=at.averaged)
            self.whole = True
            # The hook finds the weights that the record is of.
            self._hook(self.hooks.on_epoch, record)
            self.symptoms.see(record)
        every = None if self.checkpoints is None else self.checkpoints.epochs
        if every is not None and at.epoch % every == 0:
            self.checkpoint()

    def _fewest_epochs(self) -> int:
        """Return the epoch that training could end with, after the one that has ended."""
        steps = self.at.epoch * self.batches.per_epoch
        fewest = self.course.schedule.fewest_steps(steps, self.total_steps)
        return -(-fewest // self.batches.per_epoch)

    def _hook(self, hook: Callable[[Any], object] | None, record: object) -> None:
        if hook is not None and isinstance(end := hook(record), bool | np.bool_) and end:
            raise _Stop

    # ---- A step ----

    def step(self, rows: Indices, pixels: Iterator[Read] | None = None) -> BatchRecord:
        """Take the next step, on the images of some rows; return its record.

        Parameters
        ----------
        rows : ndarray
            int64: the images of the whole batch, in its order.
        pixels : iterator of (images, places), optional
            What `Batches.read` yields, from this batch on.

        Raises
        ------
        DataError
            From a stream.
        TrainingDiverged
            The loss is NaN or infinite. The network holds its last good weights.
        """
        pixels = pixels or self.batches.read([rows])
        at, course, done = self.at, self.course, self.history.steps
        rate = course.optimizer.learning_rate * course.schedule.factor(done + 1, self.total_steps)
        snapshot = done % SNAPSHOT_STEPS == 0
        if snapshot:
            self.next_kept.take()
        step = self.earlier_steps + done + 1
        parts = self.batches.parts(rows)
        for part in parts:
            started = time.perf_counter()
            images, index = next(pixels)
            at.waited += time.perf_counter() - started
            epoch = self.earlier_epochs + at.epoch
            batch = self.batches.batch(images, index, rows, epoch, step, part)
            # Only the last part moves the weights, and has the result.
            self.whole = part is not parts[-1]
            loss, correct = self.plan.train_step(
                *batch,
                *self.batches.normalisation,
                rate,
                step,
                course.seed,
                course.clip_norm or 0.0,
                *((part.start, len(rows)) if len(parts) > 1 else ()),
            )
        if not math.isfinite(loss):
            self._diverged(f"the loss became {loss} at", done + 1)
        if snapshot:
            self.kept, self.next_kept = self.next_kept, self.kept
            at.kept_step = done
        if self.slow is not None:
            self._look_ahead(self.slow, done + 1)
        if self.average is not None:
            self._add_to_average(self.average)
        weight = self.batches.weight(rows)
        if self.network.loss.reduction == "sum":
            loss /= weight
        self.symptoms.begin(loss)
        at.loss_sum += loss * weight
        at.weight_sum += weight
        at.correct += correct
        at.batch += 1
        at.learning_rate = rate
        self.history.steps, self.state.steps = done + 1, step
        self.whole = True
        return BatchRecord(
            done + 1,
            self.total_steps,
            self.batches.per_epoch,
            at.epoch,
            len(rows),
            loss,
            correct,
            rate,
        )

    def _look_ahead(self, slow: Copies, done: int) -> None:
        """After every few steps, let the slow weights follow the others, and these begin there."""
        assert self.course.lookahead is not None
        if done % self.course.lookahead.steps:
            return
        share = self.course.lookahead.share
        with np.errstate(over="ignore", invalid="ignore"):
            for array, live in zip(slow.arrays, self.live, strict=True):
                array += array.dtype.type(share) * (live - array)
        slow.put()

    def _add_to_average(self, average: Copies) -> None:
        """Let the average follow the weights, at first faster than in the end."""
        assert self.course.average is not None
        self.at.averaged += 1
        decay = min(self.course.average, self.at.averaged / (self.at.averaged + 9.0))
        # Where the weights have grown too large, the next loss tells.
        with np.errstate(over="ignore", invalid="ignore"):
            for array, live in zip(average.arrays, self.live, strict=True):
                array += array.dtype.type(1.0 - decay) * (live - array)

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """Have the average, or the slow weights, in the place of the weights, if there are any."""
        measured = self.slow if self.average is None else self.average
        if measured is None:
            yield
            return
        weights = Copies(self.live)
        measured.put()
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
        try:
            raise error
        finally:
            # Its traceback holds this frame, and so the engine's memory: not by a cycle.
            del error

    # ---- Checkpoints ----

    def _checkpoint_if_due(self) -> None:
        checkpoints = self.checkpoints
        if checkpoints is None or checkpoints.seconds is None:
            return
        if time.perf_counter() - self.checkpointed >= checkpoints.seconds:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write the state as it is, or warn: the training is worth more than a checkpoint."""
        assert self.checkpoints is not None
        steps = self.history.steps
        standing = Standing(steps, list(self.history), self.at, self.watch)
        description = {"training": self._identity} | standing.to_dict()
        try:
            self.checkpoints.write(steps, self._arrays(), description)
        except InvalidInput as error:
            files = self.checkpoints.files()
            last = f"the last one is {files[0]}" if files else "there is no earlier one"
            message = f"no checkpoint after {steps} steps: cannot write {error.received}; {last}"
            warn(message, CheckpointWarning)
        self.checkpointed = time.perf_counter()

    def _arrays(self) -> dict[str, Array]:
        """Return all arrays of the state by name."""
        names = list(self.network.parameters)
        trained, slots = self.network.graph.trained, self.course.optimizer.slots
        arrays = dict(zip((f"weight {name}" for name in names), self.live, strict=True))
        for n, array in enumerate(self.state.arrays):
            arrays[f"state {n % slots} {trained[n // slots]}"] = array
        for what in ("kept", "best", "average", "slow"):
            copies = getattr(self, what)
            if copies is not None:
                arrays |= {f"{what} {n}": a for n, a in zip(names, copies.arrays, strict=True)}
        return arrays

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return identity(self.network, self.course, self.data, self.held_out)

    def resume(self) -> None:
        """Go to where the newest good checkpoint was, if there is one."""
        assert self.checkpoints is not None
        for path in self.checkpoints.files():
            try:
                self._restore(path, *read(path))
            except CheckpointError as error:
                self.history.passed_over.append(str(error))
            else:
                self.history.resumed_from = path
                return

    def _restore(self, path: Path, arrays: dict[str, Array], description: dict[str, Any]) -> None:
        """Take over a state, once all of it is known to fit: or else nothing is changed."""
        try:
            trained, standing = read_identity(description), Standing.from_dict(description)
        except (InvalidInput, ModelFileError) as error:
            raise CheckpointError(f"{path}: {error}") from None
        check_same(path, trained, self._identity)
        try:
            standing.check_steps(self.course.epochs, self.batches.per_epoch)
        except InvalidInput as error:
            raise CheckpointError(f"{path}: {error}") from None
        mine = self._arrays()
        if arrays.keys() != mine.keys():
            raise CheckpointError(f"{path}: it lacks arrays of the state, or has others")
        for name, array in arrays.items():
            if (array.shape, array.dtype) != (mine[name].shape, mine[name].dtype):
                raise CheckpointError(f"{path}: {name} has another shape or dtype")
            # What the optimizer has gathered may have grown beyond all numbers, and become small.
            if not name.startswith("state ") and not np.isfinite(array).all():
                raise CheckpointError(f"{path}: {name} holds NaN or infinity")
        for name, array in arrays.items():
            np.copyto(mine[name], array)
        self.history.extend(standing.history)
        self.history.steps = self.history.resumed = self.state.steps = standing.steps
        self.state.epochs = len(self.history)
        self.at, self.watch = standing.position, standing.watch
        stopping = self.course.stopping
        ended = stopping is not None and self.watch.waited >= stopping.patience
        if ended and not self.watch.last_epoch:
            # Version 0.1 kept nothing else of a training that had come to its end.
            self.watch.last_epoch = len(self.history)
        self.history.ends_with = self.watch.last_epoch or None
