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
    "leaky_relu",
    "leaky_relu_derivative",
    "relu",
    "relu_derivative",
    "scaled_tanh",
    "scaled_tanh_derivative",
    "sigmoid",
    "sigmoid_derivative",
    "softplus",
    "tanh_derivative",
]


def activation(x: Array, kind: str = "relu", slope: float = 0.01) -> Array:
    """Eq. 8: apply f to every element; slope is the leaky ReLU's below zero."""
    f: Array = ACTIVATIONS[kind].f(x, *_settings(kind, slope))
    return f


def activation_derivative(x: Array, kind: str = "relu", slope: float = 0.01) -> Array:
    """f'(x) of every element; at the corner of a ReLU, x = 0, the derivative from below."""
    f: Array = ACTIVATIONS[kind].derivative(x, *_settings(kind, slope))
    return f


def _settings(kind: str, slope: float) -> tuple[float, ...]:
    return (slope,) if ACTIVATIONS[kind].has_slope else ()


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


class Activation(NamedTuple):
    """An activation: f, f', f(x) in LaTeX, and whether a slope is a setting of both."""

    f: Callable[..., Array]
    derivative: Callable[..., Array]
    latex: str
    has_slope: bool = False


ACTIVATIONS = {
    "relu": Activation(relu, relu_derivative, r"\max(0, x)"),
    "leaky_relu": Activation(
        leaky_relu, leaky_relu_derivative, r"\max(0, x) + a \min(0, x)", has_slope=True
    ),
    "sigmoid": Activation(sigmoid, sigmoid_derivative, r"\frac{1}{1 + e^{-x}}"),
    "tanh": Activation(tanh, tanh_derivative, r"\tanh x"),
    "scaled_tanh": Activation(scaled_tanh, scaled_tanh_derivative, r"1.7159 \tanh \frac{2 x}{3}"),
    "softplus": Activation(softplus, sigmoid, r"\log (1 + e^x)"),
    "identity": Activation(identity, np.ones_like, "x"),
}
KINDS = tuple(ACTIVATIONS)
"""The names of the activations."""
