"""Layers that are not trained: all other numbers stay, and nothing is done for them alone."""

from dataclasses import replace

import numpy as np
import pytest

import convprop as cp
from convprop.about.memory import training_memory
from convprop.about.profile import profile
from convprop.check.network import check_network
from convprop.errors import InvalidInput
from convprop.explain import Explainer
from convprop.optimizers import OptimizerState
from refusal import refuses

SHAPE = (2, 9, 8)
LAYERS = {
    "direct": [
        *(cp.Conv(5, 3, padding=1), cp.ReLU(), cp.MaxPool(2), cp.Conv(6, 2), cp.Tanh()),
        *(cp.Dense(7), cp.Sigmoid(), cp.Dense(6), cp.ReLU(), cp.Dense(3)),
    ],
    "by Winograd's algorithm, in branches": [
        *(cp.Conv(6, 3, padding=1, algorithm="winograd"), cp.ReLU()),
        cp.Residual(cp.Conv(6, 3, padding=1, algorithm="winograd"), cp.Tanh(), cp.Conv(6, 1)),
        *(cp.ReLU(), cp.AveragePool(2), cp.Dropout(0.3), cp.Dense(4), cp.ReLU(), cp.Dense(3)),
    ],
}
FREEZINGS = {
    "the first": {0: False},
    "all but the last": dict.fromkeys(range(3), False) | {3: False},
    "one in the middle": {1: False},
    "weights": dict.fromkeys(range(5), "bias"),
    "biases": dict.fromkeys(range(5), "weight"),
    "one of each": {0: "bias", 1: False, 2: "weight", 3: "bias"},
}


def networks(layers, freezing, dtype="float32"):
    """Return a network that is trained as a whole, and the same with some layers as they are."""
    whole = cp.Network(layers, SHAPE, seed=5, dtype=dtype)
    with_parameters = [place for place, layer in enumerate(whole.layers) if layer_has(whole, place)]
    changed = {
        with_parameters[n]: value for n, value in freezing.items() if n < len(with_parameters)
    }
    nodes = {}
    for place, node in enumerate(whole.graph.nodes):
        layer = node.layer
        if place in changed:
            layer = replace(layer, trainable=changed[place])
        nodes[node.name] = (layer, *whole.graph.read_names(node))
    frozen = cp.Network(nodes, SHAPE, seed=5, dtype=dtype)
    assert frozen.names == whole.names
    # Biases too have something to be multiplied by.
    random = np.random.default_rng(2)
    for name, values in whole.parameters.items():
        if name.endswith("bias"):
            values[...] = random.normal(size=values.shape) / 8
        frozen.parameters[name] = values
    return whole, frozen


def layer_has(net, place):
    return bool(net.graph.nodes[place].parameters)


def data(count):
    random = np.random.default_rng(count)
    return random.normal(size=(count, *SHAPE)), random.integers(0, 3, count)


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("freezing", FREEZINGS.values(), ids=FREEZINGS)
@pytest.mark.parametrize("count", [3, 17, 150])
def test_a_step_moves_what_is_trained_as_if_all_were(layers, freezing, count):
    images, labels = data(count)
    whole, frozen = networks(layers, freezing)
    before = {name: values.copy() for name, values in frozen.parameters.items()}
    once = {"optimizer": cp.SGD(0.5), "epochs": 1, "batch_size": count, "normalise": False}
    found, threads = [], cp.get_num_threads()
    cp.train(whole, images, labels, **once)
    try:
        for number in (1, 2, 3, 7):
            cp.set_num_threads(number)
            for name, values in before.items():
                frozen.parameters[name] = values
            cp.train(frozen, images, labels, **once)
            found.append(frozen.weights_sha256())
    finally:
        cp.set_num_threads(threads)
    assert len(set(found)) == 1
    trained = frozen.graph.trained
    assert 0 < len(trained) < len(frozen.parameters)
    for name, values in frozen.parameters.items():
        wanted = whole.parameters[name] if name in trained else before[name]
        np.testing.assert_array_equal(values, wanted, err_msg=name)
        assert name not in trained or not np.array_equal(values, before[name])


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("freezing", FREEZINGS.values(), ids=FREEZINGS)
def test_every_delta_is_there_and_gradients_of_what_is_trained_alone(layers, freezing):
    images, labels = data(5)
    whole, frozen = networks(layers, freezing)
    all_of_it, some = whole.backpropagate(images, labels), frozen.backpropagate(images, labels)
    assert list(some.gradients) == frozen.graph.trained
    assert list(frozen.gradients(images, labels)) == frozen.graph.trained
    for name, gradient in some.gradients.items():
        np.testing.assert_array_equal(gradient, all_of_it.gradients[name])
    np.testing.assert_array_equal(some.input_delta, all_of_it.input_delta)
    for found, wanted in zip(some.layers, all_of_it.layers, strict=True):
        np.testing.assert_array_equal(found.delta, wanted.delta)
        named = {f"{found.name}.{part}" for part in found.gradients}
        assert named == {name for name in some.gradients if name.startswith(f"{found.name}.")}


