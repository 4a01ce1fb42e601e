"""Networks whose layers are not in a row: branches, joins and values that several layers read."""

import itertools
import json

import numpy as np
import pytest

import convprop as cp
from convprop.check.network import check_network
from convprop.errors import InvalidInput, ModelFileError
from convprop.explain import Explainer, projective_field, receptive_field
from convprop.graph import graph
from refusal import refuses


def residual(dtype="float32"):
    layers = [
        *(cp.Conv(4, 3, padding=1), cp.ReLU()),
        cp.Residual(cp.Conv(4, 3, padding=1), cp.ReLU(), cp.Conv(4, 3, padding=1)),
        *(cp.ReLU(), cp.MaxPool(2)),
        cp.Residual(
            cp.Conv(6, 3, stride=2, padding=1), cp.Tanh(), shortcut=[cp.Conv(6, 1, stride=2)]
        ),
        cp.Dense(3),
    ]
    return cp.Network(layers, (2, 8, 8), dtype=dtype)


def branches(dtype="float32"):
    one = [cp.Conv(4, 3, padding=1), cp.Tanh(), cp.MaxPool(2), cp.Flatten()]
    other = [cp.AveragePool(2), cp.Flatten(), cp.Dense(5), cp.ReLU()]
    return cp.Network([cp.Parallel(one, other), cp.Dense(3)], (2, 8, 8), dtype=dtype)


def squeezed(dtype="float32"):
    weigh = [cp.AveragePool("global"), cp.Conv(2, 1), cp.ReLU(), cp.Conv(4, 1), cp.Sigmoid()]
    inception = (
        [cp.Conv(3, 3, padding=1, padding_value=1.0)],
        [cp.Conv(3, 3, padding=2, dilation=2, algorithm="direct"), cp.Softplus()],
        [cp.Conv(2, 3, padding=1, algorithm="winograd")],
        [cp.MaxPool(3, stride=1, padding=1), cp.Dropout(0.2)],
        [cp.L2Pool(1)],
    )
    layers = [
        *(cp.Conv(4, 3), cp.Tanh(), cp.Parallel([], weigh, join=cp.Multiply())),
        *(cp.Parallel(*inception, join=cp.Concat()), cp.LeakyReLU(), cp.Dense(3)),
    ]
    return cp.Network(layers, (2, 8, 8), dtype=dtype)


def named(dtype="float32"):
    """Values that are read again much later, and twice by one node."""
    nodes = {
        "a": (cp.Conv(3, 3, padding=1), "input"),
        "b": (cp.Sigmoid(), "a"),
        "c": (cp.Conv(3, 3, padding=1), "b"),
        "square": (cp.Multiply(), "c", "c"),
        "all": (cp.Add(), "b", "square", "a", "c"),
        "rows": (cp.Flatten(), "all"),
        "dense": (cp.Dense(4), "rows"),
        "again": (cp.Dense(4), "b"),
        "sum": (cp.Add(), "dense", "again"),
        "relu": (cp.ReLU(), "sum"),
        "last": (cp.Dense(3), "relu"),
    }
    return cp.Network(nodes, (2, 8, 8), dtype=dtype)


def mobile(dtype="float32"):
    """Shuffled groups, weighed channels, branches left out, pools in ceil mode and with gaps."""
    layers = [
        *(cp.Conv(6, 3), cp.ReLU(), cp.MaxPool(3, stride=2, ceil_mode=True)),
        cp.Residual(
            *(cp.Conv(6, 1, groups=2), cp.ChannelShuffle(2), cp.Conv(6, 3, padding=1, groups=6)),
            *(cp.Tanh(), cp.SqueezeExcite(2, activation=cp.Softplus())),
            drop=0.3,
        ),
        cp.AveragePool(2, stride=1, padding=(0, 1, 2, 1), dilation=(1, 2), ceil_mode=True),
        *(cp.L2Pool(2, ceil_mode=True), cp.StochasticDepth(0.2), cp.Dense(3)),
    ]
    return cp.Network(layers, (2, 8, 8), dtype=dtype)


