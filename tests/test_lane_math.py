"""The engine's own exp, log, tanh and their kin, against wider arithmetic."""

import numpy as np
import pytest

from convprop import ops
from convprop.machine.native import engine

WIDER = {np.float32: np.float64, np.float64: np.longdouble}


def activation(name):
    """Return the engine's activation, an ELU's alpha being 1."""
    return lambda x: engine.activation_forward(x, f"activation activation={name} alpha=1")


def wide_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def wide_softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def wide_normal(x):
    """Return the standard normal distribution, d being its density.

    Up to 1 from 0 it is 1/2 + d (x + x^3/3 + x^5/(3 5) + ...), and beyond the tail is the continued
    fraction d / (z + 1/(z + 2/(z + ...))).
    """
    z = np.abs(x)
    density = np.exp(-z * z / 2) / np.sqrt(8 * np.arctan(np.ones_like(z)))
    near = np.minimum(z, 1)
    term = series = near
    for odd in range(3, 61, 2):
        term = term * near * near / odd
        series = series + term
    far = fraction = np.maximum(z, 1)
    for n in range(600, 0, -1):
        fraction = far + n / fraction
    tail = np.where(z < 1, 0.5 - density * series, density / fraction)
    return np.where(x > 0, 1 - tail, tail)


def wide_elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def wide_selu(x):
    kind = x.dtype.type
    scale, alpha = kind("1.0507009873554804934193"), kind("1.6732632423543772848170")
    return np.where(x > 0, scale * x, scale * alpha * np.expm1(np.minimum(x, 0)))


def wide_mish(x):
    power = np.exp(-np.abs(x))
    above = np.where(x > 0, 1 + 2 * power, power * (2 + power))
    return x * above / (above + np.where(x > 0, 2 * power * power, 2))


def wide_gelu_tanh(x):
    root = np.sqrt(2 / np.arctan(np.ones_like(x)))
    return x * wide_sigmoid(root * (x + x.dtype.type("0.044715") * x**3))


# name: (function, the same in wider arithmetic, bound in units in the last place as promised
# in kernels/machine/lane_math.h, where its results are normal numbers in float32)
FUNCTIONS = {
    "exp": (engine.exp, np.exp, 2, (-87.0, 88.5)),
    "log": (engine.log, np.log, 2, (1e-37, 1e38)),
    "tanh": (engine.tanh, np.tanh, 5, (-30.0, 30.0)),
    "sigmoid": (engine.sigmoid, wide_sigmoid, 5, (-87.0, 87.0)),
    "softplus": (activation("softplus"), wide_softplus, 5, (-87.0, 87.0)),
    "normal": (engine.normal, wide_normal, 6, (-12.9, 12.9)),
    # Activations, as their documentation says.
    "relu6": (activation("relu6"), lambda x: np.clip(x, 0, 6), 0, (-10.0, 10.0)),
    "elu": (activation("elu"), wide_elu, 2, (-87.0, 87.0)),
    "selu": (activation("selu"), wide_selu, 2, (-87.0, 87.0)),
    "hard_sigmoid": (
        activation("hard_sigmoid"), lambda x: np.clip((x + 3) / 6, 0, 1), 2, (-10.0, 10.0)
    ),
    "hard_swish": (
        activation("hard_swish"), lambda x: x * np.clip((x + 3) / 6, 0, 1), 3, (-10.0, 1e4)
    ),
    "softsign": (activation("softsign"), lambda x: x / (1 + np.abs(x)), 2, (-1e6, 1e6)),
    "gelu": (activation("gelu"), lambda x: x * wide_normal(x), 6, (-12.7, 1e4)),
    "silu": (activation("silu"), lambda x: x * wide_sigmoid(x), 3, (-87.0, 1e4)),
    "mish": (activation("mish"), wide_mish, 5, (-87.0, 1e4)),
    "gelu_tanh": (activation("gelu_tanh"), wide_gelu_tanh, 4, (-1.0, 1e4)),
}  # fmt: skip


