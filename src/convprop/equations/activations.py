"""Eq. 8: o = f(x), and the derivatives f'(x) that Eq. 19 needs.

Complex-safe: a branch looks at the real part, and nothing takes an absolute value or a
conjugate, so a complex step of x carries the derivative through every f.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from convprop.equations.arrays import Array

__all__ = [
    "KINDS",
    "activation_derivative",
    "elu",
    "elu_derivative",
    "gelu",
    "gelu_derivative",
    "gelu_tanh",
    "gelu_tanh_derivative",
    "hard_sigmoid",
    "hard_sigmoid_derivative",
    "hard_swish",
    "hard_swish_derivative",
    "leaky_relu",
    "leaky_relu_derivative",
    "mish",
    "mish_derivative",
    "relu",
    "relu6",
    "relu6_derivative",
    "relu_derivative",
    "scaled_tanh",
    "scaled_tanh_derivative",
    "selu",
    "selu_derivative",
    "sigmoid",
    "sigmoid_derivative",
    "silu",
    "silu_derivative",
    "softplus",
    "softsign",
    "softsign_derivative",
    "standard_normal",
    "tanh_derivative",
]


def activation(x: Array, kind: str = "relu", slope: float = 0.01, alpha: float = 1.0) -> Array:
    """Eq. 8: apply f to every element; slope is the leaky ReLU's below zero, alpha the ELU's."""
    f: Array = ACTIVATIONS[kind].f(x, **_settings(kind, slope=slope, alpha=alpha))
    return f


def activation_derivative(
    x: Array, kind: str = "relu", slope: float = 0.01, alpha: float = 1.0
) -> Array:
    """f'(x) of every element; where f has a corner, what each says: of a ReLU that from below."""
    f: Array = ACTIVATIONS[kind].derivative(x, **_settings(kind, slope=slope, alpha=alpha))
    return f


def _settings(kind: str, **given: float) -> dict[str, float]:
    """Return those of the given settings that the activation has."""
    return {name: given[name] for name in ACTIVATIONS[kind].settings}


def relu(x: Array) -> Array:
    """f(x) = max(0, x)."""
    return np.where(x.real > 0, x, np.zeros_like(x))


def relu_derivative(x: Array) -> Array:
    """f'(x) = 1 above 0, else 0."""
    return np.where(x.real > 0, np.ones_like(x), np.zeros_like(x))


def leaky_relu(x: Array, slope: float = 0.01) -> Array:
    """f(x) = x above 0, else slope x."""
    return np.where(x.real > 0, x, slope * x)


def leaky_relu_derivative(x: Array, slope: float = 0.01) -> Array:
    """f'(x) = 1 above 0, else slope."""
    return np.where(x.real > 0, np.ones_like(x), np.full_like(x, slope))


def sigmoid(x: Array) -> Array:
    """f(x) = 1 / (1 + e^-x) = e^x / (1 + e^x); of the two, the one that cannot overflow.

    It is also the softplus's derivative.
    """
    power: Array = np.exp(np.where(x.real > 0, -x, x))
    return np.where(x.real > 0, np.ones_like(x), power) / (1 + power)


def sigmoid_derivative(x: Array) -> Array:
    """f'(x) = f(x) (1 - f(x)), with 1 - f(x) = f(-x)."""
    return sigmoid(x) * sigmoid(-x)


def tanh(x: Array) -> Array:
    """f(x) = tanh(x)."""
    f: Array = np.tanh(x)
    return f


def tanh_derivative(x: Array) -> Array:
    """f'(x) = 1 - tanh(x)^2."""
    return (1 - tanh(x)) * (1 + tanh(x))


def scaled_tanh(x: Array) -> Array:
    """f(x) = 1.7159 tanh(2x/3), made so that f(1) = 1 and f(-1) = -1 (LeCun 1989)."""
    return 1.7159 * tanh(2 * x / 3)


def scaled_tanh_derivative(x: Array) -> Array:
    """f'(x) = 1.7159 (2/3) (1 - tanh(2x/3)^2)."""
    return 1.7159 * 2 / 3 * tanh_derivative(2 * x / 3)


def softplus(x: Array) -> Array:
    """f(x) = log(1 + e^x) = max(0, x) + log(1 + e^-|x|)."""
    return relu(x) + np.log1p(np.exp(np.where(x.real > 0, -x, x)))


def identity(x: Array) -> Array:
    """f(x) = x."""
    return x.copy()


def relu6(x: Array) -> Array:
    """f(x) = min(max(x, 0), 6): Krizhevsky, 2010."""
    return np.where(x.real < 6, relu(x), np.full_like(x, 6))


