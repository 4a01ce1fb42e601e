"""Optimizers: the hyperparameters of each update rule, which the engine carries out.

With g the gradient of the (reduced) loss and t the step, counted from 1, every rule below is
PyTorch's, so its documentation's values can be used as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from convprop.brief import Brief
from convprop.checks import below_one, flag, non_negative, positive, positive_integer
from convprop.described import Described, from_dict, table
from convprop.errors import invalid

if TYPE_CHECKING:
    from convprop.layers import Parameter


@dataclass(frozen=True, repr=False)
class Optimizer(Described):
    """Base of the optimizers.

    Parameters
    ----------
    learning_rate : float
        Positive; a schedule's factor multiplies it.
    rate_factors : mapping, optional
        What multiplies the learning rate of some parameters: positive numbers by the name of a
        parameter ("conv1.weight"), of a layer ("conv1") or of a kind ("bias"), where * stands for
        anything ("conv*"). A parameter that several of them name has their product.
    decay_factors : mapping or "weights", optional
        The same of the weight decay, numbers of at least 0. "weights" leaves out all that has one
        axis: biases, and what a normalisation scales and shifts by.
    """

    positional = ("learning_rate",)
    objects = ("rate_factors", "decay_factors")

    learning_rate: float
    _: KW_ONLY
    rate_factors: Mapping[str, float] | None = None
    decay_factors: Mapping[str, float] | Literal["weights"] | None = None

    slots: ClassVar[int]
    """How many arrays of its own shape the rule keeps for each parameter."""

    def __post_init__(self) -> None:
        self._set(
            learning_rate=positive("learning_rate", self.learning_rate),
            rate_factors=_checked_factors("rate_factors", self.rate_factors),
            decay_factors=_checked_factors("decay_factors", self.decay_factors),
        )
        if self.decay_factors is not None and not self.settings()["weight_decay"]:
            rule = "be None with a weight_decay of 0, which they multiply"
            raise invalid("decay_factors", rule, repr(self.decay_factors))

    def settings(self) -> dict[str, float]:
        """Return the hyperparameters that the engine takes, of all parameters alike."""
        return {
            field.name: float(getattr(self, field.name))
            for field in fields(self)
            if field.name not in ("learning_rate", *self.objects)
        }

    def factors(self, parameters: Mapping[str, Parameter]) -> list[tuple[float, float]]:
        """Return what multiplies the learning rate and the weight decay of each trained parameter.

        Parameters
        ----------
        parameters : mapping
            By "layer.weight", as a graph has them.

        Raises
        ------
        InvalidInput
            A name that none of those trained has.
        """
        trained = {name: one for name, one in parameters.items() if one.trained}
        rates = _factors_by_name("rate_factors", self.rate_factors or {}, trained)
        if self.decay_factors == "weights":
            decays = [float(len(one.shape) > 1) for one in trained.values()]
        else:
            decays = _factors_by_name("decay_factors", self.decay_factors or {}, trained)
        return list(zip(rates, decays, strict=True))

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


def _checked_factors(parameter: str, given: object) -> dict[str, float] | str | None:
    if given is None:
        return None
    decays = parameter == "decay_factors"
    if decays and isinstance(given, str) and given == "weights":
        return given
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        known = "None, 'weights' or numbers by name" if decays else "None or numbers by name"
        raise invalid(parameter, f"be {known}, as in {{'bias': 2}}", repr(given))
    check = non_negative if decays else positive
    return {name: check(f"{parameter}[{name!r}]", value) for name, value in given.items()} or None


def _factors_by_name(
    parameter: str, given: Mapping[str, float] | str, trained: Mapping[str, Parameter]
) -> list[float]:
    assert not isinstance(given, str)
    found = dict.fromkeys(trained, 1.0)
    # In an order of their own, so that their product does not depend on the one given.
    for pattern in sorted(given):
        named = [n for n in trained if any(fnmatchcase(o, pattern) for o in (n, *n.split(".")))]
        if not named:
            rule = f"name trained parameters, layers or kinds: {', '.join(trained)}"
            raise invalid(parameter, rule, repr(pattern))
        for name in named:
            found[name] *= given[pattern]
    return list(found.values())


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum.

    g <- g + weight_decay w;  v <- momentum v + g (v = g at the first step);
    w <- w - learning_rate v, or with nesterov w <- w - learning_rate (g + momentum v).
    Decoupled, the decay is not in g, and so not in v: w <- w - learning_rate weight_decay w first.

    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964;
    Nesterov momentum as in Sutskever, Martens, Dahl and Hinton, "On the importance of
    initialization and momentum in deep learning", ICML 2013. Decoupled decay as in Loshchilov and
    Hutter, "Decoupled weight decay regularization", ICLR 2019, Algorithm 1.
    """

    kind = "sgd"
    slots = 1

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decoupled: bool = False

    def __post_init__(self) -> None:
        self._set(
            momentum=below_one("momentum", self.momentum),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )
        super().__post_init__()
        if flag("nesterov", self.nesterov) and self.momentum == 0.0:
            raise invalid("momentum", "be above 0 when nesterov is True", self.momentum)
        if flag("decoupled", self.decoupled) and self.weight_decay == 0.0:
            raise invalid("weight_decay", "be above 0 when decoupled is True", self.weight_decay)

    def settings(self) -> dict[str, float]:
        """Return what the engine takes; ``decoupled`` where it is, as recorded trainings say it."""
        settings = super().settings()
        return {name: n for name, n in settings.items() if name != "decoupled" or n}

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
        self._set(
            beta1=below_one("beta1", self.beta1),
            beta2=below_one("beta2", self.beta2),
            epsilon=positive("epsilon", self.epsilon),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )
        super().__post_init__()


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
        self._set(
            alpha=below_one("alpha", self.alpha),
            epsilon=positive("epsilon", self.epsilon),
            weight_decay=non_negative("weight_decay", self.weight_decay),
            momentum=below_one("momentum", self.momentum),
        )
        super().__post_init__()


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
        self._set(
            rho=below_one("rho", self.rho),
            epsilon=positive("epsilon", self.epsilon),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )
        super().__post_init__()


