"""Graphs drawn at random: predictions, gradients and bits, whoever reads what.

What goes wrong with graphs goes wrong between operations: values that several read, in their own
ways, are what no table of single operations has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convprop as cp
from convprop.errors import InvalidInput

SIDE, NODES = 6, 9
# What a node of one reader may be. Sizes stay, so that most joins fit; none is a winner's place,
# where a small step would change the winner.
PLAIN: tuple[Any, ...] = (
    cp.Conv(3, 3, padding=1),
    cp.Conv(2, 3, padding=1, algorithm="winograd"),
    cp.Conv(3, 3, padding=1, padding_value=0.5, groups=1),
    cp.Conv(2, 1),
    cp.Conv(3, 3, padding=2, dilation=2),
    cp.AveragePool(3, stride=1, padding=1),
    cp.L2Pool(2, stride=1, padding=(0, 1, 0, 1)),
    cp.AveragePool(2, stride=1, padding=(1, 1, 1, 0), dilation=(2, 1)),
    cp.AveragePool(3, stride=2, ceil_mode=True),
    cp.AveragePool("global"),
    cp.BatchNorm(),
    cp.BatchNorm(over=16),
    cp.BatchNorm(frozen=True),
    cp.ChannelShuffle(2),
    cp.StochasticDepth(0.4),
    cp.Softplus(),
    cp.Tanh(),
    cp.SiLU(),
    cp.PReLU(),
    cp.PReLU(by_channel=True, initial=-0.5),
    cp.Softmax(),
    cp.Dropout(0.4),
    cp.GroupNorm(1),
    cp.InstanceNorm(affine=False),
    cp.LayerNorm(),
    cp.LocalResponseNorm(3, alpha=0.5),
    cp.Identity(),
    cp.Flatten(),
    cp.Dense(4),
)
JOINS: tuple[Any, ...] = (cp.Add(), cp.Multiply(), cp.Concat())


def drawn(seed: int, dtype: str = "float32") -> cp.Network:
    """Return a network in which most values are read again; every leaf is added up at the end."""
    random = np.random.default_rng(seed)
    nodes: dict[str, tuple[Any, ...]] = {}

    def fits(entry: tuple[Any, ...]) -> bool:
        leaves = unread(nodes | {"next": entry})
        ends = {f"end{n}": (cp.Dense(3), leaf) for n, leaf in enumerate(leaves)}
        try:
            cp.Network(nodes | {"next": entry} | ends | summed(ends), (2, SIDE, SIDE))
        except InvalidInput:
            return False
        return True

    while len(nodes) < NODES:
        values = ["input", *nodes]
        reads = random.choice(values, 2).tolist()
        join = random.random() < 0.3
        kinds = JOINS if join else PLAIN
        layer = kinds[random.integers(len(kinds))]
        entry = (layer, *reads) if join else (layer, reads[0])
        if fits(entry):
            nodes[f"n{len(nodes)}"] = entry
    ends = {f"end{n}": (cp.Dense(3), leaf) for n, leaf in enumerate(unread(nodes))}
    return cp.Network(nodes | ends | summed(ends), (2, SIDE, SIDE), seed=seed, dtype=dtype)


def unread(nodes: dict[str, tuple[Any, ...]]) -> list[str]:
    read = {name for _, *reads in nodes.values() for name in reads}
    return [name for name in nodes if name not in read]


def summed(ends: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {"sum": (cp.Add(), *ends)} if len(ends) > 1 else {}


def images(count: int, dtype: str = "float32") -> np.ndarray:
    random = np.random.default_rng(count)
    return random.standard_normal((count, 2, SIDE, SIDE)).astype(dtype)


@pytest.fixture(autouse=True)
def _threads():
    before = cp.get_num_threads()
    yield
    cp.set_num_threads(before)


@pytest.mark.parametrize("seed", range(60))
def test_predictions_and_deltas_are_the_same_by_every_way(seed: int):
    for count in (1, 5, 20):
        found = []
        for threads in (1, 2, 3):
            cp.set_num_threads(threads)
            net = drawn(seed)
            bits = []
            for statistics in ("batch", "running"):
                done = net.backpropagate(images(count), np.arange(count) % 3, None, statistics)
                bits += [done.input_delta, *(went.delta for went in done.layers)]
                bits += list(done.gradients.values())
            np.testing.assert_array_equal(net.forward(images(count)), done.layers[-1].output)
            found.append([array.tobytes() for array in bits])
        assert found == [found[0]] * 3


@pytest.mark.parametrize("seed", range(60))
def test_weights_are_the_same_with_any_threads(seed: int):
    found = []
    for threads in (1, 2, 3):
        cp.set_num_threads(threads)
        net = drawn(seed)
        cp.train(net, images(20), np.arange(20) % 3, epochs=1, batch_size=9)
        found.append(net.weights_sha256())
    assert found == [found[0]] * 3


@pytest.mark.parametrize("seed", range(60))
def test_gradients_are_those_of_the_loss(seed: int):
    cp.set_num_threads(2)
    net, labels = drawn(seed, "float64"), np.arange(4) % 3
    done = net.backpropagate(images(4, "float64"), labels, statistics="running")
    random, step = np.random.default_rng(seed), 1e-6
    ways = {name: random.standard_normal(array.shape) for name, array in done.gradients.items()}
    expected = sum(np.vdot(done.gradients[name], way) for name, way in ways.items())
    losses = []
    for sign in (1.0, -1.0):
        other = drawn(seed, "float64")
        for name, way in ways.items():
            other.parameters[name] = net.parameters[name] + sign * step * way
        losses.append(other.evaluate(images(4, "float64"), labels).loss)
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(expected, rel=1e-4, abs=1e-7)