def relu6_derivative(x: Array) -> Array:
    """f'(x) = 1 between 0 and 6, else 0, at both corners, too."""
    return np.where((x.real > 0) & (x.real < 6), np.ones_like(x), np.zeros_like(x))


def elu(x: Array, alpha: float = 1.0) -> Array:
    """f(x) = x above 0, else alpha (e^x - 1): Clevert, Unterthiner and Hochreiter, 2016."""
    return np.where(x.real > 0, x, alpha * np.expm1(_below_zero(x)))


def elu_derivative(x: Array, alpha: float = 1.0) -> Array:
    """f'(x) = 1 above 0, else alpha e^x."""
    return np.where(x.real > 0, np.ones_like(x), alpha * np.exp(_below_zero(x)))


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848
"""With them a normal x of mean 0 and variance 1 gives such an f(x): Klambauer et al., 2017."""


def selu(x: Array) -> Array:
    """f(x) = 1.0507 x above 0, else 1.0507 1.6733 (e^x - 1): Klambauer et al., 2017."""
    return SELU_SCALE * elu(x, SELU_ALPHA)


def selu_derivative(x: Array) -> Array:
    """f'(x) = 1.0507 above 0, else 1.0507 1.6733 e^x."""
    return SELU_SCALE * elu_derivative(x, SELU_ALPHA)


def hard_sigmoid(x: Array) -> Array:
    """f(x) = x / 6 + 1/2, but not below 0 and not above 1: Howard et al., 2019."""
    return relu6(x + 3) / 6


def hard_sigmoid_derivative(x: Array) -> Array:
    """f'(x) = 1/6 between -3 and 3, else 0, at both corners, too."""
    return np.where((x.real > -3) & (x.real < 3), np.full_like(x, 1 / 6), np.zeros_like(x))


def hard_swish(x: Array) -> Array:
    """f(x) = x hard_sigmoid(x): Howard et al., "Searching for MobileNetV3", 2019."""
    return x * hard_sigmoid(x)


def hard_swish_derivative(x: Array) -> Array:
    """f'(x) = x / 3 + 1/2 between -3 and 3; 0 below and 1 above, as at the corners."""
    outside = np.where(x.real > 0, np.ones_like(x), np.zeros_like(x))
    return np.where((x.real > -3) & (x.real < 3), x / 3 + 0.5, outside)


def softsign(x: Array) -> Array:
    """f(x) = x / (1 + |x|): Turian, Bergstra and Bengio, 2009."""
    f: Array = x / (1 + _size(x))
    return f


def softsign_derivative(x: Array) -> Array:
    """f'(x) = 1 / (1 + |x|)^2."""
    root: Array = 1 / (1 + _size(x))
    return root * root


def standard_normal(x: Array) -> Array:
    """The part of the standard normal distribution below x.

    Up to 1 from 0 it is 1/2 + d (x + x^3/3 + x^5/(3 5) + ...), d being the density at x; beyond,
    the tail is Laplace's continued fraction d / (z + 1/(z + 2/(z + ...))) with z = |x|.
    """
    density, z = normal_density(x), _size(_bounded(x, 40))
    near = np.where(z.real < 1, x, np.zeros_like(x))
    term, series = near, near
    for odd in range(3, 41, 2):
        term = term * near * near / odd
        series = series + term
    far = np.where(z.real < 1, np.ones_like(x), z)
    fraction = far
    for n in range(500, 0, -1):
        fraction = far + n / fraction
    tail = density / fraction
    beyond = np.where(x.real > 0, 1 - tail, tail)
    return np.where(z.real < 1, 0.5 + density * series, beyond)


def normal_density(x: Array) -> Array:
    """Return e^(-x^2/2) / sqrt(2 pi)."""
    near = _bounded(x, 40)
    density: Array = np.exp(-near * near / 2) / float(np.sqrt(2 * np.pi))
    return density


def gelu(x: Array) -> Array:
    """f(x) = x Phi(x), Phi being the standard normal distribution: Hendrycks and Gimpel, 2016."""
    return x * standard_normal(x)


def gelu_derivative(x: Array) -> Array:
    """f'(x) = Phi(x) + x Phi'(x)."""
    return standard_normal(x) + x * normal_density(x)


def gelu_tanh(x: Array) -> Array:
    """f(x) = x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3): Hendrycks and Gimpel, 2016.

    Written as x sigmoid(2u), which loses nothing where tanh(u) is nearly -1.
    """
    return x * sigmoid(_tanh_argument(x))


