"""The activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from convprop.checks import non_negative
from convprop.errors import invalid
from convprop.layers.layer import Layer, Shape

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyReLU",
    "Mish",
    "ReLU",
    "ReLU6",
    "ScaledTanh",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
]


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


class ReLU6(Activation):
    """f(x) = min(max(x, 0), 6), f'(0) = f'(6) = 0.

    Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010; PyTorch's ReLU6.
    """

    kind = "relu6"
    rectifies = True


@dataclass(frozen=True, repr=False)
class ELU(Activation):
    """f(x) = x for x > 0 and alpha (exp(x) - 1) elsewhere, f'(0) = alpha.

    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential
    linear units (ELUs)", ICLR 2016; PyTorch's and ONNX's ELU.

    Parameters
    ----------
    alpha : float
        At least 0.
    """

    kind = "elu"
    rectifies = True

    alpha: float = 1.0

    def __post_init__(self) -> None:
        self._set(alpha=non_negative("alpha", self.alpha))

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return super().native(*inputs) | {"alpha": self.alpha}


class SELU(Activation):
    """f(x) = s x for x > 0 and s a (exp(x) - 1) elsewhere, f'(0) = s a; s = 1.0507, a = 1.6733.

    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", NIPS 2017;
    PyTorch's and ONNX's SELU. It keeps mean 0 and variance 1 behind weights of variance
    1 / fan_in, which those before it begin with.
    """

    kind = "selu"
    keeps_variance = True


class HardSigmoid(Activation):
    """f(x) = x / 6 + 1/2, but not below 0 and not above 1, f'(-3) = f'(3) = 0.

    Howard et al., "Searching for MobileNetV3", ICCV 2019; PyTorch's Hardsigmoid, and ONNX's with an
    alpha of 1/6 (its own default is 0.2).
    """

    kind = "hard_sigmoid"


class Softsign(Activation):
    """f(x) = x / (1 + |x|).

    Turian, Bergstra and Bengio, "Quadratic features and deep architectures for chunking", 2009;
    PyTorch's and ONNX's Softsign.
    """

    kind = "softsign"


@dataclass(frozen=True, repr=False)
class GELU(Activation):
    """f(x) = x Phi(x), Phi being the standard normal distribution.

    Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016; PyTorch's and ONNX's GELU.
    Like that of SiLU, Mish and HardSwish, its f' is not found from its output: in training x is
    kept besides, and f computed by itself.

    Parameters
    ----------
    approximate : "none" or "tanh"
        "tanh": x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), which differs from x Phi(x) by at
        most 0.0005.
    """

    kind = "gelu"
    rectifies = True
    reads_output, reads_input = False, True

    approximate: Literal["none", "tanh"] = "none"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise invalid("approximate", "be 'none' or 'tanh'", f"{self.approximate!r:.80}")

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        kind = "gelu" if self.approximate == "none" else "gelu_tanh"
        return super().native(*inputs) | {"activation": kind}


class SiLU(Activation):
    """f(x) = x / (1 + exp(-x)), also called swish.

    Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", 2018; Ramachandran, Zoph and Le, "Searching for
    activation functions", 2017; PyTorch's SiLU.
    """

    kind = "silu"
    rectifies = True
    reads_output, reads_input = False, True


class Mish(Activation):
    """f(x) = x tanh(log(1 + exp(x))).

    Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020; PyTorch's and
    ONNX's Mish.
    """

    kind = "mish"
    rectifies = True
    reads_output, reads_input = False, True


class HardSwish(Activation):
    """f(x) = x HardSigmoid(x), f'(-3) = 0 and f'(3) = 1.

    Howard et al., "Searching for MobileNetV3", ICCV 2019; PyTorch's and ONNX's HardSwish. At -3
    and 3, which PyTorch's definition counts to the outside, the slopes are those there, as in its
    pull request 148049; earlier it had -0.5 and 1.5.
    """

    kind = "hard_swish"
    rectifies = True
    reads_output, reads_input = False, True


class Identity(Activation):
    """f(x) = x."""

    kind = "identity"


ACTIVATIONS = (
    ReLU,
    LeakyReLU,
    Sigmoid,
    Tanh,
    ScaledTanh,
    Softplus,
    ReLU6,
    ELU,
    SELU,
    HardSigmoid,
    Softsign,
    GELU,
    SiLU,
    Mish,
    HardSwish,
    Identity,
)
