"""The checks pass where all is well, fail where it is not, and say by how much."""

from __future__ import annotations

import math
import re
import time

import numpy as np
import pytest

import convprop as cp
from convprop import check, ops
from convprop.check.rows import Row, difference, worst


@pytest.fixture(scope="module")
def machine_rows() -> list[Row]:
    started = time.perf_counter()
    rows = check.check_machine()
    assert time.perf_counter() - started < 10
    return rows


def test_this_machine_passes(machine_rows: list[Row]):
    assert [row for row in machine_rows if not row.passed] == []
    assert len({(row.group, row.name) for row in machine_rows}) == len(machine_rows)
    assert [*dict.fromkeys(row.group for row in machine_rows)] == [
        "equations that must agree",
        "closed forms and complex steps",
        "engine and equations, float64",
        "engine and equations, float32",
    ]


def test_bounds_are_the_promised_ones(machine_rows: list[Row]):
    for row in machine_rows:
        if row.group in ("equations that must agree", "closed forms and complex steps"):
            assert row.bound == 1e-14
        elif row.group.endswith("float64"):
            assert row.bound == 1e-12
        else:
            assert row.bound < 1e-4


@pytest.mark.parametrize("number", [*range(1, 8), *range(10, 15), *range(16, 23)])
def test_every_equation_is_compared(number: int, machine_rows: list[Row]):
    assert any(re.search(rf"Eq\. {number}\b", row.name) for row in machine_rows)


NETWORKS = {
    "small": (
        [cp.Conv(3, 3, padding=1), cp.Tanh(), cp.MaxPool(2), cp.Dense(4)],
        (2, 6, 6),
        cp.SoftmaxCrossEntropy(),
    ),
    "everything": (
        [
            cp.Conv(4, (3, 2), stride=(1, 2), padding=(1, 0, 2, 1), padding_value=0.5),
            cp.LeakyReLU(0.1),
            cp.AveragePool(3, 2, padding=1, count_padding=False),
            cp.Conv(6, 3, padding="same", groups=2, dilation=2, flip_kernel=True, bias=False),
            cp.Softplus(),
            cp.L2Pool(2),
            cp.Flatten(),
            cp.Dropout(0.5),
            cp.Dense(5, bias=False),
            cp.ScaledTanh(),
            cp.Dense(3),
            cp.Sigmoid(),
        ],
        (3, 12, 13),
        cp.SquaredError(reduction="sum"),
    ),
    "one-output": (
        [cp.Conv(2, 2), cp.ReLU(), cp.MaxPool("global"), cp.Dense(1)],
        (1, 5, 5),
        cp.BinaryCrossEntropy(),
    ),
    "convolution-before-dense": (
        [cp.Conv(4, 3, padding=1), cp.ReLU(), cp.Conv(3, 3), cp.ReLU(), cp.Dense(5)],
        (2, 7, 6),
        cp.SoftmaxCrossEntropy(),
    ),
    "activation-behind-flatten": (
        [cp.MaxPool(2), cp.Flatten(), cp.Tanh(), cp.Dense(3)],
        (2, 4, 6),
        cp.SoftmaxCrossEntropy(),
    ),
    "activations of today": (
        [
            *(cp.Conv(4, 3, padding=1), cp.GELU(), cp.Conv(4, 3), cp.GELU("tanh"), cp.MaxPool(2)),
            *(cp.Conv(5, 2), cp.SiLU(), cp.Conv(4, 1), cp.Mish(), cp.Conv(4, 2), cp.HardSwish()),
            *(cp.Conv(3, 1), cp.ReLU6(), cp.Dense(6), cp.ELU(0.5), cp.Dense(6), cp.SELU()),
            *(cp.Dense(5), cp.HardSigmoid(), cp.Dense(4), cp.Softsign(), cp.Dense(3)),
        ],
        (2, 9, 8),
        cp.SoftmaxCrossEntropy(),
    ),
    "slopes and shares": (
        [
            *(cp.Conv(4, 3), cp.PReLU(by_channel=True), cp.Softmax(), cp.Conv(3, 2), cp.PReLU()),
            *(cp.Flatten(), cp.PReLU(by_channel=True), cp.Dropout(0.5), cp.Softmax(), cp.Dense(5)),
            *(cp.PReLU(), cp.Dense(4), cp.PReLU(by_channel=True), cp.Dense(3)),
        ],
        (2, 7, 6),
        cp.SoftmaxCrossEntropy(),
    ),
    "convolutions-only": (
        [cp.Conv(3, 3), cp.Identity(), cp.Conv(2, 3)],
        (1, 5, 5),
        cp.SoftmaxCrossEntropy(),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_pass(name: str, dtype: str):
    layers, shape, loss = NETWORKS[name]
    net = cp.Network(layers, shape, loss, seed=3, dtype=dtype)
    net.normalisation = np.arange(shape[0]) / 4, np.full(shape[0], 2.0)
    before = net.weights_sha256()
    rows = check.check_network(net)
    assert [row for row in rows if not row.passed] == []
    named = {row.name for row in rows}
    for parameter in net.parameters:
        layer, part = parameter.split(".")
        assert f"{layer}: {part} gradient" in named
        assert f"{layer}: {part}_gradient" in named
    assert net.weights_sha256() == before


def test_a_wrong_engine_is_found(monkeypatch: pytest.MonkeyPatch):
    """One weight gradient off by a hundredth of a percent, in one corner."""
    right = ops.conv.weight_gradient

    def wrong(*arrays: np.ndarray, **options: object) -> np.ndarray:
        gradient = right(*arrays, **options)
        gradient[0, 0, 0, 0] *= 1 + 1e-4
        return gradient

    monkeypatch.setattr(ops.conv, "weight_gradient", wrong)
    failed = {(row.group, row.name) for row in check.check_engine() if not row.passed}
    assert failed == {
        ("engine and equations, float64", "conv: weight_gradient"),
        ("engine and equations, float32", "conv: weight_gradient"),
    }


def test_a_wrong_network_is_found(monkeypatch: pytest.MonkeyPatch):
    layers, shape, loss = NETWORKS["small"]
    net = cp.Network(layers, shape, loss, dtype="float64")
    right = cp.Network.backpropagate

    def wrong(self: cp.Network, *given: object) -> object:
        found = right(self, *given)
        found.gradients["dense1.bias"][1] += 1e-6
        return found

    monkeypatch.setattr(cp.Network, "backpropagate", wrong)
    failed = {row.name for row in check.check_network(net) if not row.passed}
    assert failed == {
        "dense1: bias gradient",
        "dense1: bias_gradient",
        "training: dense1.bias",
    }


def test_difference():
    assert difference([1.0, 2.0], [1.0, 2.0]) == 0
    assert difference([1.0, 2.5], [1.0, 2.0]) == 0.25
    assert difference([1e-3], [0.0]) == 1e-3
    assert difference([1.0], [1.0, 1.0]) == math.inf
    assert math.isnan(difference([math.nan], [1.0]))


def test_rows_keep_the_worst():
    rows = [Row("g", "n", 1e-7, 1e-6), Row("g", "n", 2e-7, 1e-5), Row("g", "m", 0.0, 0.0)]
    assert worst(rows) == [rows[0], rows[2]]
    lost = Row("g", "n", math.nan, 1e-6)
    assert not lost.passed
    assert worst([*rows, lost])[0] is lost
    assert not Row("g", "n", 1e-9, 0.0).passed
