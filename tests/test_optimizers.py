"""Update rules against the same formulas in NumPy, schedules, and what both refuse."""

import math
from dataclasses import replace

import numpy as np
import pytest

import convprop as cp
from convprop import schedules
from convprop.described import from_dict
from convprop.errors import InvalidInput, ModelFileError
from convprop.optimizers import OPTIMIZERS
from refusal import refuses

STEPS = 6


def expected(
    optimizer: cp.SGD,
    weights: np.ndarray,
    gradients: list[np.ndarray],
    factors: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """Return the weights after the gradients, by PyTorch's formulas (dampening 0), or papers'."""
    w = weights.copy()
    first, second = np.zeros_like(w), np.zeros_like(w)
    rate, decay = optimizer.learning_rate * factors[0], optimizer.weight_decay * factors[1]
    for t, g in enumerate(gradients, start=1):
        norms = np.linalg.norm(w), np.linalg.norm(g)
        if isinstance(optimizer, cp.AdamW) or getattr(optimizer, "decoupled", False):
            w = w - rate * decay * w
        elif not isinstance(optimizer, cp.LAMB):
            g = g + decay * w
        if isinstance(optimizer, cp.LARS):
            ratio = optimizer.trust * norms[0] / (norms[1] + decay * norms[0]) if w.ndim > 1 else 1
            first = optimizer.momentum * first + rate * ratio * g
            w = w - first
        elif isinstance(optimizer, cp.LAMB):
            first = optimizer.beta1 * first + (1 - optimizer.beta1) * g
            second = optimizer.beta2 * second + (1 - optimizer.beta2) * g * g
            mean, square = first / (1 - optimizer.beta1**t), second / (1 - optimizer.beta2**t)
            r = mean / (np.sqrt(square) + optimizer.epsilon) + decay * w
            w = w - rate * (norms[0] / np.linalg.norm(r) if w.ndim > 1 else 1) * r
        elif isinstance(optimizer, cp.SGD):
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
        cp.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1, decoupled=True),
        cp.LARS(0.5, momentum=0.0, trust=0.1),
        cp.LARS(0.5, trust=0.01, weight_decay=0.3),
        cp.LAMB(0.01),
        cp.LAMB(0.1, beta1=0.8, beta2=0.95, epsilon=1e-3, weight_decay=0.2),
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


SEVERAL = [
    cp.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    cp.AdamW(0.01, weight_decay=0.1),
    cp.Adadelta(0.5, weight_decay=0.1),
    cp.LARS(0.02, trust=0.5, weight_decay=0.3),
    cp.LAMB(0.01, weight_decay=0.2),
]


