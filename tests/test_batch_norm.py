"""Batch normalisation: statistics, gradients through them, and the meetings that they ask for."""

import numpy as np
import pytest

import convprop as cp
from convprop import equations as eq
from convprop.check.equations import STEP
from convprop.check.network import check_network
from convprop.errors import InvalidInput
from convprop.explain import Explainer
from refusal import refuses

RANDOM = np.random.default_rng(16)


def block(kernels, stride=1, shortcut=None, **options):
    return [
        cp.Residual(
            cp.Conv(kernels, 3, padding=1, stride=stride, bias=False),
            cp.BatchNorm(**options),
            cp.ReLU(),
            cp.Conv(kernels, 3, padding=1, bias=False),
            cp.BatchNorm(**options),
            shortcut=shortcut,
        ),
        cp.ReLU(),
    ]


def residual(dtype="float32", **options):
    """Return a network with all that a border can have beside it."""
    shortcut = [cp.Conv(6, 1, stride=2, bias=False), cp.BatchNorm(**options)]
    layers = [
        *(cp.Conv(4, 3, padding=1), cp.Tanh(), cp.BatchNorm(**options), cp.MaxPool(2)),
        *block(4, **options),
        cp.Dropout(0.2),
        *block(6, 2, shortcut, **options),
        *(cp.AveragePool("global"), cp.Flatten(), cp.Dense(7), cp.BatchNorm(**options)),
        *(cp.Tanh(), cp.Dense(3)),
    ]
    net = cp.Network(layers, (2, 10, 12), seed=3, dtype=dtype)
    for number, (name, values) in enumerate(net.parameters.items()):
        random = np.random.default_rng(number)
        if name.endswith("running_mean"):
            values[...] = 0.1 * random.normal(size=values.shape)
        if name.endswith("running_var"):
            values[...] = 0.2 + random.random(values.shape)
    return net


def images(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 2, 10, 12)).astype(np.float32)


def one_step(net, batch, labels, **options):
    options = {"epochs": 1, "normalise": False} | options
    cp.train(net, batch, labels, batch_size=len(batch), **options)
    return net


@pytest.fixture(autouse=True)
def _threads():
    before = cp.get_num_threads()
    yield
    cp.set_num_threads(before)


# ---- Equations ----


@pytest.mark.parametrize("shape", [(5, 3, 4, 2), (6, 4)])
def test_the_closed_forms_are_the_derivatives(shape):
    y, delta = RANDOM.normal(size=shape), RANDOM.normal(size=shape)
    weight, bias = RANDOM.normal(size=shape[1]), RANDOM.normal(size=shape[1])
    mean, variance = eq.batch_norm.batch_statistics(y)

    def slope(*, of_y=0.0, of_weight=0.0, of_bias=0.0, through=True):
        moved = y + 1j * STEP * of_y
        statistics = eq.batch_norm.batch_statistics(moved) if through else (mean, variance)
        own = weight + 1j * STEP * of_weight, bias + 1j * STEP * of_bias
        x = eq.batch_norm.batch_norm(moved, *own, *statistics, 1e-5)
        return (delta * x).sum().imag / STEP

    way, of_channel = RANDOM.normal(size=shape), RANDOM.normal(size=shape[1])
    through = eq.batch_norm.batch_norm_batch_delta(delta, y, weight, 1e-5)
    assert slope(of_y=way) == pytest.approx((through * way).sum(), rel=1e-12, abs=1e-12)
    fixed = eq.batch_norm.batch_norm_delta(delta, y, weight, mean, variance, 1e-5)
    assert slope(of_y=way, through=False) == pytest.approx((fixed * way).sum(), rel=1e-12)
    sums = eq.batch_norm.batch_norm_gradients(delta, y, mean, variance, 1e-5)
    assert slope(of_weight=of_channel) == pytest.approx((sums[0] * of_channel).sum(), rel=1e-12)
    assert slope(of_bias=of_channel) == pytest.approx((sums[1] * of_channel).sum(), rel=1e-12)


def test_what_it_gives_has_mean_0_and_variance_1():
    y = RANDOM.normal(7, 3, size=(20, 2, 5, 5))
    x = eq.batch_norm.batch_norm(y, np.ones(2), np.zeros(2), *eq.batch_norm.batch_statistics(y), 0)
    mean, variance = eq.batch_norm.batch_statistics(x)
    np.testing.assert_allclose(mean, 0, atol=1e-14)
    np.testing.assert_allclose(variance, 1, rtol=1e-13)


