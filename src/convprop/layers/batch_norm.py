"""Batch normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from convprop.checks import flag, is_integer, number, positive
from convprop.errors import invalid
from convprop.initializers import Constant, Zeros
from convprop.layers.layer import (
    Layer,
    Parameter,
    Shape,
    Trainable,
    checked_name,
    checked_trainable,
)


@dataclass(frozen=True, repr=False)
class BatchNorm(Layer):
    """Every channel's values less their mean, over their deviation; then w x^ + b.

    In training, mean and (biased) variance are those of a channel's pixels over all images of the
    batch; the running ones move by ``momentum`` towards them (towards the unbiased variance).
    Predictions take the running ones. Conventions and defaults are those of PyTorch and ONNX.

    Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", 2015, Algorithms 1 and 2.

    Parameters
    ----------
    epsilon : float
        Above 0; added to the variance.
    momentum : float
        0 .. 1: the share of the batch in the running statistics. (In Keras it is the share of what
        has been, 1 less this one.)
    over : "batch" or 16
        Of 16: each run of sixteen images of the batch has its own mean and variance, so that none
        waits for the others ("ghost" batches: Hoffer, Hubara and Soudry, 2017).
    frozen : bool
        Take the running statistics in training, too, and leave them as they are: as fine-tuning on
        few images wants.
    trainable : bool, "weight" or "bias"
        False: no optimizer updates weight and bias. A name: that one alone. (The running statistics
        go on: ``frozen`` keeps these.)
    name : str, optional
        In the place of "batch_norm1", "batch_norm2", ...
    """

    kind = family = "batch_norm"
    source = "Ioffe and Szegedy, Batch normalization, 2015, Algorithms 1 and 2"
    rectifies = None

    epsilon: float = 1e-5
    momentum: float = 0.1
    over: Literal["batch", 16] = "batch"
    frozen: bool = False
    trainable: Trainable = True
    name: str | None = None

    def __post_init__(self) -> None:
        rule, above = "be a number in 0 .. 1", math.nextafter(1.0, 2.0)
        self._set(
            epsilon=positive("epsilon", self.epsilon),
            momentum=number("momentum", self.momentum, rule, 0.0, above),
            over=_checked_over(self.over),
            frozen=flag("frozen", self.frozen),
            trainable=checked_trainable(self.trainable, True),
            name=checked_name(self.name),
        )

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight, bias, running_mean and running_var (C,); the last two are not trained."""
        each = (inputs[0][0],)
        return {
            "weight": Parameter(each, Constant(1.0), self.trainable in (True, "weight")),
            "bias": Parameter(each, Zeros(), self.trainable in (True, "bias")),
            "running_mean": Parameter(each, Zeros(), trained=False),
            "running_var": Parameter(each, Constant(1.0), trained=False),
        }

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {
            "kind": "batch_norm",
            "epsilon": self.epsilon,
            "momentum": self.momentum,
            "statistics": "running" if self.frozen else _STATISTICS[self.over],
        }


_STATISTICS = {"batch": "batch", 16: "block"}


def _checked_over(value: object) -> Literal["batch", 16]:
    if value == "batch":
        return "batch"
    if is_integer(value, 16) and int(value) == 16:
        return 16
    raise invalid("over", "be 'batch' or 16", repr(value))