def followed(net, image, target, optimizer, factors):
    """Compare a training of two layers with the rule's, whose gradients are the network's own."""
    net.normalisation = None
    w = {name: values.astype(np.float64) for name, values in net.parameters.items()}
    first, gradients = dict(w), {name: [] for name in w}
    for _ in range(STEPS):
        for name in net.parameters:
            net.parameters[name] = w[name]
        for name, g in net.gradients(image, target).items():
            gradients[name].append(g.astype(np.float64))
            w[name] = expected(optimizer, first[name], gradients[name], factors[name])
    for name, values in first.items():
        net.parameters[name] = values
    cp.train(
        *(net, image, target),
        optimizer=optimizer,
        epochs=STEPS,
        batch_size=len(image),
        shuffle=False,
        normalise=False,
    )
    for name, values in net.parameters.items():
        np.testing.assert_allclose(values, w[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("optimizer", SEVERAL, ids=repr)
@pytest.mark.parametrize(
    ("rates", "decays", "factors"),
    [
        (None, None, [(1, 1)] * 4),
        ({"bias": 8}, "weights", [(1, 1), (8, 0), (1, 1), (8, 0)]),
        (
            {"conv1": 0.1, "*.bias": 4, "d*": 2},
            {"conv1.weight": 0, "dense1": 3},
            [(0.1, 0), (0.4, 1), (2, 3), (8, 3)],
        ),
    ],
)
def test_each_parameter_has_its_factors(optimizer, rates, decays, factors):
    random = np.random.default_rng(3)
    net = cp.Network([cp.Conv(3, 2), cp.Tanh(), cp.Dense(4)], (2, 4, 3), cp.SquaredError(), 3, "f8")
    for name, values in net.parameters.items():
        net.parameters[name] = values + random.normal(size=values.shape) / 8
    image, target = random.normal(size=(5, 2, 4, 3)), random.normal(size=(5, 4))
    optimizer = replace(optimizer, rate_factors=rates, decay_factors=decays)
    assert optimizer.factors(net.graph.parameters) == factors
    followed(net, image, target, optimizer, dict(zip(net.parameters, factors, strict=True)))


@pytest.mark.parametrize("optimizer", [cp.LARS(0.5, weight_decay=0.3), cp.LAMB(0.1)], ids=repr)
def test_norms_are_those_of_a_whole_parameter(optimizer):
    # Of more elements than are summed at once, and no multiple of the lanes.
    random = np.random.default_rng(4)
    net = cp.Network([cp.Dense(83, bias=False)], (1, 11, 13), cp.SquaredError(), 3, "float64")
    assert net.parameters["dense1.weight"].size > 2 * 4096
    image, target = random.normal(size=(2, 1, 11, 13)), random.normal(size=(2, 83))
    followed(net, image, target, optimizer, {"dense1.weight": (1.0, 1.0)})


@pytest.mark.parametrize("optimizer", [cp.LARS(0.5, trust=0.1), cp.LAMB(0.1)], ids=repr)
def test_where_a_norm_is_0_the_ratio_is_1(optimizer):
    image, target = np.ones((1, 1, 1, 2)), np.array([[3.0, -1.0]])
    net = cp.Network([cp.Dense(2, bias=False)], (1, 1, 2), cp.SquaredError(), dtype="float64")
    net.parameters["dense1.weight"][...] = 0.0
    cp.train(net, image, target, optimizer=optimizer, epochs=1, normalise=False)
    # The first step of moments is of 1, less epsilon.
    moved = np.array([[3.0, 3.0], [-1.0, -1.0]]) * 0.5
    if isinstance(optimizer, cp.LAMB):
        moved = 0.1 * np.sign(moved)
    np.testing.assert_allclose(net.parameters["dense1.weight"], moved, rtol=2e-6)


@pytest.mark.parametrize("optimizer", SEVERAL, ids=repr)
@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_the_bits_do_not_depend_on_the_threads(optimizer, clip_norm):
    random = np.random.default_rng(5)
    images, labels = random.normal(size=(70, 2, 9, 9)), random.integers(0, 3, 70)
    hashes, before = set(), cp.get_num_threads()
    try:
        for threads in (1, 2, 3, 7):
            cp.set_num_threads(threads)
            net = cp.Network([cp.Conv(40, 3), cp.ReLU(), cp.Dense(5), cp.Dense(3)], (2, 9, 9))
            changed = replace(optimizer, rate_factors={"bias": 2})
            cp.train(net, images, labels, optimizer=changed, epochs=2, clip_norm=clip_norm)
            hashes.add(net.weights_sha256())
    finally:
        cp.set_num_threads(before)
    assert len(hashes) == 1


def test_factors_of_1_change_no_bit():
    random = np.random.default_rng(5)
    images, labels = random.normal(size=(40, 1, 5, 5)), random.integers(0, 3, 40)
    hashes = set()
    for factors in ({}, {"rate_factors": {"*": 1}, "decay_factors": {"bias": 1.0}}):
        net = cp.Network([cp.Conv(4, 3), cp.ReLU(), cp.Dense(3)], (1, 5, 5))
        cp.train(net, images, labels, optimizer=cp.AdamW(0.01, **factors), epochs=2)
        hashes.add(net.weights_sha256())
    assert len(hashes) == 1


def test_factors_are_kept_in_files(tmp_path):
    random = np.random.default_rng(5)
    images, labels = random.normal(size=(40, 1, 5, 5)), random.integers(0, 3, 40)
    net = cp.Network([cp.Conv(4, 3), cp.ReLU(), cp.Dense(3)], (1, 5, 5))
    optimizer = cp.SGD(0.1, weight_decay=0.1, rate_factors={"bias": 2}, decay_factors="weights")
    cp.train(net, images, labels, optimizer=optimizer, epochs=1)
    net.save(tmp_path / "net")
    kept = cp.load(tmp_path / "net").training_settings["optimizer"]
    assert from_dict(kept, OPTIMIZERS, "optimizer") == optimizer
    assert optimizer.for_batches(32, 64).rate_factors == {"bias": 2}
    with refuses(
        ModelFileError,
        "optimizer (sgd): rate_factors['bias'] must be a positive number, got {'a': 1}",
    ):
        from_dict(kept | {"rate_factors": {"bias": {"a": 1}}}, OPTIMIZERS, "optimizer")


def test_table_names_every_optimizer():
    names = ["sgd", "adam", "adamw", "rmsprop", "adadelta", "lars", "lamb"]
    assert list(OPTIMIZERS) == names


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
            lambda: cp.SGD(0.1, decoupled=True),
            "weight_decay must be above 0 when decoupled is True, got 0.0",
        ),
        (lambda: cp.LARS(trust=0), "trust must be a positive number, got 0"),
        (
            lambda: cp.Adam(rate_factors={"bias": 0}),
            "rate_factors['bias'] must be a positive number, got 0",
        ),
        (
            lambda: cp.Adam(rate_factors="weights"),
            "rate_factors must be None or numbers by name, as in {'bias': 2}, got 'weights'",
        ),
        (
            lambda: cp.AdamW(decay_factors="weight"),
            "decay_factors must be None, 'weights' or numbers by name, as in {'bias': 2},"
            " got 'weight'",
        ),
        (
            lambda: cp.AdamW(decay_factors={"bias": -1}),
            "decay_factors['bias'] must be a number of at least 0, got -1",
        ),
        (
            lambda: cp.SGD(decay_factors="weights"),
            "decay_factors must be None with a weight_decay of 0, which they multiply,"
            " got 'weights'",
        ),
        (
            lambda: cp.train(
                cp.Network([cp.Conv(1, 1), cp.Dense(2, trainable="bias")], (1, 2, 2)),
                *(np.zeros((2, 1, 2, 2)), [0, 1]),
                optimizer=cp.SGD(rate_factors={"conv*": 2, "dense1.weight": 2}),
            ),
            "rate_factors must name trained parameters, layers or kinds: conv1.weight, conv1.bias,"
            " dense1.bias, got 'dense1.weight'",
        ),
        (lambda: schedules.Cosine(warmup=1), "warmup must be a number with 0 <= value < 1, got 1"),
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


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.Constant(),
        schedules.Step((0.5,)),
        schedules.Exponential(0.1),
        schedules.Cosine(0.1),
    ],
    ids=repr,
)
@pytest.mark.parametrize("total", [7, 40, 100])
def test_a_warm_up_comes_first(schedule, total):
    curve = factors(replace(schedule, warmup=0.25), total)
    before = math.ceil(total / 4) - 1
    np.testing.assert_allclose(curve[:before], np.arange(1, before + 1) / (total / 4), rtol=1e-15)
    assert curve[before] == 1.0
    np.testing.assert_array_equal(curve[before:], factors(schedule, total - before))
    # Where there is none, not a bit is another.
    assert replace(schedule, warmup=0.0) == schedule


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