NETWORKS = (residual, branches, squeezed, named, mobile)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("network", NETWORKS)
def test_engine_and_equations_agree(network, dtype):
    rows = check_network(network(dtype))
    assert [row for row in rows if not row.passed] == []


def random_network(seed):
    """A graph of joins, convolutions, pools and activations over maps of one shape, by chance."""
    random = np.random.default_rng(seed)
    nodes = {"n0": (cp.Conv(3, 3, padding=1), "input")}
    for n in range(1, 12):
        names = list(nodes)
        one, two = (names[-1 - min(int(random.geometric(0.4)) - 1, n - 1)] for _ in range(2))
        layer = (
            cp.Add(),
            cp.Multiply(),
            cp.Conv(3, 3, padding=1, padding_value=float(random.integers(2))),
            cp.Conv(3, 3, padding=1, algorithm="winograd"),
            cp.Conv(3, 1),
            cp.ReLU(),
            cp.Tanh(),
            cp.MaxPool(3, stride=1, padding=1),
            cp.AveragePool(1),
            cp.Dropout(0.3),
        )[random.integers(10)]
        nodes[f"n{n}"] = (layer, one, two) if layer.joins else (layer, one)
    read = {name for _, *reads in nodes.values() for name in reads}
    leaves = [name for name in nodes if name not in read]
    if len(leaves) > 1:
        nodes["joined"] = (cp.Concat(), *leaves)
    nodes["out"] = (cp.Dense(3), list(nodes)[-1])
    return cp.Network(nodes, (1, 6, 5), seed=seed, dtype="float64")


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_agree_with_the_equations(seed):
    rows = check_network(random_network(seed))
    assert [row for row in rows if not row.passed] == []


def trained(network, threads, batch):
    before = cp.get_num_threads()
    cp.set_num_threads(threads)
    try:
        net = network()
        random = np.random.default_rng(0)
        images = random.standard_normal((70, *net.input_shape)).astype(np.float32)
        labels = np.arange(70) % 3
        cp.train(net, images, labels, epochs=2, batch_size=batch)
        return net.weights_sha256(), net.forward(images[:5]).tobytes()
    finally:
        cp.set_num_threads(before)


@pytest.mark.parametrize("batch", [3, 33, 70])
@pytest.mark.parametrize("network", NETWORKS)
def test_any_number_of_threads_finds_the_same_bits(network, batch):
    assert trained(network, 1, batch) == trained(network, 2, batch) == trained(network, 3, batch)


@pytest.mark.parametrize("network", NETWORKS)
def test_one_image_is_predicted_as_many_are(network):
    net = network()
    images = np.random.default_rng(0).standard_normal((40, 2, 8, 8)).astype(np.float32)
    together = net.forward(images)
    alone = np.concatenate([net.forward(images[n : n + 1]) for n in range(40)])
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_graph_is_saved_and_loaded(network, tmp_path):
    net = network()
    net.save(tmp_path / "net.model")
    back = cp.load(tmp_path / "net.model")
    assert back.graph == net.graph
    assert back.weights_sha256() == net.weights_sha256()


def test_layers_in_a_row_keep_the_first_format(tmp_path):
    net = cp.Network([cp.Conv(2, 3), cp.Dense(2)], (1, 8, 8))
    net.save(tmp_path / "net.model")
    content = (tmp_path / "net.model").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    description = json.loads(header["__metadata__"]["convprop"])
    assert description["format_version"] == 1
    assert "nodes" not in description


