"""Update rules against the same formulas in NumPy, schedules, and what both refuse."""

import math

import numpy as np
import pytest

import convprop as cp
from convprop import schedules
from convprop.errors import InvalidInput
from convprop.optimizers import OPTIMIZERS
from refusal import refuses

STEPS = 6


def expected(optimizer: cp.SGD, weights: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
    """Return the weights after the gradients, by PyTorch's formulas (dampening 0)."""
    w = weights.copy()
    first, second = np.zeros_like(w), np.zeros_like(w)
    rate = optimizer.learning_rate
    for t, g in enumerate(gradients, start=1):
        if isinstance(optimizer, cp.AdamW):
            w = w - rate * optimizer.weight_decay * w
        else:
            g = g + optimizer.weight_decay * w
        if isinstance(optimizer, cp.SGD):
            first = optimizer.momentum * first + g
            w = w - rate * (g + optimizer.momentum * first if optimizer.nesterov else first)
        elif isinstance(optimizer, cp.Adam):
            first = optimizer.beta1 * first + (1 - optimizer.beta1) * g
            second = optimizer.beta2 * second + (1 - optimizer.beta2) * g * g
            mean, square = first / (1 - optimizer.beta1**t), second / (1 - optimizer.beta2**t)
            w = w - rate * mean / (np.sqrt(square) + optimizer.epsilon)
        elif isinstance(optimizer, cp.RMSprop):
            second = optimizer.alpha * second + (1 - optimizer.alpha) * g * g
            first = optimizer.momentum * first + g / (np.sqrt(second) + optimizer.epsilon)
            w = w - rate * first
        else:
            second = optimizer.rho * second + (1 - optimizer.rho) * g * g
            change = np.sqrt(first + optimizer.epsilon) / np.sqrt(second + optimizer.epsilon) * g
            first = optimizer.rho * first + (1 - optimizer.rho) * change * change
            w = w - rate * change
    return w


@pytest.mark.parametrize(
    "optimizer",
    [
        cp.SGD(0.1),
        cp.SGD(0.1, momentum=0.9, weight_decay=0.01),
        cp.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        cp.Adam(0.01),
        cp.Adam(0.01, beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.1),
        cp.AdamW(0.01, weight_decay=0.1),
        cp.RMSprop(0.01),
        cp.RMSprop(0.01, alpha=0.9, epsilon=1e-3, weight_decay=0.1, momentum=0.5),
        cp.Adadelta(),
        cp.Adadelta(0.5, rho=0.8, epsilon=1e-4, weight_decay=0.1),
    ],
    ids=repr,
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 2e-6)])
def test_update_rule(optimizer, dtype, tolerance):
    # With one image, a squared error and no other layer, the gradient is (y - t) o, and each
    # step's is a function of the weights alone: both sides can be followed for some steps.
    random = np.random.default_rng(7)
    image = random.normal(size=(1, 2, 3, 3))
    target = random.normal(size=(1, 5))
    net = cp.Network([cp.Dense(5, bias=False)], (2, 3, 3), cp.SquaredError(), 3, dtype)
    weights = net.parameters["dense1.weight"].astype(np.float64)
    gradients: list[np.ndarray] = []
    o = image.reshape(1, -1)
    for _ in range(STEPS):
        w = expected(optimizer, weights, gradients)
        gradients.append((o @ w.T - target).T @ o)
    cp.train(net, image, target, optimizer=optimizer, epochs=STEPS, batch_size=1, normalise=False)
    wanted = expected(optimizer, weights, gradients)
    np.testing.assert_allclose(
        net.parameters["dense1.weight"], wanted, rtol=0, atol=tolerance * abs(wanted).max()
    )