def gelu_tanh_derivative(x: Array) -> Array:
    """f'(x) = s + x s (1 - s) 2u', s = sigmoid(2u) and u' = sqrt(2/pi) (1 + 3 0.044715 x^2)."""
    near = _bounded(x, 100)
    slope = float(np.sqrt(8 / np.pi)) * (1 + 3 * 0.044715 * near * near)
    return sigmoid(_tanh_argument(x)) + near * sigmoid_derivative(_tanh_argument(x)) * slope


def _tanh_argument(x: Array) -> Array:
    near = _bounded(x, 100)
    argument: Array = float(np.sqrt(8 / np.pi)) * (near + 0.044715 * near * near * near)
    return argument


def silu(x: Array) -> Array:
    """f(x) = x sigmoid(x): Elfwing, Uchibe and Doya, 2018; Ramachandran et al.'s swish, 2017."""
    return x * sigmoid(x)


def silu_derivative(x: Array) -> Array:
    """f'(x) = s (1 + x (1 - s)), s = sigmoid(x)."""
    return sigmoid(x) * (1 + x * sigmoid(-x))


def mish(x: Array) -> Array:
    """f(x) = x tanh(log(1 + e^x)): Misra, 2019."""
    return x * tanh(softplus(x))


def mish_derivative(x: Array) -> Array:
    """f'(x) = t + x (1 - t^2) sigmoid(x), t = tanh(log(1 + e^x))."""
    return tanh(softplus(x)) + x * tanh_derivative(softplus(x)) * sigmoid(x)


def _size(x: Array) -> Array:
    """Return |x|, by the real part."""
    return np.where(x.real > 0, x, -x)


def _below_zero(x: Array) -> Array:
    """Return min(x, 0), by the real part."""
    return np.where(x.real > 0, np.zeros_like(x), x)


def _bounded(x: Array, limit: float) -> Array:
    """Return x no farther from 0 than a limit, past which nothing changes."""
    below = np.where(x.real > limit, np.full_like(x, limit), x)
    return np.where(x.real < -limit, np.full_like(x, -limit), below)


class Activation(NamedTuple):
    """An activation: f, f', f(x) in LaTeX, and the names of the settings of both."""

    f: Callable[..., Array]
    derivative: Callable[..., Array]
    latex: str
    settings: tuple[str, ...] = ()


ACTIVATIONS = {
    "relu": Activation(relu, relu_derivative, r"\max(0, x)"),
    "leaky_relu": Activation(
        leaky_relu, leaky_relu_derivative, r"\max(0, x) + a \min(0, x)", ("slope",)
    ),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, r"\frac{1}{1 + e^{-x}}"),
    "tanh": Activation(tanh, tanh_derivative, r"\tanh x"),
    "scaled_tanh": Activation(scaled_tanh, scaled_tanh_derivative, r"1.7159 \tanh \frac{2 x}{3}"),
    "softplus": Activation(softplus, sigmoid, r"\log (1 + e^x)"),
    "relu6": Activation(relu6, relu6_derivative, r"\min(\max(0, x), 6)"),
    "elu": Activation(elu, elu_derivative, r"\max(0, x) + \alpha (e^{\min(0, x)} - 1)", ("alpha",)),
    "selu": Activation(selu, selu_derivative, r"1.0507 \max(0, x) + 1.7581 (e^{\min(0, x)} - 1)"),
    "hard_sigmoid": Activation(
        hard_sigmoid, hard_sigmoid_derivative, r"\min(\max(0, \frac{x + 3}{6}), 1)"
    ),
    "softsign": Activation(softsign, softsign_derivative, r"\frac{x}{1 + |x|}"),
    "gelu": Activation(gelu, gelu_derivative, r"x \, \Phi(x)"),
    "gelu_tanh": Activation(
        gelu_tanh,
        gelu_tanh_derivative,
        r"\frac{x}{2} (1 + \tanh(\sqrt{\frac{2}{\pi}} (x + 0.044715 \, x^3)))",
    ),
    "silu": Activation(silu, silu_derivative, r"\frac{x}{1 + e^{-x}}"),
    "mish": Activation(mish, mish_derivative, r"x \tanh(\log (1 + e^x))"),
    "hard_swish": Activation(
        hard_swish, hard_swish_derivative, r"x \min(\max(0, \frac{x + 3}{6}), 1)"
    ),
    "identity": Activation(identity, np.ones_like, "x"),
}
KINDS = tuple(ACTIVATIONS)
"""The names of the activations."""
