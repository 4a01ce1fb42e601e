"""Initialisers: a parameter's first values, from the engine's random bits.

Every value comes from counter-based bits by additions, multiplications, divisions, square
roots and the engine's logarithm, each of which rounds alike everywhere: the same seed gives
the same weights on every machine. The bits of a parameter are keyed by the network's seed
and the parameter's place in it, so one layer's weights do not depend on another's shape.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from convprop.checks import number
from convprop.described import Described, table
from convprop.machine.native import engine

INITIALISE_STREAM = 0x494E4954 << 32
"""The engine's random stream of a network's parameter 0; parameter p has the p-th after it."""

Floats = NDArray[np.float64]


def uniform(seed: int, stream: int, count: int) -> Floats:
    """Return ``count`` numbers (k + 1/2) 2^-52 with k uniform in 0 .. 2^52 - 1.

    All are exact, strictly between 0 and 1, and symmetric about 1/2.
    """
    bits = engine.random_bits(seed, stream, count) >> np.uint64(12)
    return (bits.astype(np.float64) + 0.5) * 2.0**-52


def normal_quantile(p: Floats) -> Floats:
    """Return the standard normal quantiles of probabilities 0 < p < 1.

    Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied
    Statistics 37, 1988: three rational approximations of degree 7, relative error 1e-16.
    """
    q = p - 0.5
    tail = np.minimum(p, 1.0 - p)
    # The central form wants 0.425^2 - q^2 >= 0 and the two tails want tail < 0.075: each is
    # evaluated everywhere, on arguments moved into its range where it is not the one chosen.
    centre = np.maximum(0.180625 - q * q, 0.0)
    r = np.sqrt(-engine.log(np.minimum(tail, 0.075)))
    near = np.minimum(r, 5.0) - 1.6
    far = np.maximum(r, 5.0) - 5.0
    outer = np.where(r <= 5.0, _ratio(_NEAR, near), _ratio(_FAR, far))
    return np.where(
        np.abs(q) <= 0.425, q * _ratio(_CENTRE, centre), np.where(q < 0.0, -outer, outer)
    )


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], r: Floats) -> Floats:
    """Return numerator(r) / denominator(r), coefficients from the constant term up."""
    numerator, denominator = (np.full_like(r, terms[-1]) for terms in coefficients)
    for a, b in zip(coefficients[0][-2::-1], coefficients[1][-2::-1], strict=True):
        numerator = numerator * r + a
        denominator = denominator * r + b
    return numerator / denominator


# AS 241's PPND16: numerator and denominator for |q| <= 0.425, for r <= 5 and for r > 5.
_CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_NEAR = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


class Initializer(Described, ABC):
    """Base of the initialisers."""

    @abstractmethod
    def values(self, shape: tuple[int, ...], seed: int, index: int) -> Floats:
        """Return float64 weights of ``shape`` (K, C, k1, k2) or (K, F).

        ``seed`` and ``index``, the parameter's place in its network, choose the bits.
        """


@dataclass(frozen=True, repr=False)
class Constant(Initializer):
    """Every weight ``value``, a finite number."""

    kind = "constant"

    value: float

    def __post_init__(self) -> None:
        lowest = -sys.float_info.max
        self._set(value=number("value", self.value, "be a finite number", lowest))

    def values(self, shape: tuple[int, ...], seed: int, index: int) -> Floats:
        """Return the constant, in the shape."""
        return np.full(shape, self.value)


@dataclass(frozen=True, repr=False)
class Zeros(Initializer):
    """Every weight 0."""

    kind = "zeros"

    def values(self, shape: tuple[int, ...], seed: int, index: int) -> Floats:
        """Return zeros, in the shape."""
        return np.zeros(shape)


class _Scaled(Initializer):
    """Mean 0 and a variance that the numbers of a unit's inputs and outputs give.

    Fan-in is C k1 k2 (for a group's C) or F, fan-out K k1 k2 or K, as PyTorch counts them.
    """

    gain: ClassVar[float]
    fan: ClassVar[Literal["in", "average"]]
    distribution: ClassVar[Literal["uniform", "normal"]]

    def variance(self, shape: tuple[int, ...]) -> float:
        """Return the weights' variance: gain / fan."""
        area = math.prod(shape[2:])
        fan_in, fan_out = shape[1] * area, shape[0] * area
        return self.gain / (fan_in if self.fan == "in" else (fan_in + fan_out) / 2.0)

    def values(self, shape: tuple[int, ...], seed: int, index: int) -> Floats:
        """Return draws with mean 0 and the variance; a uniform one spans sqrt(3 variance)."""
        drawn = uniform(seed, INITIALISE_STREAM + index, math.prod(shape))
        variance = self.variance(shape)
        if self.distribution == "uniform":
            return ((2.0 * drawn - 1.0) * math.sqrt(3.0 * variance)).reshape(shape)
        return (normal_quantile(drawn) * math.sqrt(variance)).reshape(shape)


@dataclass(frozen=True, repr=False)
class GlorotUniform(_Scaled):
    """Uniform, variance 2 / (fan_in + fan_out).

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, Eq. 16.
    """

    kind = "glorot_uniform"
    gain, fan, distribution = 1.0, "average", "uniform"


@dataclass(frozen=True, repr=False)
class GlorotNormal(_Scaled):
    """Normal, variance 2 / (fan_in + fan_out): Glorot and Bengio 2010, Eq. 12."""

    kind = "glorot_normal"
    gain, fan, distribution = 1.0, "average", "normal"


@dataclass(frozen=True, repr=False)
class HeUniform(_Scaled):
    """Uniform, variance 2 / fan_in: He et al. 2015, as HeNormal."""

    kind = "he_uniform"
    gain, fan, distribution = 2.0, "in", "uniform"


@dataclass(frozen=True, repr=False)
class HeNormal(_Scaled):
    """Normal, variance 2 / fan_in.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers: surpassing human-level performance
    on ImageNet classification", ICCV 2015, Eq. 10.
    """

    kind = "he_normal"
    gain, fan, distribution = 2.0, "in", "normal"


@dataclass(frozen=True, repr=False)
class LeCunUniform(_Scaled):
    """Uniform, variance 1 / fan_in: LeCun et al. 1998, as LeCunNormal."""

    kind = "lecun_uniform"
    gain, fan, distribution = 1.0, "in", "uniform"


@dataclass(frozen=True, repr=False)
class LeCunNormal(_Scaled):
    """Normal, variance 1 / fan_in.

    LeCun, Bottou, Orr and Müller, "Efficient BackProp", Neural Networks: Tricks of the Trade,
    1998, Section 4.6, Eq. 16.
    """

    kind = "lecun_normal"
    gain, fan, distribution = 1.0, "in", "normal"


INITIALIZERS = table(
    Constant, Zeros, GlorotUniform, GlorotNormal, HeUniform, HeNormal, LeCunUniform, LeCunNormal
)
"""The initialisers that a model file may name."""
