"""The engine's own exp, log, tanh and their kin, against wider arithmetic."""

import numpy as np
import pytest

from convprop import ops
from convprop.machine.native import engine

WIDER = {np.float32: np.float64, np.float64: np.longdouble}


def softplus(x):
    return engine.activation_forward(x, "activation activation=softplus")


def wide_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def wide_softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


# name: (function, the same in wider arithmetic, bound in units in the last place as promised
# in kernels/machine/lane_math.h, where its results are normal numbers in float32)
FUNCTIONS = {
    "exp": (engine.exp, np.exp, 2, (-87.0, 88.5)),
    "log": (engine.log, np.log, 2, (1e-37, 1e38)),
    "tanh": (engine.tanh, np.tanh, 5, (-30.0, 30.0)),
    "sigmoid": (engine.sigmoid, wide_sigmoid, 5, (-87.0, 87.0)),
    "softplus": (softplus, wide_softplus, 5, (-87.0, 87.0)),
}


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
