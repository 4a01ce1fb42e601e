"""When a training ends before its last epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from convprop.described import Described, flag, non_negative
from convprop.errors import invalid
from convprop.geometry import positive_integer

Measure = Literal["validation_loss", "validation_accuracy", "loss"]
MEASURES = ("validation_loss", "validation_accuracy", "loss")


@dataclass(frozen=True, repr=False)
class EarlyStopping(Described):
    """End when nothing has got better for some epochs.

    Prechelt, "Early stopping - but when?", 1998.

    Parameters
    ----------
    patience : int
        After so many epochs, one after the other, that were not better than the best so far.
    tolerance : float
        What is better by no more than this is taken, but not waited for.
    measure : "validation_loss", "validation_accuracy" or "loss"
        What is compared: the first two need ``validation``; "loss" is the training's own.
    keep_best : bool
        Whether the network gets the weights of the best epoch at the end.
    """

    kind = "early_stopping"

    patience: int = 10
    tolerance: float = 0.0
    measure: Measure = "validation_loss"
    keep_best: bool = True

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise invalid("measure", f"be one of {', '.join(MEASURES)}", repr(self.measure))
        flag("keep_best", self.keep_best)
        self._set(
            patience=positive_integer("patience", self.patience),
            tolerance=non_negative("tolerance", self.tolerance),
        )

    def cost(self, record: object) -> float:
        """Return what an epoch's record says, the smaller the better."""
        value = float(getattr(record, self.measure))
        return -value if self.measure == "validation_accuracy" else value


@dataclass
class Watch:
    """How an early stopping stands."""

    best: float = math.inf
    """The smallest cost so far."""
    best_epoch: int = 0
    waited: int = 0
    """Epochs since."""

    def see(self, rule: EarlyStopping, cost: float, epoch: int) -> bool:
        """Take in an epoch; return whether it is the best one."""
        self.waited = 0 if cost < self.best - rule.tolerance else self.waited + 1
        if cost >= self.best:
            return False
        self.best, self.best_epoch = cost, epoch
        return True