def with_nodes(path, change):
    """Write a file whose description of the nodes has been changed."""
    from safetensors.numpy import load_file, save_file

    net = residual()
    net.save(path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    description = json.loads(header["__metadata__"]["convprop"])
    change(description["nodes"])
    save_file(load_file(path), path, {"convprop": json.dumps(description)})


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            lambda nodes: nodes[3].update(reads=["add1"]),
            "read the input or what comes before",
        ),
        (
            lambda nodes: nodes[3].update(reads=["nobody"]),
            "read the input or what comes before",
        ),
        (lambda nodes: nodes[3].update(reads=["conv1", "relu1"]), "read one value in relu2"),
        (lambda nodes: nodes[5].update(reads=["relu1"]), "read several values in add1, got 1"),
        (lambda nodes: nodes[5].update(reads=["conv1", "maxpool"]), "comes before add1"),
        (lambda nodes: nodes[4].update(name="conv1"), "names of nodes must be different"),
        (lambda nodes: nodes[4].update(name="a b"), "be an identifier"),
        (lambda nodes: nodes[4].update(more=1), "must have a name and what it reads"),
        (lambda nodes: nodes[4].update(reads="relu2"), "must read a list of names"),
        (lambda nodes: nodes.pop(), "one for each layer"),
    ],
)
def test_nodes_that_lie_are_refused(change, rule, tmp_path):
    path = tmp_path / "net.model"
    with_nodes(path, change)
    with pytest.raises(ModelFileError, match=r"net\.model") as refused:
        cp.load(path)
    assert rule in str(refused.value)


def test_a_training_of_a_graph_is_resumed(tmp_path):
    images = np.random.default_rng(0).standard_normal((40, 2, 8, 8)).astype(np.float32)
    labels = np.arange(40) % 3
    whole, first, again = residual(), residual(), residual()
    cp.train(whole, images, labels, epochs=4, batch_size=16)
    places = cp.Checkpoints(tmp_path / "net", epochs=1)

    def stop(record):
        if record.epoch == 2:
            raise KeyboardInterrupt

    options = {"epochs": 4, "batch_size": 16, "checkpoints": places}
    history = cp.train(first, images, labels, **options, on_epoch=stop)
    assert history.interrupted
    assert first.weights_sha256() != whole.weights_sha256()
    cp.train(again, images, labels, **options, resume=True)
    assert again.weights_sha256() == whole.weights_sha256()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [cp.Residual(cp.Conv(3, 3))],
            "inputs must have one shape to be added, got 3x6x6 and 1x8x8",
        ),
        ([cp.Add()], "layers must join branches in Residual or Parallel, got Add()"),
        (
            {"a": (cp.Conv(3, 3), "b")},
            "layers must read the input or what comes before a, got 'b'",
        ),
        ({"a": (cp.Add(), "input")}, "layers must read several values in a, got 1"),
        ({"a": (cp.ReLU(), "input", "input")}, "layers must read one value in a, got 2"),
        (
            {"a": cp.ReLU()},
            "layers must be (layer, names of what it reads) for each name, got ReLU()",
        ),
        (
            {"a": (cp.ReLU(), "input"), "b": (cp.Dense(2), "input")},
            "layers must all be read but the last, got a that nobody reads",
        ),
        (
            {"input": (cp.ReLU(), "input")},
            "layer names must leave 'input' to the image, where layers are in branches or by name,"
            " got 'input'",
        ),
        (
            [cp.Parallel([cp.MaxPool(2)], [])],
            "inputs must have as many rows and columns to be joined, got 1x4x4 and 1x8x8",
        ),
        (
            [cp.Parallel([], [], [], join=cp.Multiply())],
            "inputs must be two to be multiplied, got 3",
        ),
    ],
)
def test_graphs_that_do_not_fit_get_one_error(layers, message):
    with pytest.raises(InvalidInput) as refused:
        cp.Network(layers, (1, 8, 8))
    assert str(refused.value).startswith(message)


def test_what_is_no_branch_is_refused():
    with refuses(InvalidInput, "branches must be two or more, got 1"):
        cp.Parallel([cp.ReLU()])
    with refuses(InvalidInput, "join must be Add(), Multiply() or Concat(), got ReLU()"):
        cp.Parallel([], [], join=cp.ReLU())
    with refuses(InvalidInput, "shortcut must be a list of layers, got ReLU()"):
        cp.Residual(cp.ReLU(), shortcut=cp.ReLU())


