"""Losses: what training makes small, and what a network's raw outputs mean under each.

Every loss is computed from the raw outputs y of the last layer, (N, K), by the engine;
softmax and sigmoid are part of the loss, not layers, so that neither can overflow.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from convprop.checks import below_one
from convprop.described import Described, table
from convprop.errors import invalid
from convprop.machine.native import engine

Reduction = Literal["mean", "sum"]
Moments = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Loss(Described, ABC):
    """Base of the losses.

    Parameters
    ----------
    reduction : "mean" or "sum"
        Average the images' losses by their sample weights, or add them.
    """

    reduction: Reduction = "mean"

    label_smoothing: ClassVar[float] = 0.0

    source: ClassVar[str]

    def __post_init__(self) -> None:
        if self.reduction not in ("mean", "sum"):
            raise invalid("reduction", "be 'mean' or 'sum'", repr(self.reduction))

    @abstractmethod
    def prediction(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return what the loss makes of raw outputs (N, K): same shape and dtype."""

    @abstractmethod
    def one_answer(self, mean: Moments, variance: Moments) -> float:
        """Return an image's mean loss where all get the same answer, the best one.

        Parameters
        ----------
        mean, variance : ndarray
            float64 (K,), of the targets.
        """

    @abstractmethod
    def no_answer(self, mean: Moments, variance: Moments) -> float:
        """Return it where all outputs are 0."""


class SquaredError(Loss):
    """E = 1/2 sum_k (t_k - y_k)^2 for each image (Eq. 9); labels stand for one-hot targets."""

    kind = "squared_error"
    source = "Error, Eq. 9"

    def prediction(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the outputs themselves."""
        return outputs

    def one_answer(self, mean: Moments, variance: Moments) -> float:
        """Return half the targets' variance, of all outputs together."""
        return float(variance.sum()) / 2.0

    def no_answer(self, mean: Moments, variance: Moments) -> float:
        """Return half the targets' mean square, of all outputs together."""
        return float((np.square(mean) + variance).sum()) / 2.0


@dataclass(frozen=True, repr=False)
class SoftmaxCrossEntropy(Loss):
    """E = -sum_k t_k log softmax(y)_k for each image; a label stands for a one-hot t.

    Bridle, "Probabilistic interpretation of feedforward classification network outputs",
    Neurocomputing, 1990.

    Parameters
    ----------
    reduction : "mean" or "sum"
        As for every loss.
    label_smoothing : float
        The part s of the targets that all classes get in equal shares, 0 <= s < 1: in the place
        of t_k stands (1 - s) t_k + s / K; Szegedy, Vanhoucke, Ioffe, Shlens and Wojna,
        "Rethinking the Inception architecture for computer vision", CVPR 2016.
    """

    label_smoothing: float = 0.0  # type: ignore[misc]  # of the base the others' constant

    kind = "softmax_cross_entropy"
    source = "Error, softmax cross-entropy in the place of Eq. 9"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(label_smoothing=below_one("label_smoothing", self.label_smoothing))

    def prediction(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return softmax(y): each image's probabilities of its classes."""
        return engine.softmax_forward(outputs)

    def one_answer(self, mean: Moments, variance: Moments) -> float:
        """Return the entropy of the targets' mean."""
        smooth = (1.0 - self.label_smoothing) * mean + self.label_smoothing / len(mean)
        return _entropy(smooth) - _entropy(smooth.sum(keepdims=True))

    def no_answer(self, mean: Moments, variance: Moments) -> float:
        """Return the logarithm of the number of classes."""
        return math.log(len(mean))


class BinaryCrossEntropy(Loss):
    """E = -sum_k t_k log s(y_k) + (1 - t_k) log(1 - s(y_k)) for each image, s the sigmoid.

    Each output answers a question of its own with yes or no; labels stand for one-hot
    targets, and for the target itself (0 or 1) where there is one output.
    """

    kind = "binary_cross_entropy"
    source = "Error, binary cross-entropy in the place of Eq. 9"

    def prediction(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Return sigmoid(y): the probability of each output's yes."""
        return engine.sigmoid(outputs)

    def one_answer(self, mean: Moments, variance: Moments) -> float:
        """Return the entropies of the questions' shares of yes and no."""
        return _entropy(mean) + _entropy(1.0 - mean)

    def no_answer(self, mean: Moments, variance: Moments) -> float:
        """Return ln 2 for each question."""
        return len(mean) * math.log(2.0)


def _entropy(shares: Moments) -> float:
    """Return -sum(p log p)."""
    some = shares[shares > 0.0]
    return -float((some * np.log(some)).sum())


LOSSES = table(SquaredError, SoftmaxCrossEntropy, BinaryCrossEntropy)
"""The losses that a model file may name."""