@pytest.mark.parametrize("freezing", FREEZINGS.values(), ids=FREEZINGS)
def test_it_is_proved_like_any_other(freezing):
    for layers in LAYERS.values():
        rows = list(check_network(networks(layers, freezing)[1]))
        assert all(row.passed for row in rows)
        gradients = [row.name for row in rows if "gradient" in row.name]
        assert gradients


def test_the_norm_that_is_clipped_is_that_of_what_is_trained():
    images, labels = data(40)
    _, net = networks(LAYERS["direct"], {0: False, 1: "bias"}, "float64")
    before = {name: values.copy() for name, values in net.parameters.items()}
    gradients = net.gradients(images, labels)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
    options = {"optimizer": cp.SGD(1.0), "epochs": 1, "batch_size": 40, "normalise": False}
    cp.train(net, images, labels, clip_norm=norm / 10, **options)
    for name, gradient in gradients.items():
        moved = before[name] - net.parameters[name]
        np.testing.assert_allclose(moved, gradient / 10, rtol=1e-9, atol=1e-15)


def test_what_is_not_trained_takes_no_state_and_no_time():
    layers = LAYERS["direct"]
    images, labels = data(64)
    whole, frozen = networks(layers, {0: False, 1: False})
    state = OptimizerState()
    cp.train(frozen, images, labels, optimizer=cp.Adam(), epochs=1, state=state)
    trained = frozen.graph.trained
    assert trained == [f"dense{n}.{part}" for n in (1, 2, 3) for part in ("weight", "bias")]
    shapes = [frozen.parameters[name].shape for name in trained for _ in range(2)]
    assert [array.shape for array in state.arrays] == shapes

    passes = {
        (layer, entry.name)
        for entry in profile(frozen, images, labels, steps=2).passes
        for layer in entry.layers[:1]
    }
    assert ("conv1", "forward") in passes
    for name in ("conv1", "conv2"):
        assert not passes & {(name, "weight_gradient"), (name, "input_delta"), (name, "update")}
    assert ("dense1", "weight_gradient") in passes
    assert ("dense1", "input_delta") not in passes
    assert ("dense2", "input_delta") in passes

    assert frozen.plan_bytes("train", 64) < whole.plan_bytes("train", 64)
    assert frozen.plan_bytes("predict", 64) == whole.plan_bytes("predict", 64)
    less = sum(array.nbytes for name, array in whole.parameters.items() if name not in trained)
    memories = [training_memory(net, cp.Adam(), 64, 64).weights for net in (whole, frozen)]
    assert memories[0] - memories[1] == 2 * less


def test_of_a_frozen_layer_between_trained_ones_the_delta_is_computed():
    images, labels = data(64)
    _, net = networks(LAYERS["direct"], {1: False})
    passes = {
        (entry.layers[0], entry.name)
        for entry in profile(net, images, labels, steps=2).passes
        if entry.layers
    }
    assert ("conv2", "input_delta") in passes
    assert ("conv2", "weight_gradient") not in passes
    assert ("conv1", "weight_gradient") in passes


