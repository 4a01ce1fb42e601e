"""How large a learning rate may be: the loss while the rate grows from step to step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convprop.arguments import checks_names
from convprop.brief import Brief
from convprop.checks import is_integer, positive
from convprop.data.stream import ImageStream
from convprop.errors import TrainingDiverged, invalid
from convprop.machine.native import engine
from convprop.network import Network
from convprop.optimizers import Adam, Optimizer
from convprop.schedules import Schedule
from convprop.training import train
from convprop.training.records import BatchRecord
from convprop.training.symptoms import unremarked

Floats = NDArray[np.float64]

FEWEST_STEPS = 20

# The sweep ends where the running mean of the loss is so many times its smallest value, and
# above where it began.
_TIMES_SMALLEST = 4.0
# The weight of the past in that mean.
_PAST = 0.9
# The smoothing's standard deviation, as a part of the sweep.
_SMOOTHING = 1 / 50
# The suggestion is the rate of the smallest loss divided by this: there the loss is about to
# rise, and a rate for a whole training has to be kept for longer than one for a step.
_BELOW_BEST = 4.0
# What less than this part of the loss is no learning: the outputs' biases alone can bring it.
_LEAST_FALL = 1 / 20


@dataclass(frozen=True, repr=False)
class RateCurve(Brief):
    """The loss by the learning rate.

    Attributes
    ----------
    rates, losses : ndarray
        (n,), of each step: its learning rate, and its batch's loss before its update.
    smoothed : ndarray
        (n,), the losses averaged over neighbouring steps.
    diverged : bool
        Whether the loss grew until the sweep ended before its last step.
    suggestion : float or None
        A quarter of the rate at which ``smoothed`` is smallest, with two significant digits.
        None if ``smoothed`` nowhere falls by a twentieth, or if it was interrupted: it might
        have gone on falling.
    interrupted : bool
        Whether a KeyboardInterrupt ended the sweep.
    """

    rates: Floats
    losses: Floats
    smoothed: Floats
    diverged: bool
    suggestion: float | None
    interrupted: bool = False


@dataclass(frozen=True, repr=False)
class _Sweep(Schedule):
    """Rise from 1 to ``ratio``, by the same factor at each of so many steps."""

    kind = "sweep"

    ratio: float
    steps: int

    def factor(self, step: int, total_steps: int) -> float:
        """Return ratio ** ((step - 1) / (steps - 1))."""
        exponent = engine.log(np.array([self.ratio])) * ((step - 1) / (self.steps - 1))
        return float(engine.exp(exponent)[0])


@checks_names
def find_rate(
    network: Network,
    images: ArrayLike | ImageStream,
    labels: ArrayLike,
    *,
    optimizer: Optimizer = Adam(1e-3),
    batch_size: int = 64,
    smallest: float = 1e-6,
    largest: float = 10.0,
    steps: int = 200,
    seed: int | None = None,
    on_batch: Callable[[BatchRecord], object] | None = None,
) -> RateCurve:
    """Train a copy of a network while the learning rate grows, and suggest one.

    After Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3,
    with a rate that grows by the same factor at each step. The network stays as it is. The
    result depends on network, data and arguments alone, and not on the number of threads.

    Parameters
    ----------
    network : Network
    images : array_like or ImageStream
        Training images, as for ``train``.
    labels : array_like
        (N,) integers or (N, K) floats.
    optimizer : Optimizer
        How gradients become steps; its own learning rate takes no part.
    batch_size : int
        That of the training which the rate is for.
    smallest, largest : float
        Where the sweep begins, and where it ends at the latest.
    steps : int
        At least 20.
    seed : int, optional
        Of the images' order and of dropout; None: the network's.
    on_batch : callable, optional
        Called after each step with a BatchRecord; what it returns says nothing.

    Returns
    -------
    RateCurve
        A KeyboardInterrupt, in the hook or from the keyboard, ends the sweep with
        ``interrupted`` set, if 20 steps are done by then; of fewer it comes through.

    Raises
    ------
    InvalidInput
        Before anything is done.
    DataError
        From a stream.
    TrainingDiverged
        At the smallest rate already.
    """
    if not isinstance(network, Network):
        raise invalid("network", "be a Network", repr(network))
    if not isinstance(optimizer, Optimizer):
        raise invalid("optimizer", "be one of convprop.optimizers", repr(optimizer))
    smallest, largest = positive("smallest", smallest), positive("largest", largest)
    if not smallest < largest:
        raise invalid("largest", f"be above the smallest rate, {smallest:g}", f"{largest:g}")
    if not is_integer(steps, FEWEST_STEPS):
        raise invalid("steps", f"be an integer of at least {FEWEST_STEPS}", repr(steps))
    if on_batch is not None and not callable(on_batch):
        raise invalid("on_batch", "be None or callable", repr(on_batch))
    watch = _Watch(steps, on_batch)
    try:
        with unremarked():
            history = train(
                copy.deepcopy(network),
                images,
                labels,
                optimizer=replace(optimizer, learning_rate=smallest),
                schedule=_Sweep(largest / smallest, steps),
                # As many as it takes if the images are one batch; the watch ends the sweep.
                epochs=steps,
                batch_size=batch_size,
                seed=seed,
                on_batch=watch.see,
            )
        if history.interrupted and len(watch.losses) < FEWEST_STEPS:
            raise KeyboardInterrupt
        interrupted = history.interrupted
    except TrainingDiverged:
        if len(watch.losses) < 2:
            raise
        watch.diverged, interrupted = True, False
    rates, losses = np.array(watch.rates), np.array(watch.losses)
    smoothed = _smoothed(losses, steps * _SMOOTHING)
    suggestion = None if interrupted else _suggestion(rates, smoothed)
    return RateCurve(rates, losses, smoothed, watch.diverged, suggestion, interrupted)


class _Watch:
    """What the steps of a sweep said, and whether it is over."""

    def __init__(self, steps: int, told: Callable[[BatchRecord], object] | None) -> None:
        self.steps = steps
        self.told = told
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.diverged = False
        self._sum = 0.0
        self._smallest = math.inf

    def see(self, record: BatchRecord) -> bool:
        """Take in a step; return whether it is the last one."""
        self.rates.append(record.learning_rate)
        self.losses.append(record.loss)
        count = len(self.losses)
        self._sum = _PAST * self._sum + (1.0 - _PAST) * record.loss
        mean = self._sum / (1.0 - _PAST**count)
        self._smallest = min(self._smallest, mean)
        first = sum(self.losses[: self.steps // 10]) / min(count, self.steps // 10)
        if mean > max(_TIMES_SMALLEST * self._smallest, first) and count > self.steps // 10:
            self.diverged = True
        if self.told is not None:
            self.told(record)
        return self.diverged or count == self.steps


def _smoothed(losses: Floats, deviation: float) -> Floats:
    """Return means over neighbours with the weights of a normal distribution."""
    # Weights go by the distance alone: those of all pairs of steps would be a square.
    distances = np.arange(1 - len(losses), len(losses)) / deviation
    weights = np.exp(-0.5 * distances * distances)
    sums = np.convolve(weights, losses, "valid")
    smoothed: Floats = sums / np.convolve(weights, np.ones(len(losses)), "valid")
    return smoothed


def _suggestion(rates: Floats, smoothed: Floats) -> float | None:
    """Return a rate by the rule of `RateCurve`."""
    best = int(np.argmin(smoothed))
    if smoothed[best] > (1.0 - _LEAST_FALL) * smoothed[0]:
        return None
    return float(f"{rates[best] / _BELOW_BEST:.1e}")