def arguments(low, high, dtype):
    random = np.random.default_rng(0)
    spread = random.uniform(low, high, 200_000)
    near = random.choice([-1, 1], 200_000) * 10 ** random.uniform(-8, 2, 200_000)
    beside_one = 1 + random.uniform(-1e-3, 1e-3, 100_000)
    values = np.concatenate([spread, near, beside_one]).astype(dtype)
    return values[(values >= low) & (values <= high)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_is_within_the_stated_bound(name, dtype):
    function, wide, bound, (low, high) = FUNCTIONS[name]
    x = arguments(low, high, dtype)
    exact = wide(x.astype(WIDER[dtype]))
    unit = np.spacing(np.abs(exact).astype(dtype)).astype(WIDER[dtype])
    assert np.max(np.abs(function(x) - exact) / unit) <= bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tanh_form_of_gelu_has_more_rounding_the_nearer_it_is_to_0(dtype):
    """Its exponent v is rounded, and a unit of v makes |v| units of exp(v)."""
    x = arguments(-7.0, -1.0, dtype)
    wide = x.astype(WIDER[dtype])
    exact, v = wide_gelu_tanh(wide), np.abs(1.6 * wide + 0.0714 * wide**3)
    unit = np.spacing(np.abs(exact).astype(dtype)).astype(WIDER[dtype])
    got = engine.activation_forward(x, "activation activation=gelu_tanh")
    assert np.max(np.abs(got - exact) / unit / (5 + 2 * v)) <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_normal_distribution_has_both_its_ends(dtype):
    inf, nan, largest = np.inf, np.nan, np.finfo(dtype).max
    x = np.array([inf, -inf, nan, 1e4, -1e4, 0.0, largest, -largest, 40, -40], dtype)
    wanted = np.array([1, 0, nan, 1, 0, 0.5, 1, 0, 1, 0], dtype)
    np.testing.assert_array_equal(engine.normal(x), wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ends_of_the_range(dtype):
    inf, nan = np.inf, np.nan
    x = np.array([inf, -inf, nan, 1e4, -1e4, 0.0], dtype)
    np.testing.assert_array_equal(engine.exp(x), np.array([inf, 0, nan, inf, 0, 1], dtype))
    np.testing.assert_array_equal(engine.sigmoid(x), np.array([1, 0, nan, 1, 0, 0.5], dtype))
    np.testing.assert_array_equal(engine.tanh(x), np.array([1, -1, nan, 1, -1, 0], dtype))
    x = np.array([inf, -1.0, nan, 0.0, 1.0], dtype)
    np.testing.assert_array_equal(engine.log(x), np.array([inf, nan, nan, -inf, 0], dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_lane_computes_alone(dtype):
    x = np.linspace(-3, 3, 37).astype(dtype)
    alone = np.concatenate([engine.tanh(x[n : n + 1]) for n in range(len(x))])
    np.testing.assert_array_equal(engine.tanh(x), alone)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_numbers_are_zero_in_the_engine_and_nowhere_else(dtype):
    small = np.array([-10 * np.finfo(dtype).tiny], dtype)
    assert engine.activation_forward(small, "activation activation=leaky_relu slope=0.01")[0] == 0
    w = np.full((1, 1, 1, 1), 0.01, dtype)
    assert ops.conv.forward(small.reshape(1, 1, 1, 1), w).item() == 0
    assert small[0] * w.item() != 0


def test_random_bits_are_philox_4x32_10():
    # The known answer of the generator's authors for counter 0 and key 0.
    words = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    expected = [words[0] | words[1] << 32, words[2] | words[3] << 32]
    assert engine.random_bits(0, 0, 2).tolist() == expected


def test_random_bits_are_a_function_of_their_place():
    many = engine.random_bits(5, 7, 1000)
    for count in (1, 2, 31, 32, 33, 999):
        np.testing.assert_array_equal(engine.random_bits(5, 7, count), many[:count])
    assert len(set(many.tolist())) == 1000
    assert not np.array_equal(engine.random_bits(5, 8, 1000), many)
    assert not np.array_equal(engine.random_bits(6, 7, 1000), many)
