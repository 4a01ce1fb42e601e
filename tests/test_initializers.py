"""Initialisers: distributions, exact streams, and the quantiles they are made from."""

import hashlib
import math

import numpy as np
import pytest
from scipy import special, stats

import convprop as cp
from convprop import initializers
from convprop.errors import InvalidInput
from refusal import refuses

SHAPE = (64, 32, 5, 5)
FAN_IN, FAN_OUT = 32 * 25, 64 * 25

VARIANCES = {
    initializers.GlorotUniform(): 2 / (FAN_IN + FAN_OUT),
    initializers.GlorotNormal(): 2 / (FAN_IN + FAN_OUT),
    initializers.HeUniform(): 2 / FAN_IN,
    initializers.HeNormal(): 2 / FAN_IN,
    initializers.LeCunUniform(): 1 / FAN_IN,
    initializers.LeCunNormal(): 1 / FAN_IN,
}


def test_quantiles_are_those_of_the_normal_distribution():
    tiny = np.geomspace(2.0**-53, 0.1, 5001)
    p = np.concatenate([tiny, np.linspace(0.001, 0.999, 5001), 1 - tiny])
    wanted = special.ndtri(p)
    found = initializers.normal_quantile(p)
    np.testing.assert_allclose(found, wanted, rtol=5e-15, atol=5e-15)
    assert initializers.normal_quantile(np.array([0.5])).tolist() == [0.0]


def test_uniform_numbers_lie_strictly_inside():
    drawn = initializers.uniform(1, 2, 100_000)
    assert 0 < drawn.min() < 1e-4
    assert 1 - 1e-4 < drawn.max() < 1
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("initializer", VARIANCES, ids=repr)
def test_distribution(initializer):
    values = initializer.values(SHAPE, seed=5, index=0).ravel()
    deviation = math.sqrt(VARIANCES[initializer])
    if initializer.distribution == "uniform":
        span = math.sqrt(3) * deviation
        wanted = stats.uniform(-span, 2 * span)
        assert abs(values).max() < span
    else:
        wanted = stats.norm(scale=deviation)
    assert stats.kstest(values, wanted.cdf).pvalue > 1e-3


def test_dense_fans():
    values = initializers.HeNormal().values((300, 200), 0, 0)
    assert values.std() == pytest.approx(math.sqrt(2 / 200), rel=0.02)


def test_constant_and_zeros():
    assert initializers.Constant(0.5).values((2, 2), 0, 0).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert not initializers.Zeros().values((2, 2), 0, 0).any()
    with refuses(InvalidInput, "value must be a finite number, got inf"):
        initializers.Constant(math.inf)


def test_streams_depend_on_seed_and_place_alone():
    he = initializers.HeNormal()
    first = he.values((4, 3), seed=1, index=2)
    assert np.array_equal(first, he.values((4, 3), seed=1, index=2))
    assert np.array_equal(first.ravel()[:6] * 1.0, he.values((2, 3), seed=1, index=2).ravel())
    assert not np.array_equal(first, he.values((4, 3), seed=2, index=2))
    assert not np.array_equal(first, he.values((4, 3), seed=1, index=3))


@pytest.mark.parametrize(
    ("layer", "initializer"),
    [
        *((layer, initializers.HeUniform()) for layer in (
            cp.ReLU6(), cp.ELU(), cp.GELU(), cp.SiLU(), cp.Mish(), cp.HardSwish(), cp.PReLU())),
        *((layer, initializers.GlorotUniform()) for layer in (
            cp.HardSigmoid(), cp.Softsign(), cp.Softmax())),
        (cp.SELU(), initializers.LeCunUniform()),
    ],
    ids=repr,
)  # fmt: skip
def test_the_activation_behind_them_decides_how_weights_begin(layer, initializer):
    net = cp.Network([cp.Conv(4, 3), cp.MaxPool(2), layer, cp.Dense(2)], (2, 8, 8), dtype="float64")
    assert np.array_equal(net.parameters["conv1.weight"], initializer.values((4, 2, 3, 3), 0, 0))


def test_network_takes_he_before_a_relu_and_glorot_elsewhere():
    net = cp.Network(
        [cp.Conv(4, 3), cp.MaxPool(2), cp.ReLU(), cp.Conv(4, 3), cp.Tanh(), cp.Dense(2)],
        (1, 12, 12),
        seed=9,
        dtype="float64",
    )
    wanted = {
        "conv1.weight": initializers.HeUniform().values((4, 1, 3, 3), 9, 0),
        "conv2.weight": initializers.GlorotUniform().values((4, 4, 3, 3), 9, 2),
        "dense1.weight": initializers.GlorotUniform().values((2, 36), 9, 4),
    }
    for name, values in wanted.items():
        assert np.array_equal(net.parameters[name], values)
    assert not net.parameters["conv1.bias"].any()


def test_network_takes_a_layers_own_initializer():
    layers = [cp.Conv(4, 3, initializer=initializers.Zeros()), cp.ReLU(), cp.Dense(2)]
    net = cp.Network(layers, (1, 8, 8))
    assert not net.parameters["conv1.weight"].any()
    assert net.parameters["dense1.weight"].any()


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "one", True])
def test_network_refuses_a_seed(seed):
    with refuses(InvalidInput, f"seed must be an integer in 0..2**64 - 1, got {seed!r}"):
        cp.Network([cp.Dense(2)], (1, 2, 2), seed=seed)


def test_known_weights():
    """The bits themselves, which no machine, thread or later version may change."""
    values = {
        "uniform": initializers.HeUniform().values((64, 64), seed=0, index=0),
        "normal": initializers.HeNormal().values((64, 64), seed=0, index=0),
    }
    hashes = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in values.items()}
    assert hashes == {
        "uniform": "9645947b9d2d59d03a07ac6416c0e3fffffdd4120c1b98400c774965bdd37f0e",
        "normal": "9bb5c26124c77abb1f68bf41fba52e58327cee50d561375e5810838614db3e97",
    }
