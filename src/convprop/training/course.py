"""The settings of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convprop.described import Described
from convprop.optimizers import Optimizer
from convprop.schedules import Schedule
from convprop.training.augmentation import Augment
from convprop.training.lookahead import Lookahead
from convprop.training.stopping import EarlyStopping


@dataclass(frozen=True)
class Course:
    """The settings of a training that a model file keeps."""

    optimizer: Optimizer
    schedule: Schedule
    epochs: int
    batch_size: int
    seed: int
    shuffle: bool = True
    augment: Augment | None = None
    stopping: EarlyStopping | None = None
    clip_norm: float | None = None
    average: float | None = None
    balanced: bool = False
    lookahead: Lookahead | None = None

    def settings(self) -> dict[str, Any]:
        """Return them ready for JSON."""
        return {
            name: value.to_dict() if isinstance(value, Described) else value
            for name, value in self.__dict__.items()
        }
