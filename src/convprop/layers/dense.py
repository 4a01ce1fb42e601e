"""Fully connected layers, and the row of values that they see."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any

from convprop.checks import flag, positive_integer
from convprop.initializers import Initializer
from convprop.layers.layer import (
    Layer,
    Parameter,
    Shape,
    Trainable,
    checked_initializer,
    checked_name,
    checked_trainable,
    weight_and_bias,
)


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """Every output a weighted sum of every input, which is flattened in C, H, W order.

    Parameters
    ----------
    units : int
        K, the number of outputs.
    bias : bool
    initializer : Initializer, optional
        None: He's uniform one before a ReLU or what is like one, LeCun's before a SELU, Glorot's
        elsewhere. Biases begin at 0.
    trainable : bool, "weight" or "bias"
        False: no optimizer updates its parameters, which have no gradients. A name: that one alone.
    name : str, optional
        In the place of "dense1", "dense2", ...
    """

    kind = family = "dense"
    source = "Introduction, the fully connected layers; Eq. 7 with a window of the input's size"
    positional = ("units",)

    units: int
    _: KW_ONLY
    bias: bool = True
    initializer: Initializer | None = None
    trainable: Trainable = True
    name: str | None = None

    def __post_init__(self) -> None:
        self._set(
            units=positive_integer("units", self.units),
            bias=flag("bias", self.bias),
            initializer=checked_initializer(self.initializer),
            trainable=checked_trainable(self.trainable, self.bias),
            name=checked_name(self.name),
        )

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (K,)."""
        return (self.units,)

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight (K, F) and bias (K,)."""
        shape = (self.units, math.prod(inputs[0]))
        return weight_and_bias(shape, self.initializer, self.bias, self.trainable)

    def multiply_adds(self, *inputs: Shape) -> int:
        """Return K F."""
        return self.units * math.prod(inputs[0])

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": "dense", "units": self.units, "bias": self.bias}


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """All of an image's values in one row, in C, H, W order."""

    kind = family = "flatten"
    source = "Introduction, the squashing into a one-dimensional vector"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (F,)."""
        return (math.prod(inputs[0]),)

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": "flatten"}