def test_squeeze_and_excitation_is_its_layers():
    weigh = [cp.AveragePool("global"), cp.Conv(2, 1), cp.ReLU(), cp.Conv(5, 1), cp.Sigmoid()]
    by_hand = [cp.Conv(5, 3), cp.Parallel([], weigh, join=cp.Multiply()), cp.Dense(3)]
    block = [cp.Conv(5, 3), cp.SqueezeExcite(2), cp.Dense(3)]
    assert graph(block, (1, 8, 8)) == graph(by_hand, (1, 8, 8))


def test_a_branch_that_is_dropped_ends_in_stochastic_depth():
    by_hand = [cp.Residual(cp.Conv(1, 1), cp.ReLU(), cp.StochasticDepth(0.1)), cp.Dense(3)]
    block = [cp.Residual(cp.Conv(1, 1), cp.ReLU(), drop=0.1), cp.Dense(3)]
    assert graph(block, (1, 8, 8)) == graph(by_hand, (1, 8, 8))
    assert "StochasticDepth(0.1)" in str(cp.Network(block, (1, 8, 8)).summary())
    # None is left out of predictions, whose numbers are those without it.
    plain = [cp.Residual(cp.Conv(1, 1), cp.ReLU()), cp.Dense(3)]
    images = np.random.default_rng(0).standard_normal((20, 1, 8, 8)).astype(np.float32)
    with_it, without = (cp.Network(layers, (1, 8, 8)) for layers in (block, plain))
    np.testing.assert_array_equal(with_it.forward(images), without.forward(images))


def test_a_graph_has_an_input_shape_of_its_own():
    net = residual()
    assert cp.Network(net.graph, [2, 8, 8]).graph is net.graph
    with refuses(InvalidInput, "input_shape must be the graph's (2, 8, 8), got (2, 9, 8)"):
        cp.Network(net.graph, (2, 9, 8))


def test_branches_may_be_nested_as_deep_as_anybody_needs():
    nested = cp.ReLU()
    for _ in range(99):
        nested = cp.Residual(nested)
    assert len(graph([nested], (1, 4, 4)).nodes) == 100
    with refuses(InvalidInput, "layers must be nested at most 100 deep, got deeper ones"):
        graph([cp.Residual(nested)], (1, 4, 4))
    for _ in range(10_000):
        nested = cp.Residual(nested)
    with refuses(InvalidInput, "layers must be nested at most 100 deep, got deeper ones"):
        graph([nested], (1, 4, 4))


def test_what_does_not_fit_at_the_end_of_many_layers_is_traced_in_few_words():
    layers = [*[cp.Residual(cp.Conv(1, 1)) for _ in range(400)], cp.MaxPool(9)]
    with pytest.raises(InvalidInput) as refused:
        cp.Network(layers, (1, 8, 8))
    message = str(refused.value)
    assert len(message) < 4300
    assert ", at max_pool1 = MaxPool(9): input 1x8x8 -> conv1 1x8x8 -> add1(" in message
    assert " more characters) ..." in message
    assert message.endswith(" -> add400(conv400, add399) 1x8x8 -> max_pool1")


def everywhere(shape):
    return itertools.product(*(range(length) for length in shape))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("network", NETWORKS)