@dataclass(frozen=True, repr=False)
class LARS(Optimizer):
    """Layer-wise adaptive rates: SGD with momentum, for large batches.

    ratio = trust |w| / (|g| + weight_decay |w|);  g <- g + weight_decay w;
    v <- momentum v + learning_rate ratio g;  w <- w - v.

    Norms are those of a whole parameter. The ratio is 1 where one of them is 0, and for parameters
    of one axis (biases), as in the authors' code. As in the paper, the rate is in v.

    You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017
    (arXiv:1708.03888), Algorithm 1.
    """

    kind = "lars"
    slots = 1

    learning_rate: float = 1.0
    momentum: float = 0.9
    trust: float = 0.001
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        self._set(
            momentum=below_one("momentum", self.momentum),
            trust=positive("trust", self.trust),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )
        super().__post_init__()


@dataclass(frozen=True, repr=False)
class LAMB(Optimizer):
    """Layer-wise adaptive moments: Adam with decoupled decay, for large batches.

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    r = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) + weight_decay w;
    w <- w - learning_rate |w| / |r| r.

    Norms are those of a whole parameter. Their ratio is 1 where one of them is 0, and for
    parameters of one axis (biases), as in the authors' code.

    You, Li, Reddi, Hseu, Kumar, Bhojanapalli, Song, Demmel, Keutzer and Hsieh, "Large batch
    optimization for deep learning: training BERT in 76 minutes", ICLR 2020 (arXiv:1904.00962),
    Algorithm 2 with phi(z) = z.
    """

    kind = "lamb"
    slots = 2

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        self._set(
            beta1=below_one("beta1", self.beta1),
            beta2=below_one("beta2", self.beta2),
            epsilon=positive("epsilon", self.epsilon),
            weight_decay=non_negative("weight_decay", self.weight_decay),
        )
        super().__post_init__()


OPTIMIZERS = table(SGD, Adam, AdamW, RMSprop, Adadelta, LARS, LAMB)
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
        Of each trained parameter as many of its shape as the optimizer's rule keeps.
    """

    steps: int = 0
    epochs: int = 0
    optimizer: Optimizer | None = None
    arrays: list[NDArray[Any]] = field(default_factory=list)

    def fit(self, optimizer: Optimizer, parameters: list[NDArray[Any]]) -> None:
        """Make the arrays for trained parameters; raise InvalidInput if it is of others."""
        wanted = [array for array in parameters for _ in range(optimizer.slots)]
        if self.optimizer is None:
            self.arrays = [np.zeros_like(array) for array in wanted]
        elif type(self.optimizer) is not type(optimizer):
            raise invalid("state", f"be of {optimizer.kind}", self.optimizer.kind)
        elif [(a.shape, a.dtype) for a in self.arrays] != [(a.shape, a.dtype) for a in wanted]:
            raise invalid("state", "be of this network", "arrays of other shapes")
        self.optimizer = optimizer