def test_a_model_file_keeps_it(tmp_path):
    _, net = networks(LAYERS["by Winograd's algorithm, in branches"], {0: "bias", 2: False})
    net.save(tmp_path / "net")
    again = cp.load(tmp_path / "net")
    assert again.layers == net.layers
    assert again.graph.trained == net.graph.trained


def test_the_summary_says_so():
    net = cp.Network([cp.Conv(2, 3, trainable=False), cp.Dense(3)], (1, 5, 5))
    text = net.summary()
    assert "308 B of parameters" in text
    assert "228 B of them trained" in text
    assert "trainable=False" in text
    assert "trained" not in cp.Network([cp.Dense(3)], (1, 5, 5)).summary()


def test_a_training_goes_on_from_a_checkpoint(tmp_path):
    images, labels = data(60)
    options = {"epochs": 3, "batch_size": 16, "optimizer": cp.AdamW(0.01), "average": 0.9}

    def trained(stop=None, **more):
        _, net = networks(LAYERS["direct"], {0: False, 2: "bias"})

        def on_batch(record):
            if record.step == stop:
                raise KeyboardInterrupt

        cp.train(net, images, labels, on_batch=on_batch, **options, **more)
        return net.weights_sha256()

    whole = trained()
    checkpoints = cp.Checkpoints(tmp_path / "net")
    trained(6, checkpoints=checkpoints)
    assert trained(checkpoints=checkpoints, resume=True) == whole


def test_layers_are_frozen_by_name_and_thawed():
    images, labels = data(20)
    _, net = networks(LAYERS["by Winograd's algorithm, in branches"], {0: "bias"})
    before, weights = net.graph, net.weights_sha256()
    net.set_trainable(False, "conv*", "dense1")
    assert net.graph.trained == ["dense2.weight", "dense2.bias"]
    assert net.weights_sha256() == weights
    first = net.parameters["conv1.weight"].copy()
    cp.train(net, images, labels, epochs=1)
    np.testing.assert_array_equal(net.parameters["conv1.weight"], first)
    net.set_trainable(True)
    assert net.graph.trained == list(net.parameters)
    cp.train(net, images, labels, epochs=1)
    assert not np.array_equal(net.parameters["conv1.weight"], first)
    assert before.trained[0] == "conv1.bias"
    message = (
        "layers must name some with parameters: conv1, conv2, conv3, dense1, dense2, got 'relu1'"
    )
    with refuses(InvalidInput, message):
        net.set_trainable(False, "relu1")


def test_an_explainer_says_that_there_is_no_gradient():
    images, labels = data(2)
    net = cp.Network([cp.Conv(2, 3, trainable="bias"), cp.Dense(3)], SHAPE)
    explainer = Explainer(net, images, labels)
    assert explainer.bias_gradient("conv1", 0).value == explainer.done.gradients["conv1.bias"][0]
    message = "layer must have a weight that is trained, and so has gradients, got 'conv1'"
    with refuses(InvalidInput, message):
        explainer.weight_gradient("conv1", 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: cp.Conv(2, 3, trainable=1),
            "trainable must be True, False, 'weight' or 'bias', got 1",
        ),
        (
            lambda: cp.Dense(2, trainable="weights"),
            "trainable must be True, False, 'weight' or 'bias', got 'weights'",
        ),
        (
            lambda: cp.Dense(2, bias=False, trainable="bias"),
            "trainable must be True or False without a bias, got 'bias'",
        ),
    ],
)
def test_refuses(make, message):
    with refuses(InvalidInput, message):
        make()


def test_something_must_be_trained():
    images, labels = data(20)
    net = cp.Network([cp.Dense(3, trainable=False)], SHAPE)
    with refuses(InvalidInput, "network must have a parameter that is trained, got none"):
        cp.train(net, images, labels)
    # The engine itself can say the loss of one.
    assert net.gradients(images, labels) == {}
