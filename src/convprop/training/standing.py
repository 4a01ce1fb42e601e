"""How far a training has come: what a checkpoint holds besides the arrays and the identity."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from convprop.errors import invalid
from convprop.files.json_text import numbers
from convprop.shown import brief
from convprop.training.records import EpochRecord
from convprop.training.stopping import Watch


@dataclass
class Position:
    """Where a training is in its epoch."""

    epoch: int = 1
    """The one under way."""
    batch: int = 0
    """How many of its batches are done."""
    loss_sum: float = 0.0
    weight_sum: float = 0.0
    correct: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    learning_rate: float = 0.0
    """Of the last step."""
    kept_step: int = 0
    """Steps that the weights to go back to had taken."""
    averaged: int = 0
    """Steps that the average has seen."""


@dataclass(frozen=True)
class Standing:
    """How far a training has come."""

    steps: int
    history: list[EpochRecord]
    position: Position
    watch: Watch

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "steps": self.steps,
            "history": [list(record) for record in self.history],
            "position": asdict(self.position),
            "watch": asdict(self.watch),
        }

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Standing:
        """Build what `to_dict` has written.

        Raises
        ------
        InvalidInput
            Another type than is written, or parts that do not agree with one another.
        """
        steps, listed = description.get("steps"), description.get("history")
        if type(steps) is not int or steps < 0:
            raise invalid("steps", "be an integer of at least 0", brief(steps))
        if not isinstance(listed, list):
            raise invalid("history", "be a list", brief(listed))
        history = [_record(entry, number) for number, entry in enumerate(listed, start=1)]
        position = numbers(Position, description.get("position"), "position")
        watched = description.get("watch")
        if isinstance(watched, dict):
            watched = asdict(Watch()) | watched  # Earlier ones have fewer members.
        watch = numbers(Watch, watched, "watch")
        standing = cls(steps, history, position, watch)
        standing._check()
        return standing

    def _check(self) -> None:
        at, watch, epochs = self.position, self.watch, len(self.history)
        if at.epoch != epochs + 1:
            raise invalid("position's epoch", f"follow {epochs} finished ones", at.epoch)
        if not 0 <= at.batch <= self.steps:
            raise invalid("position's batch", f"lie in 0..{self.steps}, the steps", at.batch)
        for name in ("kept_step", "averaged"):
            if not 0 <= (count := getattr(at, name)) <= self.steps:
                raise invalid(f"position's {name}", f"lie in 0..{self.steps}, the steps", count)
        if not (math.isfinite(at.loss_sum) and 0.0 <= at.weight_sum < math.inf):
            received = f"{at.loss_sum} and {at.weight_sum}"
            raise invalid("position's sums", "be a number, and one of at least 0", received)
        for name in ("best_epoch", "waited"):
            if not 0 <= (count := getattr(watch, name)) <= epochs:
                raise invalid(f"watch's {name}", f"lie in 0..{epochs}, the epochs", count)

    def check_epochs(self, epochs: int) -> None:
        """Raise InvalidInput unless it is of a training of so many epochs."""
        if (after := self.position.epoch - 1) > epochs:
            raise invalid("position's epoch", f"be at most {epochs + 1}", after + 1)
        if (last := self.watch.last_epoch) and not after <= last <= epochs:
            raise invalid("watch's last_epoch", f"be 0 or in {after}..{epochs}", last)

    def check_steps(self, epochs: int, per_epoch: int) -> None:
        """Raise InvalidInput unless it is of a training of so many epochs and steps."""
        self.check_epochs(epochs)
        at = self.position
        wanted = (at.epoch - 1) * per_epoch + at.batch
        if at.batch > per_epoch or self.steps != wanted:
            rule = f"be those of {at.epoch - 1} epochs of {per_epoch}, and {at.batch}"
            raise invalid("steps", rule, self.steps)
        if at.batch == per_epoch and not at.weight_sum:
            raise invalid("position's weight_sum", "be above 0 after an epoch", at.weight_sum)


def _record(entry: object, number: int) -> EpochRecord:
    what = f"epoch {number} of the history"
    names = EpochRecord._fields
    if not isinstance(entry, list) or len(entry) != len(names):
        raise invalid(what, f"hold {', '.join(names)}", brief(entry))
    record = numbers(EpochRecord, dict(zip(names, entry, strict=True)), what)
    if record.epoch != number:
        raise invalid(what, f"be epoch {number}", record.epoch)
    return record