def test_table_names_every_optimizer():
    assert list(OPTIMIZERS) == ["sgd", "adam", "adamw", "rmsprop", "adadelta"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cp.Adam(0.0), "learning_rate must be a positive number, got 0.0"),
        (lambda: cp.Adam("fast"), "learning_rate must be a positive number, got 'fast'"),
        (lambda: cp.SGD(math.inf), "learning_rate must be a positive number, got inf"),
        (lambda: cp.SGD(math.nan), "learning_rate must be a positive number, got nan"),
        (
            lambda: cp.SGD(0.1, momentum=1.0),
            "momentum must be a number with 0 <= value < 1, got 1.0",
        ),
        (
            lambda: cp.SGD(0.1, nesterov=True),
            "momentum must be above 0 when nesterov is True, got 0.0",
        ),
        (lambda: cp.SGD(0.1, nesterov=1), "nesterov must be True or False, got 1"),
        (
            lambda: cp.AdamW(weight_decay=-1),
            "weight_decay must be a number of at least 0, got -1",
        ),
        (lambda: cp.Adam(beta1=-0.1), "beta1 must be a number with 0 <= value < 1, got -0.1"),
        (lambda: cp.Adam(beta2=1), "beta2 must be a number with 0 <= value < 1, got 1"),
        (lambda: cp.RMSprop(epsilon=0), "epsilon must be a positive number, got 0"),
        (lambda: cp.RMSprop(alpha=2), "alpha must be a number with 0 <= value < 1, got 2"),
        (lambda: cp.Adadelta(rho=None), "rho must be a number with 0 <= value < 1, got None"),
        (
            lambda: schedules.Step(at=(0.5, 0.2)),
            "at must be increasing numbers above 0 and below 1, got (0.5, 0.2)",
        ),
        (
            lambda: schedules.Step(at=0.5),
            "at must be increasing numbers above 0 and below 1, got 0.5",
        ),
        (lambda: schedules.Step(decay=0), "decay must be a positive number, got 0"),
        (lambda: schedules.Exponential(0), "final must be a positive number, got 0"),
        (
            lambda: schedules.Cosine(1.5),
            "final must be a number with 0 <= value < 1, got 1.5",
        ),
        (
            lambda: schedules.OneCycle(rise=0),
            "rise must be a number above 0 and below 1, got 0",
        ),
    ],
)
def test_refuses(make, message):
    with refuses(InvalidInput, message):
        make()


def factors(schedule: schedules.Schedule, total: int) -> np.ndarray:
    return np.array([schedule.factor(step, total) for step in range(1, total + 1)])


def test_constant_and_step():
    assert factors(schedules.Constant(), 3).tolist() == [1, 1, 1]
    stepped = factors(schedules.Step(at=(0.5, 0.75), decay=0.5), 8)
    assert stepped.tolist() == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_exponential_has_one_ratio():
    curve = factors(schedules.Exponential(0.01), 11)
    np.testing.assert_allclose(curve, 0.01 ** (np.arange(11) / 10), rtol=1e-14)


def test_cosine():
    curve = factors(schedules.Cosine(0.2), 101)
    wanted = 0.2 + 0.8 * (1 + np.cos(np.pi * np.arange(101) / 100)) / 2
    np.testing.assert_allclose(curve, wanted, atol=1e-15)
    assert curve[0] == 1.0


def test_one_cycle():
    curve = factors(schedules.OneCycle(initial=0.1, final=0.001, rise=0.25), 101)
    t = np.arange(101) / 100
    up = 0.1 + 0.9 * (1 - np.cos(np.pi * t / 0.25)) / 2
    down = 0.001 + 0.999 * (1 + np.cos(np.pi * (t - 0.25) / 0.75)) / 2
    np.testing.assert_allclose(curve, np.where(t < 0.25, up, down), atol=1e-15)
    assert curve[25] == 1.0


@pytest.mark.parametrize(
    "schedule", [schedules.Cosine(), schedules.OneCycle(), schedules.Exponential()], ids=repr
)
def test_one_step_alone_has_a_factor(schedule):
    assert 0 < schedule.factor(1, 1) <= 1
