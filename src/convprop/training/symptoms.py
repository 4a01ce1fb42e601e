"""What a training's losses say of it that is worth a warning."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np

from convprop.errors import TrainingWarning, warn
from convprop.losses import Moments
from convprop.network import Network
from convprop.training.batches import Data
from convprop.training.course import Course
from convprop.training.records import EpochRecord, History

OUT_OF_BOUNDS = 10.0
"""A loss so many times that of no answer, or the first one, comes from steps that are too large."""
STILL = 0.99
"""A loss above this share of it has learned nothing that shows."""
FEWEST_STEPS, FEWEST_EPOCHS, MANY_STEPS = 100, 2, 300
"""Before so many steps and epochs, or many steps, that is no surprise."""
MOVED = 0.9
"""But one that falls in every epoch, and by now to less than so much of the first, will learn."""
MOST_MEASURED = 512
LEFT_BEHIND, LEFT_EPOCHS = 1.25, 5
"""Overfitting: the held-out loss is so many times its smallest, since so many epochs."""


def moments(network: Network, training: Data, balanced: bool) -> tuple[Moments, Moments]:
    """Return the mean and the variance of each output's training targets."""
    rows = slice(None) if training.rows is None else training.rows
    targets = training.targets[rows]
    weights = None if training.weights is None else training.weights[rows]
    if targets.ndim == 2:
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.average(targets.astype(np.float64), axis=0, weights=weights)
            return mean, np.average(np.square(targets - mean), axis=0, weights=weights)
    counts = np.bincount(targets, weights, minlength=network.outputs).astype(np.float64)
    if balanced:
        counts = np.minimum(np.ceil(counts), 1.0)
    shares = counts / counts.sum()
    return shares, shares * (1.0 - shares)


class Symptoms:
    """Watches one training, and warns where its losses show that it goes wrong.

    Parameters
    ----------
    network : Network
    course : Course
    data : Data
    """

    def __init__(self, network: Network, course: Course, data: Data) -> None:
        self.network, self.course, self.data = network, course, data
        mean, variance = moments(network, data, course.balanced)
        self.one_answer = network.loss.one_answer(mean, variance)
        # What smoothed labels leave even where every image has the right answer.
        certain = (np.arange(len(mean)) == 0).astype(np.float64)
        least = network.loss.one_answer(certain, np.zeros_like(mean))
        to_learn = self.one_answer - least
        # Where targets are as good as all alike there is nothing to learn.
        self.still = least + STILL * to_learn if to_learn > 0.01 * self.one_answer else math.inf
        self.bound = OUT_OF_BOUNDS * network.loss.no_answer(mean, variance)
        self.begun = self.exploded = False

    def begin(self, loss: float) -> None:
        """Take in the loss of a step before its update; of the first, which may be large."""
        if not self.begun:
            self.begun, self.bound = True, max(self.bound, OUT_OF_BOUNDS * loss)

    def see(self, record: EpochRecord) -> None:
        """Warn of a loss that is out of all bounds, the first time."""
        if self.exploded or record.loss <= self.bound:
            return
        self.exploded = True
        warn(
            f"the loss is {record.loss:.3g} after epoch {record.epoch}, where one answer to all"
            f" images would have {self.one_answer:.3g}: a smaller learning rate than"
            f" {self.course.optimizer.learning_rate:g}, or clip_norm, may help",
            TrainingWarning,
        )

    def judge(self, history: History) -> None:
        """Warn at the end of a training that has learned nothing, or too much by heart."""
        if not history or self.exploded:
            return
        losses = [(record.loss, record.validation_loss) for record in history]
        last, held_out = losses[-1]
        enough = history.steps >= (FEWEST_STEPS if len(history) >= FEWEST_EPOCHS else MANY_STEPS)
        trained = [loss for loss, _ in losses]
        # Small steps from bad first weights go the right way, epoch by epoch.
        falls = all(after < before for before, after in pairwise(trained))
        moves = falls and last < MOVED * trained[0]
        high = min(last, held_out or last) > self.still
        if enough and high and not moves and self._ignorant():
            warn(
                f"after {history.steps:,} steps the loss is {last:.4g}, no better than that of one"
                f" answer to all images ({self.one_answer:.4g}): nothing is learned; another"
                f" learning rate than {self.course.optimizer.learning_rate:g} may help, or the"
                " targets do not follow from the images",
                TrainingWarning,
            )
        elif held_out is not None and history.best_epoch is None:
            measured = [loss for _, loss in losses if loss is not None]
            best = measured.index(min(measured))
            smallest, then = measured[best], losses[best][0]
            behind = held_out > max(LEFT_BEHIND * smallest, last) and last < then
            if behind and len(measured) - 1 - best >= LEFT_EPOCHS:
                warn(
                    f"the held-out loss was smallest after epoch {best + 1}, {smallest:.4g}, and is"
                    f" {held_out:.4g} after epoch {len(measured)}: the training images are learned"
                    " by heart; early stopping, augmentation or dropout may help",
                    TrainingWarning,
                )

    def _ignorant(self) -> bool:
        """Whether predictions for training images, without dropout, show nothing learned."""
        data = self.data
        rows = np.arange(data.count) if data.rows is None else data.rows
        some = rows[:: max(len(rows) // MOST_MEASURED, 1)]
        loss, accuracy = self.network.measure(
            data.images, data.targets, data.weights, some, data.targets.ndim == 1
        )
        if accuracy is not None:
            share = float(np.bincount(data.targets[some]).max()) / len(some)
            chance = math.sqrt(share * (1.0 - share) / len(some))
            if accuracy > share + 3.0 * chance:
                return False
        # Balanced batches are of other shares of the classes than these images.
        return self.course.balanced or loss > self.still


@contextmanager
def unremarked() -> Iterator[None]:
    """Let a training that is only a trial go wrong without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        yield
