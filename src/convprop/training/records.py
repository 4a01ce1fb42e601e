"""What a training tells: of each step, of each epoch, and in the end."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple


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
    ends_with: int | None = None
    """The epoch after which early stopping ends it, where it has decided that."""
    stopped_by_hook: bool = False
    """Whether it was a hook."""
    images: int = 0
    """How many images an epoch goes through."""
    held_out: int = 0
    """How many images are measured after each epoch."""
    ended: datetime | None = None
    """When, in UTC; None while it goes."""
    seconds: float = 0.0
    """How long it took, validation included; of a resumed training, since it went on."""
    steps: int = 0
    """How many steps were taken, those of an unfinished epoch included."""
    resumed: int = 0
    """How many of them had been taken before, by the training that this one went on from."""
    resumed_from: Path | None = None
    """Its checkpoint."""
    best_epoch: int | None = None
    """The epoch whose weights the network has, where early stopping keeps the best."""

    def __init__(self, records: Iterable[EpochRecord] = ()) -> None:
        super().__init__(records)
        self.passed_over: list[str] = []
        """What was wrong with newer checkpoints than the one gone on from."""

    def __repr__(self) -> str:
        last = self[-1]._asdict() if self else {}
        names = ("loss", "accuracy", "validation_loss", "validation_accuracy")
        known = [f", {name}={last[name]:.4g}" for name in names if last.get(name) is not None]
        return f"History({len(self):,} epochs{''.join(known)})"
