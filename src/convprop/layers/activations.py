"""The activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convprop.checks import non_negative
from convprop.layers.layer import Layer, Shape

__all__ = ["Identity", "LeakyReLU", "ReLU", "ScaledTanh", "Sigmoid", "Softplus", "Tanh"]


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """Base of the activations: o = f(x), value by value (Eq. 8)."""

    source = "Forward Propagation, Eq. 8; deltas Eq. 18-20"
    family = "activation"
    rectifies = False
    reads_output = True

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": "activation", "activation": self.kind}


class ReLU(Activation):
    """f(x) = max(0, x), f'(0) = 0."""

    kind = "relu"
    rectifies = True


@dataclass(frozen=True, repr=False)
class LeakyReLU(Activation):
    """f(x) = x for x > 0 and slope x elsewhere.

    Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models",
    2013.

    Parameters
    ----------
    slope : float
        At least 0.
    """

    kind = "leaky_relu"
    rectifies = True

    slope: float = 0.01

    def __post_init__(self) -> None:
        self._set(slope=non_negative("slope", self.slope))

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return super().native(*inputs) | {"slope": self.slope}


class Sigmoid(Activation):
    """f(x) = 1 / (1 + exp(-x))."""

    kind = "sigmoid"


class Tanh(Activation):
    """f(x) = tanh(x)."""

    kind = "tanh"


class ScaledTanh(Activation):
    """f(x) = 1.7159 tanh(2 x / 3): LeCun et al., "Efficient BackProp", 1998, Section 4.4."""

    kind = "scaled_tanh"


class Softplus(Activation):
    """f(x) = log(1 + exp(x))."""

    kind = "softplus"


class Identity(Activation):
    """f(x) = x."""

    kind = "identity"


ACTIVATIONS = (ReLU, LeakyReLU, Sigmoid, Tanh, ScaledTanh, Softplus, Identity)
