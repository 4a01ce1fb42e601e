"""When a training ends before its last epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from convprop.checks import flag, non_negative, positive_integer
from convprop.described import Described
from convprop.errors import invalid
from convprop.training.records import EpochRecord

Measure = Literal["validation_loss", "validation_accuracy", "loss"]
WORTH_WAITING = 0.01
"""Where an accuracy stays, as that of few images does, a loss that falls by so much is better."""
MEASURES = ("validation_loss", "validation_accuracy", "loss")


@dataclass(frozen=True, repr=False)
class EarlyStopping(Described):
    """End when nothing has got better for some epochs.

    Epochs are compared, and waited for, where the rate is constant or has come down: while it
    rises or falls, those to come are better. Of a `Trapezoid` the rate then falls at once, and
    the training ends after that.

    Prechelt, "Early stopping - but when?", 1998.

    Parameters
    ----------
    patience : int
        After so many epochs, one after the other, that were not better than the best so far.
    tolerance : float
        What is better by no more than this is taken, but not waited for.
    measure : "validation_loss", "validation_accuracy" or "loss"
        What is compared: the first two need ``validation``; "loss" is the training's own. Of
        equal accuracies, as few images have, the one with the smaller loss is better, and waited
        for if it is by 0.01.
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

    def cost(self, record: EpochRecord) -> float:
        """Return what an epoch's record says, the smaller the better."""
        value = float(getattr(record, self.measure))
        return -value if self.measure == "validation_accuracy" else value


@dataclass
class Watch:
    """How an early stopping stands."""

    best: float = math.inf
    """The smallest cost so far."""
    best_epoch: int = 0
    best_loss: float = math.inf
    """Its validation loss: of equal accuracies, the one with the smaller loss is better."""
    gained_loss: float = math.inf
    """The validation loss when something last got better."""
    waited: int = 0
    """Epochs since."""
    last_epoch: int = 0
    """The epoch after which training ends, where that was decided; else 0."""

    def see(self, rule: EarlyStopping, record: EpochRecord, fewest: int, epochs: int) -> bool:
        """Take in an epoch; return whether it is the best one.

        Parameters
        ----------
        rule : EarlyStopping
        record : EpochRecord
        fewest, epochs : int
            The epoch that training could end with by now, and the one that it would end with.
        """
        if fewest >= epochs > record.epoch:
            # The rate is rising or falling: what it falls to is better, and not by chance alone.
            self.best = self.best_loss = self.gained_loss = math.inf
            self.best_epoch = self.waited = 0
            return False
        cost = rule.cost(record)
        loss = math.inf if record.validation_loss is None else record.validation_loss
        better = (cost, loss) < (self.best, self.best_loss)
        of_equal = rule.measure == "validation_accuracy" and cost <= self.best
        if cost < self.best - rule.tolerance or (
            of_equal and loss < self.gained_loss - WORTH_WAITING
        ):
            self.waited, self.gained_loss = 0, loss
        else:
            self.waited += 1
        if self.waited >= rule.patience:
            self.last_epoch = fewest
        if better:
            self.best, self.best_loss, self.best_epoch = cost, loss, record.epoch
        return better
