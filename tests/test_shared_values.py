"""Values that several layers read, or one layer twice: deltas, predictions, explanations, names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import convprop as cp
from convprop.explain import Explainer, projective_field, receptive_field
from refusal import refuses

CONV = cp.Conv(4, 3, padding=1)


def images(count: int, shape: tuple[int, int, int] = (2, 8, 8)) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, *shape)).astype(np.float32)


@pytest.fixture(autouse=True)
def _threads():
    before = cp.get_num_threads()
    yield
    cp.set_num_threads(before)


TWICE = {
    "concat": [CONV, cp.ReLU(), cp.Parallel([], []), CONV, cp.Dense(5)],
    "concat of three": [CONV, cp.Parallel([], [CONV], []), cp.Dense(5)],
    "concat of the image": [cp.Parallel([], []), cp.Dense(5)],
    "add": [CONV, cp.Residual(), CONV, cp.Dense(5)],
    "multiply": [CONV, cp.Parallel([], [], join=cp.Multiply()), CONV, cp.Dense(5)],
}


@pytest.mark.parametrize("name", TWICE)
@pytest.mark.parametrize("count", [2, 4, 12, 40])
def test_a_join_that_reads_a_value_twice_is_the_same_with_any_threads(name: str, count: int):
    labels = np.arange(count) % 5
    found = []
    for threads in (1, 2, 3, 5):
        cp.set_num_threads(threads)
        net = cp.Network(TWICE[name], (2, 8, 8))
        done = net.backpropagate(images(count), labels)
        again = net.backpropagate(images(count), labels)
        np.testing.assert_array_equal(done.input_delta, again.input_delta)
        cp.train(net, images(count), labels, epochs=2, batch_size=max(count // 2, 1))
        found.append((done.input_delta.tobytes(), net.weights_sha256()))
    assert found == [found[0]] * 4


@pytest.mark.parametrize("name", TWICE)
def test_the_gradient_of_a_join_that_reads_a_value_twice_is_right(name: str):
    cp.set_num_threads(2)
    net = cp.Network(TWICE[name], (2, 8, 8), dtype="float64")
    pixels, labels = images(3).astype(np.float64), np.arange(3)
    delta = net.backpropagate(pixels, labels).input_delta
    way = np.random.default_rng(1).standard_normal(pixels.shape)
    step = 1e-6
    losses = [net.backpropagate(pixels + sign * step * way, labels).loss for sign in (1, -1)]
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(np.vdot(delta, way), rel=1e-5)


FIRST = {
    "dropout": [cp.Dropout(0.3), cp.Dense(5)],
    "dropout twice": [cp.Dropout(0.3), cp.Dropout(0.1), cp.Dense(5)],
    "flatten": [cp.Flatten(), cp.Dense(5)],
    "flattened dropout": [cp.Dropout(0.3), cp.Flatten(), cp.Dense(5)],
    "identity": [cp.Identity(), cp.Dense(5)],
    "relu": [cp.Dropout(0.2), cp.ReLU(), cp.Dense(5)],
    "dense": [cp.Dense(5)],
}
SECOND = {
    "padded": [CONV, cp.Dense(5)],
    "padded with ones": [cp.Conv(4, 3, padding=1, padding_value=1.0), cp.Dense(5)],
    "pooled": [cp.MaxPool(3, stride=1, padding=1), cp.Dense(5)],
    "dropped, padded": [cp.Dropout(0.2), CONV, cp.Dense(5)],
    "winograd": [cp.Conv(4, 3, padding=1, algorithm="winograd"), cp.Dense(5)],
}


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("before", [[], [CONV, cp.ReLU()], [CONV]], ids=["image", "relu", "conv"])
def test_predictions_are_those_of_the_pass_that_keeps_everything(
    before: list[cp.Conv], first: str, second: str
):
    layers = [*before, cp.Parallel(FIRST[first], SECOND[second], join=cp.Add())]
    net = cp.Network(layers, (2, 8, 8))
    for count in (1, 3, 20):
        done = net.backpropagate(images(count), np.zeros(count, int))
        kept = done.layers[-1].output
        # Winograd's sums are others, and a pass that keeps everything has the same ones.
        np.testing.assert_array_equal(net.forward(images(count)), kept)


def gated() -> cp.Network:
    gate = [cp.AveragePool("global"), cp.Conv(4, 1), cp.Sigmoid()]
    branches = cp.Parallel([], gate, join=cp.Multiply())
    return cp.Network([cp.Conv(4, 3), branches, cp.Conv(2, 2), cp.Dense(3)], (1, 8, 8))


def test_fields_go_through_one_number_a_channel():
    net, whole, part = gated(), list(range(6)), list(range(8))
    assert receptive_field(net, "multiply1", 4, 4).rows.tolist() == part
    assert receptive_field(net, "multiply1", 4, 4, of="average_pool1").rows.tolist() == [0]
    assert receptive_field(net, "multiply1", 4, 4, of="conv1").columns.tolist() == whole
    assert projective_field(net, "sigmoid1", 0, 0, on="multiply1").rows.tolist() == whole
    assert projective_field(net, "conv1", 2, 3, on="average_pool1").rows.tolist() == [0]
    assert projective_field(net, "conv1", 2, 3, on="multiply1").rows.tolist() == whole


def test_a_field_is_where_a_change_arrives():
    net = gated()
    pixels = images(1, (1, 8, 8))
    changed = pixels.copy()
    changed[0, 0, 7, 7] += 1.0
    before, after = (net.backpropagate(x, [0]).layers for x in (pixels, changed))
    place = net.names.index("multiply1")
    moved = np.argwhere((before[place].output != after[place].output).any(axis=(0, 1)))
    found = projective_field(net, "input", 7, 7, on="multiply1")
    assert {tuple(at) for at in moved} <= {(r, c) for r in found.rows for c in found.columns}
    assert len(moved) == 36


@pytest.mark.parametrize("layer", [CONV, cp.MaxPool(3, stride=1, padding=1)], ids=["conv", "pool"])
def test_a_delta_through_an_activation_whose_input_others_read_is_exact(layer: cp.Conv):
    net = cp.Network([CONV, cp.Residual(cp.ReLU(), layer), cp.Dense(10)], (1, 8, 8))
    asked = Explainer(net, images(2, (1, 8, 8)), [3, 4])
    name = net.names[2]
    for c, i, j in [(0, 3, 4), (3, 0, 0), (1, 7, 2)]:
        found = asked.delta(name, c, i, j, image=1)
        assert found.exact
        assert found.total == found.value == asked.done.layers[1].delta[1, c, i, j]


@pytest.mark.parametrize("kind", [cp.AveragePool, cp.MaxPool, cp.L2Pool])
@pytest.mark.parametrize("order", [1, -1])
def test_what_an_overlapping_pool_sends_is_added_whole(kind: type[cp.AveragePool], order: int):
    branches = [[kind(3, stride=1, padding=1)], [cp.Softplus()], [kind(3, stride=2, padding=1)]]
    ends = [cp.Dense(4)]
    layers = [CONV, cp.Parallel(*[[*b, *ends] for b in branches[::order]], join=cp.Add())]
    net = cp.Network(layers, (1, 8, 8))
    asked = Explainer(net, images(3, (1, 8, 8)), [0, 1, 2])
    whole = None
    for part in asked.sent(1).values():
        whole = part if whole is None else whole + part
    np.testing.assert_array_equal(whole, asked.done.layers[0].delta)
    for c, i, j in np.ndindex(4, 8, 8):
        found = asked.received("conv1", c, i, j, image=2)
        assert found.total == found.value


def test_input_names_the_image_alone(tmp_path: Path):
    named = cp.Conv(4, 3, padding=1, name="input")
    rule = (
        "layer names must leave 'input' to the image, where layers are in branches or by name,"
        " got 'input'"
    )
    with refuses(cp.InvalidInput, rule):
        cp.Network([named, cp.Residual(CONV), cp.Dense(3)], (1, 8, 8))
    with refuses(cp.InvalidInput, rule):
        cp.Network({"input": (CONV, "input"), "o": (cp.Dense(3), "input")}, (1, 8, 8))
    with refuses(cp.InvalidInput, "layer names must be texts, got None"):
        cp.Network({"a": (CONV, "input"), None: (cp.Dense(2), "a")}, (1, 8, 8))  # type: ignore[dict-item]
    # In a row it has been a name, and files hold it.
    row = cp.Network([named, cp.Dense(3)], (1, 8, 8))
    row.save(tmp_path / "row")
    assert cp.load(tmp_path / "row").names == ("input", "dense1")


def test_nodes_of_layers_that_share_a_name_are_saved(tmp_path: Path):
    layer = cp.Conv(4, 3, padding=1, name="x")
    net = cp.Network({"a": (layer, "input"), "b": (layer, "a"), "o": (cp.Dense(3), "b")}, (1, 8, 8))
    net.save(tmp_path / "net")
    back = cp.load(tmp_path / "net")
    assert back.graph == net.graph
    assert back.weights_sha256() == net.weights_sha256()


def test_any_number_of_layers_without_parameters_may_follow():
    layers = [CONV, *[cp.Dropout(0.1)] * 1200, cp.ReLU(), cp.Dense(2)]
    assert len(cp.Network(layers, (1, 8, 8)).layers) == 1203


def test_first_weights_do_not_depend_on_the_order_of_readers():
    pooled, rectified = [cp.AveragePool(2), cp.Dense(3)], [cp.ReLU(), cp.Dense(3)]
    nets = [
        cp.Network([CONV, cp.Parallel(*branches, join=cp.Add())], (1, 8, 8))
        for branches in ([pooled, rectified], [rectified, pooled])
    ]
    one, other = (net.parameters["conv1.weight"] for net in nets)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: cp.Residual(CONV, shorcut=[]), "(did you mean 'shortcut'?)"),
        (lambda: cp.Parallel([], [], joint=cp.Add()), "(did you mean 'join'?)"),
        (lambda: cp.Residual(CONV, shortcut=0), "shortcut must be a list of layers, got 0"),
        (lambda: cp.Network([[CONV, cp.ReLU()]], (1, 8, 8)), "its layers one by one?"),
        (
            lambda: cp.Network({"a": (cp.Add(), ["input", "input"])}, (1, 8, 8)),
            "(names follow one by one)",
        ),
        (
            lambda: cp.Network({"a": (cp.Residual(CONV), "input")}, (1, 8, 8)),
            "hold layers where they have names",
        ),
    ],
)
def test_slips_are_answered_with_the_cure(make, rule: str):
    with pytest.raises(cp.InvalidInput) as caught:
        make()
    assert rule in str(caught.value)
