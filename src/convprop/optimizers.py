"""Optimizers: the hyperparameters of each update rule, which the engine carries out.

With g the gradient of the (reduced) loss and t the step, counted from 1, every rule below is
PyTorch's, so its documentation's values can be used as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from convprop.brief import Brief
from convprop.checks import below_one, flag, non_negative, positive, positive_integer
from convprop.described import Described, from_dict, table
from convprop.errors import invalid


@dataclass(frozen=True, repr=False)
class Optimizer(Described):
    """Base of the optimizers.

    Parameters
    ----------
    learning_rate : float
        Positive; a schedule's factor multiplies it.
    """

    positional = ("learning_rate",)

    learning_rate: float

    slots: ClassVar[int]
    """How many arrays of its own shape the rule keeps for each parameter."""

    def __post_init__(self) -> None:
        self._set(learning_rate=positive("learning_rate", self.learning_rate))

    def settings(self) -> dict[str, float]:
        """Return the hyperparameters that the engine takes, without the learning rate."""
        return {
            field.name: float(getattr(self, field.name))
            for field in fields(self)
            if field.name != "learning_rate"
        }

    def for_batches(self, taken: int, made_for: int) -> Self:
        """Return what suits batches of ``taken`` images as this one suits those of ``made_for``.

        The learning rate goes by the root of the batch size, since a rule that divides by the
        gradient's own size is left with its noise, whose deviation goes by 1/root; Malladi, Lyu,
        Panigrahi and Arora, "On the SDEs and scaling rules for adaptive gradient algorithms",
        NeurIPS 2022. The weight decay goes so that an epoch takes as much of the weights.

        Parameters
        ----------
        taken, made_for : int
            Positive.
        """
        taken, made_for = positive_integer("taken", taken), positive_integer("made_for", made_for)
        if taken == made_for:
            return self
        share = taken / made_for
        grown = self._rate_growth(share)
        changes: dict[str, Any] = {
            "learning_rate": self.learning_rate * grown,
            "weight_decay": self.settings()["weight_decay"] * (share / grown),
        }
        return replace(self, **changes)

    def _rate_growth(self, share: float) -> float:
        return math.sqrt(share)


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum.

    g <- g + weight_decay w;  v <- momentum v + g (v = g at the first step);
    w <- w - learning_rate v, or with nesterov w <- w - learning_rate (g + momentum v).

    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
    Nesterov momentum as in Sutskever, Martens, Dahl and Hinton, "On the importance of
    initialization and momentum in deep learning", ICML 2013.
    """

    kind = "sgd"
    slots = 1

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            momentum=below_one("momentum", self.momentum),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )
        if flag("nesterov", self.nesterov) and self.momentum == 0.0:
            raise invalid("momentum", "be above 0 when nesterov is True", self.momentum)

    def _rate_growth(self, share: float) -> float:
        # In proportion, as in Goyal et al., "Accurate, large minibatch SGD", 2017: an epoch then
        # goes as far. Upwards that needs a gradual start, which not every schedule has, and ends
        # where the curvature allows no larger steps; the root stays well below.
        return min(share, math.sqrt(share))


@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adaptive moments, with L2 weight decay added to the gradient.

    g <- g + weight_decay w;  m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    w <- w - learning_rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon).

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, Algorithm 1.
    """

    kind = "adam"
    slots = 2

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            beta1=below_one("beta1", self.beta1),
            beta2=below_one("beta2", self.beta2),
            epsilon=positive("epsilon", self.epsilon),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )


@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay: w <- w - learning_rate weight_decay w, then Adam's step.

    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, Algorithm 2.
    """

    kind = "adamw"

    weight_decay: float = 0.01


@dataclass(frozen=True, repr=False)
class RMSprop(Optimizer):
    """Gradients divided by the root of their running mean square.

    g <- g + weight_decay w;  s <- alpha s + (1 - alpha) g^2;
    v <- momentum v + g / (sqrt(s) + epsilon);  w <- w - learning_rate v.

    Tieleman and Hinton, "Lecture 6.5: rmsprop", Neural Networks for Machine Learning, 2012.
    """

    kind = "rmsprop"
    slots = 2

    learning_rate: float = 1e-3
    alpha: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            alpha=below_one("alpha", self.alpha),
            epsilon=positive("epsilon", self.epsilon),
            weight_decay=non_negative("weight_decay", self.weight_decay),
            momentum=below_one("momentum", self.momentum),
        )


@dataclass(frozen=True, repr=False)
class Adadelta(Optimizer):
    """Steps in the parameters' own units, from running means of gradients and of steps.

    g <- g + weight_decay w;  s <- rho s + (1 - rho) g^2;
    d = sqrt(u + epsilon) / sqrt(s + epsilon) g;  u <- rho u + (1 - rho) d^2;
    w <- w - learning_rate d.

    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, Algorithm 1.
    """

    kind = "adadelta"
    slots = 2

    learning_rate: float = 1.0
    rho: float = 0.9
    epsilon: float = 1e-6
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            rho=below_one("rho", self.rho),
            epsilon=positive("epsilon", self.epsilon),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )


OPTIMIZERS = table(SGD, Adam, AdamW, RMSprop, Adadelta)
"""The optimizers by their kind."""


def optimizer_for(suggested: Optimizer, kind: str | None) -> Optimizer:
    """Return the optimizer that a name stands for, on the command line and for estimators.

    That is the suggested one if it is of that kind, or none is named; another one has its own
    defaults, and SGD, which few train without, a momentum of 0.9.

    Parameters
    ----------
    suggested : Optimizer
        What a preset or "auto" is trained by.
    kind : str, optional
        One of OPTIMIZERS.
    """
    if kind is None or kind == suggested.kind:
        return suggested
    return SGD(momentum=0.9) if kind == SGD.kind else from_dict({"kind": kind}, OPTIMIZERS, kind)


@dataclass(repr=False)
class OptimizerState(Brief):
    """What an optimizer has gathered, for the next training to go on with.

    `convprop.train` fills a new one, and goes on with one that it has filled: with the same
    optimizer and the schedule Constant, two trainings of one epoch are one of two.

    Attributes
    ----------
    steps, epochs : int
        Taken and finished so far.
    optimizer : Optimizer or None
        The last one.
    arrays : list of ndarray
        Of each parameter as many of its shape as the optimizer's rule keeps.
    """

    steps: int = 0
    epochs: int = 0
    optimizer: Optimizer | None = None
    arrays: list[NDArray[Any]] = field(default_factory=list)

    def fit(self, optimizer: Optimizer, parameters: list[NDArray[Any]]) -> None:
        """Make the arrays for parameters; raise InvalidInput if it is of others."""
        wanted = [array for array in parameters for _ in range(optimizer.slots)]
        if self.optimizer is None:
            self.arrays = [np.zeros_like(array) for array in wanted]
        elif type(self.optimizer) is not type(optimizer):
            raise invalid("state", f"be of {optimizer.kind}", self.optimizer.kind)
        elif [(a.shape, a.dtype) for a in self.arrays] != [(a.shape, a.dtype) for a in wanted]:
            raise invalid("state", "be of this network", "arrays of other shapes")
        self.optimizer = optimizer