# ---- The engine against them ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", [{}, {"over": 16}, {"frozen": True}], ids=repr)
def test_the_engine_agrees_with_the_equations(options, dtype):
    rows = check_network(residual(dtype, **options))
    assert [row for row in rows if not row.passed] == []


@pytest.mark.parametrize("options", [{}, {"over": 16}, {"frozen": True}], ids=repr)
def test_all_blocks_of_a_batch_agree_with_the_equations(options):
    net, batch, labels = residual("float64", **options), images(37), np.arange(37) % 3
    done = net.backpropagate(batch, labels)
    layers = [node.native | {"reads": node.reads} for node in net.graph.nodes]
    own = [
        {part: net.parameters[f"{node.name}.{part}"] for part in node.parameters}
        for node in net.graph.nodes
    ]
    outputs = eq.network.forward(layers, own, batch.astype(np.float64))
    delta = eq.network.loss_delta(net.loss.kind, outputs[-1], np.eye(3)[labels])
    deltas, gradients = eq.network.backward(layers, own, outputs, delta)
    np.testing.assert_allclose(done.layers[-1].output, outputs[-1], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(done.input_delta, deltas[0], rtol=1e-9, atol=1e-12)
    for went, right in zip(done.layers, gradients, strict=True):
        assert went.gradients.keys() == right.keys()
        for part, gradient in right.items():
            np.testing.assert_allclose(went.gradients[part], gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_a_training_plan_has_the_gradients_of_the_inspection(statistics):
    net, batch, labels = residual(), images(37), (np.arange(37) % 3).astype(np.int32)
    for threads in (1, 2, 3):
        cp.set_num_threads(threads)
        wanted = net.gradients(batch, labels, statistics=statistics)
        found = {name: np.empty_like(array) for name, array in wanted.items()}
        net.plan("train", 37, statistics=statistics).gradients(
            batch, None, labels, None, *net.lane_normalisation(), 0, 0, list(found.values())
        )
        for name, array in wanted.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


# ---- Statistics ----


@pytest.mark.parametrize("mean", [0.0, 3.0, -1e4])
@pytest.mark.parametrize("shape", [(128, 4, 32, 32), (40, 3, 5, 224), (33, 2, 1, 1), (5, 2, 7, 3)])
def test_statistics_are_exact_beside_a_large_mean(shape, mean):
    batch = (mean + RANDOM.normal(size=shape)).astype(np.float32)
    wide = batch.astype(np.float64)
    # A convolution of 1 x 1 with weight 1 gives the pixels themselves.
    net = cp.Network([cp.BatchNorm(momentum=1.0), cp.AveragePool("global"), cp.Dense(2)], shape[1:])
    one_step(net, batch, np.arange(len(batch)) % 2)
    axes = (0, 2, 3)
    found = net.parameters["batch_norm1.running_mean"]
    np.testing.assert_allclose(found, wide.mean(axis=axes), rtol=1e-6, atol=1e-6)
    found = net.parameters["batch_norm1.running_var"]
    np.testing.assert_allclose(found, wide.var(axis=axes, ddof=1), rtol=1e-6)


def test_values_beside_a_large_mean_are_as_exact_as_float32_tells_them_apart():
    batch = (1e4 + RANDOM.normal(size=(48, 2, 6, 6))).astype(np.float32)
    net = cp.Network([cp.BatchNorm(), cp.Dense(2)], (2, 6, 6))
    x = net.backpropagate(batch, np.zeros(48, int)).layers[0].output
    wide = batch.astype(np.float64)
    right = wide - wide.mean(axis=(0, 2, 3), keepdims=True)
    right /= np.sqrt(wide.var(axis=(0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(x, right, rtol=1e-6, atol=1e-6)


def test_the_running_statistics_move_by_momentum_and_the_unbiased_variance():
    batch = np.array([[1.0], [3.0], [8.0]], np.float32).reshape(3, 1, 1, 1)
    net = cp.Network([cp.BatchNorm(), cp.Dense(2)], (1, 1, 1))
    one_step(net, batch, np.array([0, 1, 0]))
    # Mean 4, variance 13 of three numbers: 0.9 of what was, 0 and 1, and 0.1 of these.
    assert net.parameters["batch_norm1.running_mean"][0] == np.float32(0.4)
    assert net.parameters["batch_norm1.running_var"][0] == np.float32(2.2)


def test_blocks_of_sixteen_move_them_by_their_average():
    batch = RANDOM.normal(size=(40, 2, 3, 3)).astype(np.float32)
    layers = [cp.BatchNorm(momentum=1.0, over=16), cp.Dense(2)]
    net = cp.Network(layers, (2, 3, 3))
    cp.train(net, batch, np.arange(40) % 2, epochs=1, batch_size=40, shuffle=False, normalise=False)
    parts = [batch[n : n + 16].astype(np.float64) for n in (0, 16, 32)]
    shares = [len(part) / 40 for part in parts]
    axes = (0, 2, 3)
    mean = sum(s * part.mean(axis=axes) for s, part in zip(shares, parts, strict=True))
    variance = sum(s * part.var(axis=axes, ddof=1) for s, part in zip(shares, parts, strict=True))
    np.testing.assert_allclose(net.parameters["batch_norm1.running_mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(net.parameters["batch_norm1.running_var"], variance, rtol=1e-5)


def test_frozen_ones_stay_and_training_sees_what_predictions_see():
    net = residual(frozen=True)
    before = {name: array.copy() for name, array in net.parameters.items()}
    batch, labels = images(20), np.arange(20) % 3
    done = net.backpropagate(batch, labels)
    np.testing.assert_array_equal(done.layers[-1].output, net.forward(batch))
    one_step(net, batch, labels, epochs=3)
    for name, array in net.parameters.items():
        stays = name.endswith(("running_mean", "running_var"))
        assert np.array_equal(array, before[name]) == stays, name


def test_a_loss_that_is_no_number_leaves_them():
    net = residual()
    net.parameters["dense2.weight"] = np.full_like(net.parameters["dense2.weight"], np.inf)
    before = net.parameters["batch_norm1.running_mean"].copy()
    with pytest.raises(cp.ConvpropError, match="loss"):
        one_step(net, images(20), np.arange(20) % 3)
    np.testing.assert_array_equal(net.parameters["batch_norm1.running_mean"], before)


def test_one_number_a_channel_is_its_own_mean():
    net = cp.Network([cp.BatchNorm(momentum=1.0), cp.Dense(2)], (3, 1, 1))
    batch = np.full((2, 3, 1, 1), 5.0, np.float32)
    cp.train(net, batch, np.array([0, 1]), epochs=1, batch_size=1, normalise=False)
    assert net.parameters["batch_norm1.running_mean"].tolist() == [5.0, 5.0, 5.0]
    assert net.parameters["batch_norm1.running_var"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("options", [{}, {"over": 16}], ids=repr)
def test_images_of_weight_0_take_no_part(options):
    net, batch, labels = residual(**options), images(16), np.arange(16) % 3
    weights = np.ones(16)
    weights[[2, 7, 11]] = 0
    taking = weights > 0
    both = [net.gradients(batch, labels, weights), net.gradients(batch[taking], labels[taking])]
    for name, array in both[0].items():
        np.testing.assert_allclose(array, both[1][name], rtol=2e-4, atol=2e-6, err_msg=name)


# ---- Explanations ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_number_is_explained_by_the_running_statistics(dtype):
    net, batch, labels = residual(dtype), images(37), np.arange(37) % 3
    asked = Explainer(net, batch, labels)
    np.testing.assert_array_equal(asked.done.layers[-1].output, net.forward(batch))
    random = np.random.default_rng(2)
    names = [name for name in net.names if name.startswith("batch_norm")]
    for name in names:
        went = asked.done.layers[net.names.index(name)]
        for _ in range(5):
            image, *at = (int(random.integers(length)) for length in went.output.shape)
            found = asked.output(name, *at, image=image)
            assert found.exact
            assert found.value == went.output[(image, *at)]
            found = asked.delta(name, *at, image=image)
            assert found.exact
            assert found.value == found.total
        for part in ("weight", "bias"):
            found = getattr(asked, f"{part}_gradient")(name, 1)
            assert found.exact
            assert found.value == went.gradients[part][1]
            assert len(found.terms) == went.output.size // went.output.shape[1]
    with refuses(InvalidInput, "c, m and n must be left out of a normalisation, got 1, None, None"):
        asked.weight_gradient(names[0], 0, 1)


# ---- Threads, plans, files ----


@pytest.mark.parametrize("options", [{}, {"over": 16}, {"frozen": True}], ids=repr)
def test_the_bits_are_the_same_for_any_threads(options):
    found = set()
    for threads in (1, 2, 3, 7):
        cp.set_num_threads(threads)
        net = residual(**options)
        cp.train(net, images(150), np.arange(150) % 3, epochs=2, batch_size=70)
        found.add(net.weights_sha256())
    assert len(found) == 1


def test_predictions_of_few_images_are_those_of_many():
    net = one_step(residual(), images(20), np.arange(20) % 3)
    many = net.forward(images(20))
    for count in (1, 3, 8, 9):
        np.testing.assert_array_equal(net.forward(images(20)[:count]), many[:count])


def test_up_to_sixteen_images_are_one_block():
    one, other = residual(), residual(over=16)
    for net in (one, other):
        cp.train(net, images(12), np.arange(12) % 3, epochs=2, batch_size=12)
    assert one.weights_sha256() == other.weights_sha256()


def test_it_is_saved_and_loaded(tmp_path):
    net = one_step(residual(over=16), images(20), np.arange(20) % 3)
    net.save(tmp_path / "net.safetensors")
    loaded = cp.Network.load(tmp_path / "net.safetensors")
    assert loaded.layers == net.layers
    assert loaded.weights_sha256() == net.weights_sha256()
    np.testing.assert_array_equal(loaded.forward(images(5)), net.forward(images(5)))


@pytest.mark.parametrize("stop", [1, 4])
def test_a_resumed_training_ends_with_the_same_bits(stop, tmp_path):
    def trained(stop=None, resume=False):
        def on_batch(record):
            if record.step == stop:
                raise KeyboardInterrupt

        net = residual()
        checkpoints = cp.Checkpoints(tmp_path / "net.safetensors")
        options = {"checkpoints": checkpoints, "resume": resume, "on_batch": on_batch}
        cp.train(net, images(40), np.arange(40) % 3, epochs=3, batch_size=20, **options)
        return net.weights_sha256()

    whole = trained()
    assert trained(stop) != whole
    assert trained(resume=True) == whole


def test_whole_batches_are_kept_only_where_a_segment_ends():
    def plan(*layers):
        return cp.Network([*layers, cp.AveragePool("global"), cp.Dense(2)], (8, 32, 32))

    conv = cp.Conv(8, 3, padding=1)
    maps = 8 * 32 * 32 * 4 * 1024
    chain = plan(*[conv, cp.ReLU()] * 6).plan_bytes("train", 1024)
    normal = plan(*[conv, cp.BatchNorm(), cp.ReLU()] * 6).plan_bytes("train", 1024)
    # The maps of six convolutions, and two deltas.
    assert 8 * maps < normal < chain + 8.3 * maps


def test_batches_in_parts_are_refused_where_statistics_are_of_the_whole():
    options = {"epochs": 1, "batch_size": 48, "micro_batch": 16}
    rule = "be left out beside batch_norm1, whose statistics are of whole batches"
    with refuses(InvalidInput, f"micro_batch must {rule}, got 16: BatchNorm(over=16)?"):
        cp.train(residual(), images(48), np.arange(48) % 3, **options)
    parts, whole = residual(over=16), residual(over=16)
    cp.train(parts, images(48), np.arange(48) % 3, **options)
    cp.train(whole, images(48), np.arange(48) % 3, epochs=1, batch_size=48)
    assert parts.weights_sha256() == whole.weights_sha256()


@pytest.mark.parametrize("options", [{}, {"over": 16}, {"frozen": True}], ids=repr)
def test_deltas_go_through_one_that_is_not_trained(options):
    net, other = residual(**options), residual(**options)
    net.set_trainable(False, "batch_norm*")
    assert not any(name.startswith("batch_norm") for name in net.graph.trained)
    batch, labels = images(20), np.arange(20) % 3
    all_gradients = other.gradients(batch, labels)
    for name, gradient in net.gradients(batch, labels).items():
        np.testing.assert_array_equal(gradient, all_gradients[name])


def test_nothing_else_is_a_batch_normalisation():
    with refuses(InvalidInput, "momentum must be a number in 0 .. 1, got 1.5"):
        cp.BatchNorm(momentum=1.5)
    with refuses(InvalidInput, "epsilon must be a positive number, got 0"):
        cp.BatchNorm(epsilon=0)
    with refuses(InvalidInput, "over must be 'batch' or 16, got 32"):
        cp.BatchNorm(over=32)
    with refuses(InvalidInput, "frozen must be True or False, got 1"):
        cp.BatchNorm(frozen=1)
    with pytest.raises(InvalidInput, match="statistics must be 'batch' or 'running', got 'ours'"):
        residual().backpropagate(images(2), [0, 1], statistics="ours")
