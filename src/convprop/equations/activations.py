"""Eq. 8: o = f(x), and the derivatives f'(x) that Eq. 19 needs.

Complex-safe: a branch looks at the real part, and nothing takes an absolute value or a
conjugate, so a complex step of x carries the derivative through every f.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convprop.equations.arrays import Array


def activation(x: Array, kind: str = "relu", slope: float = 0.01) -> Array:
    """Eq. 8: apply f to every element; slope is the leaky ReLU's below zero."""
    return leaky_relu(x, slope) if kind == "leaky_relu" else _FUNCTIONS[kind](x)


def activation_derivative(x: Array, kind: str = "relu", slope: float = 0.01) -> Array:
    """f'(x) of every element; at the corner of a ReLU, x = 0, the derivative from below."""
    return leaky_relu_derivative(x, slope) if kind == "leaky_relu" else _DERIVATIVES[kind](x)


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


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "relu": relu,
    "leaky_relu": leaky_relu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "scaled_tanh": scaled_tanh,
    "softplus": softplus,
    "identity": identity,
}
_DERIVATIVES: dict[str, Callable[[Array], Array]] = {
    "relu": relu_derivative,
    "leaky_relu": leaky_relu_derivative,
    "sigmoid": sigmoid_derivative,
    "tanh": tanh_derivative,
    "scaled_tanh": scaled_tanh_derivative,
    "softplus": sigmoid,
    "identity": np.ones_like,
}
KINDS = tuple(_FUNCTIONS)
