"""Schedules: the factor that multiplies the optimizer's learning rate, step by step.

A schedule sees how far training has come and nothing else: ``factor(step, total_steps)``
with steps counted from 1. The arithmetic is additions, multiplications and divisions of
Python floats, and the engine's exp and log, so that every machine gets the same bits.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np

from convprop.checks import below_one, number, positive
from convprop.described import Described, table
from convprop.errors import invalid
from convprop.machine.native import engine

_SETTLED = 0.1
_LOOKS = 100
"""A schedule is looked at in so many places, which for those that there are is enough."""


class Schedule(Described, ABC):
    """Base of the schedules."""

    @abstractmethod
    def factor(self, step: int, total_steps: int) -> float:
        """Return the learning rate's factor at ``step`` of 1..total_steps."""

    def fewest_steps(self, step: int, total_steps: int) -> int:
        """Return with how many steps a training can end that early stopping has enough of.

        While the rate has more than a tenth of the optimizer's to rise or to fall, most of what a
        training reaches is still to come: that is all of ``total_steps``. Later, and under a
        constant rate, it is those taken so far, ``step``.
        """
        last = self.factor(total_steps, total_steps)
        stride = max((total_steps - step) // _LOOKS, 1)
        ahead = (self.factor(n, total_steps) for n in range(step, total_steps + 1, stride))
        return step if all(abs(factor - last) <= _SETTLED for factor in ahead) else total_steps

    @staticmethod
    def progress(step: int, total_steps: int) -> float:
        """Return how far training has come: 0 at the first step, 1 at the last."""
        return (step - 1) / max(total_steps - 1, 1)


@dataclass(frozen=True, repr=False)
class WarmedUp(Schedule):
    """Base of the schedules that a warm-up may come before.

    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2.

    Parameters
    ----------
    warmup : float
        The part of the training, below 1, in which the rate first rises in proportion to the
        steps, from nearly 0 to 1. What the schedule does begins behind it.
    """

    _: KW_ONLY
    warmup: float = 0.0

    def __post_init__(self) -> None:
        self._set(warmup=below_one("warmup", self.warmup))

    def factor(self, step: int, total_steps: int) -> float:
        """Return the part of the warm-up that is over; behind it what the schedule says."""
        rise = self.warmup * total_steps
        if step < rise:
            return step / rise
        # The schedule's first step is the one that has reached 1.
        before = max(math.ceil(rise), 1) - 1
        return self._warmed_up(step - before, total_steps - before)

    @abstractmethod
    def _warmed_up(self, step: int, total_steps: int) -> float:
        """Return the factor as if there had been no warm-up."""


@dataclass(frozen=True, repr=False)
class Constant(WarmedUp):
    """The optimizer's learning rate throughout. Parameters as in WarmedUp."""

    kind = "constant"

    def _warmed_up(self, step: int, total_steps: int) -> float:
        return 1.0


@dataclass(frozen=True, repr=False)
class Step(WarmedUp):
    """Multiply by ``decay`` at each of the given parts of the training.

    Parameters
    ----------
    at : sequence of float
        Increasing, each above 0 and below 1: (0.5, 0.75) is after half of the steps and
        after three quarters.
    decay : float
        Positive.
    warmup : float
        As in WarmedUp; the parts are then those of what comes behind it.
    """

    kind = "step"

    at: Sequence[float] = (0.5, 0.75)
    decay: float = 0.1

    def __post_init__(self) -> None:
        rule = "be increasing numbers above 0 and below 1"
        if isinstance(self.at, str) or not isinstance(self.at, Sequence):
            raise invalid("at", rule, repr(self.at))
        at = tuple(number("at", part, rule, math.ulp(0.0), 1.0) for part in self.at)
        if any(later <= earlier for earlier, later in itertools.pairwise(at)):
            raise invalid("at", rule, repr(self.at))
        self._set(at=at, decay=positive("decay", self.decay))
        super().__post_init__()

    def _warmed_up(self, step: int, total_steps: int) -> float:
        """Return decay to the number of parts that are over."""
        done = (step - 1) / total_steps
        return math.prod(self.decay for part in self.at if done >= part)


@dataclass(frozen=True, repr=False)
class Exponential(WarmedUp):
    """Fall from 1 to ``final`` by the same ratio at every step.

    Parameters
    ----------
    final : float
        Positive; the factor at the last step.
    warmup : float
        As in WarmedUp.
    """

    kind = "exponential"

    final: float = 0.01

    def __post_init__(self) -> None:
        self._set(final=positive("final", self.final))
        super().__post_init__()

    def _warmed_up(self, step: int, total_steps: int) -> float:
        """Return final ** progress."""
        exponent = engine.log(np.array([self.final])) * self.progress(step, total_steps)
        return float(engine.exp(exponent)[0])


@dataclass(frozen=True, repr=False)
class Cosine(WarmedUp):
    """Fall from 1 to ``final`` along half a cosine wave.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    Eq. 5, without restarts.

    Parameters
    ----------
    final : float
        At least 0, the factor at the last step.
    warmup : float
        As in WarmedUp.
    """

    kind = "cosine"

    final: float = 0.0

    def __post_init__(self) -> None:
        self._set(final=below_one("final", self.final))
        super().__post_init__()

    def _warmed_up(self, step: int, total_steps: int) -> float:
        """Return final + (1 - final) (1 + cos(pi progress)) / 2."""
        return _anneal(1.0, self.final, self.progress(step, total_steps))


@dataclass(frozen=True, repr=False)
class OneCycle(Schedule):
    """Rise from ``initial`` to 1, then fall to ``final``, along two half cosine waves.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018 (arXiv:1708.07120), with the cosine form of its two phases that
    became customary.

    Parameters
    ----------
    initial, final : float
        The factor at the first step and at the last, each above 0 and below 1.
    rise : float
        The part of the training that the rise takes, above 0 and below 1.
    """

    kind = "one_cycle"

    initial: float = 0.04
    final: float = 0.0001
    rise: float = 0.3

    def __post_init__(self) -> None:
        rule = "be a number above 0 and below 1"
        for name in ("initial", "final", "rise"):
            value = number(name, getattr(self, name), rule, math.ulp(0.0), 1.0)
            self._set(**{name: value})

    def factor(self, step: int, total_steps: int) -> float:
        """Return the factor of the rise or of the fall, by the progress."""
        progress = self.progress(step, total_steps)
        if progress < self.rise:
            return _anneal(self.initial, 1.0, progress / self.rise)
        return _anneal(1.0, self.final, (progress - self.rise) / (1.0 - self.rise))


@dataclass(frozen=True, repr=False)
class Trapezoid(Schedule):
    """Rise from ``initial`` to 1, stay there, and fall to ``final``: what suits early stopping.

    Nothing on the way to the fall depends on when that comes. So where nothing has got better
    for some epochs, early stopping has it begin at once, and ends the training after it.
    The rise and the fall are half cosine waves.

    Hägele, Bakouch, Kosson, Ben Allal, von Werra and Jaggi, "Scaling laws and compute-optimal
    training beyond fixed training durations", NeurIPS 2024.

    Parameters
    ----------
    initial, final : float
        The factor at the first step and at the last, each above 0 and below 1.
    rise, fall : float
        The parts of the training that these take, each above 0, together at most 1.
    """

    kind = "trapezoid"

    initial: float = 0.04
    final: float = 0.0001
    rise: float = 0.1
    fall: float = 0.4

    def __post_init__(self) -> None:
        rule = "be a number above 0 and below 1"
        for name in ("initial", "final", "rise", "fall"):
            value = number(name, getattr(self, name), rule, math.ulp(0.0), 1.0)
            self._set(**{name: value})
        if self.rise + self.fall > 1.0:
            raise invalid("fall", f"be at most 1 less the rise, {self.rise:g}", self.fall)

    def factor(self, step: int, total_steps: int) -> float:
        """Return the factor of the rise, 1, or the factor of the fall, by the progress."""
        progress = self.progress(step, total_steps)
        if progress < self.rise:
            return _anneal(self.initial, 1.0, progress / self.rise)
        falling = progress - (1.0 - self.fall)
        return _anneal(1.0, self.final, falling / self.fall) if falling > 0 else 1.0

    def fewest_steps(self, step: int, total_steps: int) -> int:
        """Return with how many steps the fall begins after ``step``, if it has not before."""
        progress = self.progress(step, total_steps)
        if not self.rise <= progress < 1.0 - self.fall:
            return super().fewest_steps(step, total_steps)
        return min(1 + math.ceil((step - 1) / (1.0 - self.fall)), total_steps)


def _anneal(start: float, end: float, progress: float) -> float:
    """Return start at progress 0, end at progress 1, and half a cosine wave between."""
    return end + (start - end) * _half_cosine(progress)


def _half_cosine(t: float) -> float:
    """Return (1 + cos(pi t)) / 2 for 0 <= t <= 1.

    cos(x) = sum_n (-1)^n x^2n / (2n)!: for x <= pi/2 the term n = 12 is below 1e-19. The
    second half follows from cos(pi - x) = -cos(x).
    """
    if t > 0.5:
        return 1.0 - _half_cosine(1.0 - t)
    square = (math.pi * t) * (math.pi * t)
    total = 1.0
    for n in range(12, 0, -1):
        total = 1.0 - total * square / (2 * n * (2 * n - 1))
    return 0.5 + 0.5 * total


SCHEDULES = table(Constant, Step, Exponential, Cosine, OneCycle, Trapezoid)
"""The schedules by their kind."""