def test_explanations_sum_to_the_bit(network, dtype):
    net = network(dtype)
    random = np.random.default_rng(1)
    images = random.standard_normal((20, 2, 8, 8)).astype(dtype)
    asked = Explainer(net, images, np.arange(20) % 3)
    for place, node in enumerate(net.graph.nodes):
        winograd = node.native.get("algorithm") == "winograd"
        output = asked.done.layers[place].output
        some = random.permutation(list(everywhere(output.shape[1:])))[:5]
        for at in some:
            found = asked.output(node.name, *map(int, at), image=7)
            assert found.value == output[(7, *at)]
            assert found.exact or winograd
            if net.graph.readers(place + 1):
                whole = asked.received(node.name, *map(int, at), image=7)
                readers = [net.graph.nodes[n] for n in net.graph.readers(place + 1)]
                by_winograd = any(n.native.get("algorithm") == "winograd" for n in readers)
                assert whole.value == asked.done.layers[place].delta[(7, *at)]
                assert whole.exact or by_winograd
        for part, parameter in node.parameters.items():
            for at in random.permutation(list(everywhere(parameter.shape)))[:5]:
                ask = asked.weight_gradient if part == "weight" else asked.bias_gradient
                found = ask(node.name, *map(int, at))
                assert found.value == asked.done.layers[place].gradients[part][tuple(at)]
                assert found.exact or winograd


def test_a_join_explains_the_delta_of_each_value_that_it_reads():
    net = residual()
    images = np.random.default_rng(1).standard_normal((2, 2, 8, 8)).astype(np.float32)
    first, second = (cp.explain.delta(net, images, [0, 1], "add2", 1, 1, 0, of=n) for n in (0, 1))
    by_name = cp.explain.delta(net, images, [0, 1], "add2", 1, 1, 0, of="conv5")
    assert (first.name, second.name) == (
        "delta[c=1, i=1, j=0] of tanh1, image 0, through add2",
        "delta[c=1, i=1, j=0] of conv5, image 0, through add2",
    )
    assert by_name.name == second.name
    with refuses(InvalidInput, "of (tanh1, conv5) must be an integer in 0 .. 1, got 'relu1'"):
        cp.explain.delta(net, images, [0, 1], "add2", 1, 1, 0, of="relu1")


@pytest.mark.parametrize("network", NETWORKS)
def test_what_readers_send_adds_up_to_the_delta(network):
    net = network()
    images = np.random.default_rng(1).standard_normal((5, 2, 8, 8)).astype(np.float32)
    asked = Explainer(net, images, np.arange(5) % 3)
    deltas = [asked.done.input_delta, *(layer.delta for layer in asked.done.layers)]
    for value, whole in enumerate(deltas[:-1]):
        readers = [net.graph.nodes[n] for n in net.graph.readers(value)]
        if any(node.native.get("algorithm") == "winograd" for node in readers):
            continue  # whose sums are others than the products' that are shown
        first, *others = asked.sent(value).values()
        total = sum(others, start=first)
        np.testing.assert_array_equal(total.reshape(whole.shape), whole)


def test_fields_go_through_all_branches():
    net = residual()
    # Two convolutions of three pixels, and the pixel itself through the shortcut.
    seen = receptive_field(net, "add1", 4, 4, of="relu1")
    assert (list(seen.rows), list(seen.columns)) == ([2, 3, 4, 5, 6],) * 2
    reached = projective_field(net, "relu1", 0, 0, on="add1")
    assert (list(reached.rows), list(reached.columns)) == ([0, 1, 2],) * 2
    # What lies on another branch is not seen.
    assert list(receptive_field(net, "conv5", 0, 0, of="tanh1").rows) == []


def test_what_lies_in_maps_behind_a_flatten_is_read_in_a_row():
    """A Flatten hands on the maps that it reads, and so does what only follows it."""
    bend = [cp.Flatten(), cp.Tanh()]
    for join in (cp.Add(), cp.Multiply(), cp.Concat()):
        layers = [cp.Conv(3, 2), cp.Parallel(bend, [cp.Sigmoid(), *bend], join=join), cp.Dense(2)]
        net = cp.Network(layers, (1, 4, 5), seed=2)
        assert all(row.passed for row in check_network(net))
        images = np.random.default_rng(0).standard_normal((40, 1, 4, 5)).astype(np.float32)
        assert np.array_equal(net.forward(images)[:3], net.forward(images[:3]))
