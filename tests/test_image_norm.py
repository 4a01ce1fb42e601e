"""Normalisations of an image by its own numbers: conventions, accuracy, every way to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cases
import convprop as cp
from convprop import equations as eq
from convprop import ops
from convprop.check.image_norm import sizes
from convprop.check.layer import ComputedLayer, check_layer
from convprop.check.network import check_network
from convprop.errors import InvalidInput
from convprop.network import FEW_IMAGES
from refusal import refuses

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda d: d.__name__)


def over(table: Any) -> Any:
    return pytest.mark.parametrize("case", table, ids=lambda case: case.name)


# The equations, and the engine against them


def described(case: cases.NormCase) -> dict[str, Any]:
    return {"kind": case.kind, **case.resolved}


@over(cases.IMAGE_NORMS)
def test_equations_against_complex_steps(case: cases.NormCase):
    o, weight, bias, delta = case.arrays()
    o, delta, layer = o[:2], delta[:2], described(case)
    parameters = {"weight": weight, "bias": bias} if case.affine else {}

    def error(v: np.ndarray) -> np.ndarray:
        return (delta * eq.network.layer_forward(layer, [v], parameters)).sum()

    (back,) = eq.network.layer_input_deltas(layer, [o], delta, parameters)
    steps = eq.delta_by_definition(error, o)
    # Of two numbers x^ is nearly 1 and -1 whatever they are: the terms of the delta cancel.
    terms = sizes(layer, o, delta, parameters, float)["input_delta"].max()
    assert np.abs(back - steps).max() <= 1e-14 * terms


@over(cases.RESPONSE_NORMS)
def test_response_equations_against_complex_steps(case: cases.ResponseCase):
    o, delta = (array[:2] for array in case.arrays())
    layer = {"kind": "local_response_norm", **case.options}

    def error(v: np.ndarray) -> np.ndarray:
        return (delta * eq.network.layer_forward(layer, [v], {})).sum()

    (back,) = eq.network.layer_input_deltas(layer, [o], delta, {})
    steps = eq.delta_by_definition(error, o)
    assert np.abs(back - steps).max() <= 1e-13 * np.abs(steps).max()


def agrees(run: ComputedLayer) -> None:
    for row in check_layer("", run, ""):
        assert row.passed, row


@both_dtypes
@over(cases.IMAGE_NORMS)
def test_engine_and_equations(case: cases.NormCase, dtype: cases.Dtype):
    o, weight, bias, delta = case.arrays(dtype)
    both = (weight, bias) if case.affine else (None, None)
    x = ops.image_norm.forward(o, *both, **case.options)
    back = ops.image_norm.input_delta(delta, o, both[0], **case.options)
    parameters = {"weight": weight, "bias": bias} if case.affine else {}
    gradients = {
        "weight": ops.image_norm.weight_gradient(o, delta, **case.options),
        "bias": ops.image_norm.bias_gradient(o, delta, **case.options),
    }
    agrees(ComputedLayer(described(case), [o], x, delta, [back], parameters, gradients))


@both_dtypes
@over(cases.RESPONSE_NORMS)
def test_engine_and_response_equations(case: cases.ResponseCase, dtype: cases.Dtype):
    o, delta = case.arrays(dtype)
    x = ops.local_response_norm.forward(o, **case.options)
    back = ops.local_response_norm.input_delta(delta, o, **case.options)
    agrees(ComputedLayer({"kind": "local_response_norm", **case.options}, [o], x, delta, [back]))


@over(cases.IMAGE_NORMS)
def test_rows_are_maps_of_one_pixel_and_images_do_not_touch_one_another(case: cases.NormCase):
    o, weight, bias, delta = case.arrays(np.float32)
    x = ops.image_norm.forward(o, weight, bias, **case.options)
    back = ops.image_norm.input_delta(delta, o, weight, **case.options)
    last = ops.image_norm.forward(o[-1:], weight, bias, **case.options)
    assert np.array_equal(last, x[-1:])
    alone = ops.image_norm.input_delta(delta[-1:], o[-1:], weight, **case.options)
    assert np.array_equal(alone, back[-1:])
    if case.size == (1, 1):
        rows = ops.image_norm.forward(o[..., 0, 0], weight, bias, **case.options)
        assert np.array_equal(rows, x[..., 0, 0])


# Conventions, by hand


def test_group_norm_by_hand():
    """PyTorch's and ONNX's: the variance is divided by n, epsilon stands under the root."""
    o = np.array([[[[1.0, 3.0]], [[5.0, 7.0]], [[2.0, 2.0]], [[2.0, 6.0]]]])
    x = ops.image_norm.forward(o, groups=2, epsilon=4.0)
    # 1, 3, 5, 7 have the mean 4 and the variance 5; 2, 2, 2, 6 the mean 3 and the variance 3.
    first, second = np.array([-3, -1, 1, 3]) / 3, np.array([-1, -1, -1, 3]) / np.sqrt(7)
    np.testing.assert_allclose(x.reshape(2, 4), [first, second], rtol=1e-15)
    weight, bias = np.array([2.0, 3.0, 1.0, 1.0]), np.array([0.5, 0.0, 0.0, 1.0])
    x = ops.image_norm.forward(o, weight, bias, groups=2, epsilon=4.0)
    expected = [[-1.5, -2 / 3 + 0.5, 1.0, 3.0], [*second[:2], *(second[2:] + 1)]]
    np.testing.assert_allclose(x.reshape(2, 4), expected, rtol=1e-15)
    scales = ops.image_norm.scales(o, groups=2, epsilon=4.0)
    np.testing.assert_allclose(scales, [[1 / 3, 1 / np.sqrt(7)]], rtol=1e-15)


def test_layer_norm_by_hand():
    """ConvNeXt's: the channels of each pixel, here 1, 5 and 3, 7."""
    o = np.array([[[[1.0, 3.0]], [[5.0, 7.0]]]])
    x = ops.image_norm.forward(o, groups=None, epsilon=5.0)
    np.testing.assert_allclose(x[0, :, 0], [[-2 / 3, -2 / 3], [2 / 3, 2 / 3]], rtol=1e-15)
    net = cp.Network([cp.LayerNorm(epsilon=5.0)], (2, 1, 2), cp.SquaredError(), dtype="float64")
    assert np.array_equal(net.forward(o).reshape(x.shape), x)


def test_instance_norm_is_group_norm_of_single_channels():
    o = np.random.default_rng(0).standard_normal((3, 4, 5, 6)).astype(np.float32)
    nets = [
        cp.Network([layer, cp.Dense(2)], (4, 5, 6), seed=1)
        for layer in (cp.InstanceNorm(), cp.GroupNorm(4))
    ]
    assert np.array_equal(nets[0].forward(o), nets[1].forward(o))


def test_local_response_norm_by_hand():
    """PyTorch's and ONNX's: alpha is divided by the size, and what lies outside counts as 0."""
    o = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    x = ops.local_response_norm.forward(o, 3, alpha=3.0, beta=0.5, k=4.0)
    expected = [1 / 3, 2 / np.sqrt(18), 3 / np.sqrt(17)]
    np.testing.assert_allclose(x.ravel(), expected, rtol=1e-15)
    layer = cp.LocalResponseNorm()
    assert (layer.size, layer.alpha, layer.beta, layer.k) == (5, 1e-4, 0.75, 1.0)


# Accuracy


@pytest.mark.parametrize("groups", [1, 2, 4, None])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (5, 224), (32, 32)])
def test_a_mean_far_from_zero_costs_the_variance_nothing(groups: int | None, size: cases.Pair):
    random = np.random.default_rng(0)
    channels = 64 if size == (1, 1) or groups is None else 4
    if size == (1, 1) and groups == 4:
        groups = 2
    o = (1e4 + random.standard_normal((2, channels, *size))).astype(np.float32)
    wide = o.astype(np.float64)
    variance = wide.var(axis=1) if groups is None else wide.reshape(2, groups, -1).var(axis=2)
    scales = ops.image_norm.scales(o, groups=groups)
    # The root halves the variance's error, and the rounding to float32 adds half a unit.
    assert np.abs(scales**2 * (variance + 1e-5) - 1).max() < 1e-6
    x = ops.image_norm.forward(o, groups=groups)
    right = ops.image_norm.forward(wide, groups=groups)
    assert np.abs(x - right).max() < 2e-6


def test_a_constant_is_its_mean():
    o = np.full((2, 4, 3, 5), 0.1, np.float32)
    for groups in (1, 2, 4, None):
        assert not ops.image_norm.forward(o, groups=groups).any()


def test_nan_stays_in_its_set():
    o = np.random.default_rng(0).standard_normal((2, 4, 3, 5)).astype(np.float32)
    o[1, 0, 1, 1] = np.nan
    by_group = np.isnan(ops.image_norm.forward(o, groups=2))
    assert by_group[1, :2].all()
    assert by_group.sum() == by_group[1, :2].size
    by_pixel = np.isnan(ops.image_norm.forward(o, groups=None))
    assert by_pixel[1, :, 1, 1].all()
    assert by_pixel.sum() == 4


# Networks


NORMS = {
    "group": lambda: cp.GroupNorm(2),
    "whole": lambda: cp.GroupNorm(1, affine=False),
    "instance": lambda: cp.InstanceNorm(),
    "layer": lambda: cp.LayerNorm(epsilon=1e-3),
    "response": lambda: cp.LocalResponseNorm(3, alpha=0.5),
}


def network(name: str, dtype: str = "float32") -> cp.Network:
    layers = [
        *(cp.Conv(6, 3, padding=1), NORMS[name](), cp.Tanh(), cp.MaxPool(2), cp.Conv(4, 3)),
        *(cp.Sigmoid(), NORMS[name](), cp.Conv(4, (2, 3), padding=1), cp.Dense(5)),
    ]
    net = cp.Network(layers, (2, 17, 39), seed=3, dtype=dtype)
    random = np.random.default_rng(1)
    for values in net.parameters.values():
        if values.ndim == 1:
            values += random.standard_normal(values.shape).astype(dtype) / 2
    return net


def gradients(net: cp.Network, batch_size: int, images: np.ndarray) -> list[np.ndarray]:
    plan = net.plan("train", batch_size)
    found = [np.empty_like(array) for array in net.parameters.values()]
    labels = (np.arange(len(images)) % 5).astype(np.int32)
    # Twice, so that what the first pass leaves behind would show in the second.
    for rows in (images[::-1].copy(), images):
        plan.gradients(rows, None, labels, None, *net.lane_normalisation(), 1, 0, found)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NORMS)
def test_every_way_finds_the_same_bits(name: str, dtype: str):
    """Image by image, block by block, with everything kept, and with any number of threads."""
    net, random = network(name, dtype), np.random.default_rng(2)
    before = cp.get_num_threads()
    for count in (1, 3, FEW_IMAGES, 20):
        images = random.standard_normal((count, 2, 17, 39)).astype(dtype)
        found = []
        for threads in (1, 2, 5):
            cp.set_num_threads(threads)
            done = net.backpropagate(images, np.arange(count) % 5)
            found.append([done.layers[-1].output, *done.gradients.values()])
            for batch_size in {max(count, FEW_IMAGES), max(count, FEW_IMAGES + 1)}:
                outputs = net.plan("predict", batch_size).predict(
                    images, None, *net.lane_normalisation()
                )
                found.append([outputs, *gradients(net, batch_size, images)])
        cp.set_num_threads(before)
        for other in found[1:]:
            for a, b in zip(found[0], other, strict=True):
                assert np.abs(a).max() > 0
                assert a.tobytes() == b.tobytes()


def test_behind_a_flatten_a_row_is_normalised():
    layers = [
        cp.Conv(3, 2),
        cp.Flatten(),
        cp.LayerNorm(),
        cp.Dense(9),
        cp.GroupNorm(3),
        cp.Dense(2),
    ]
    net = cp.Network(layers, (1, 5, 4), dtype="float64")
    images = np.random.default_rng(0).standard_normal((5, 1, 5, 4))
    done = net.backpropagate(images, np.arange(5) % 2)
    flat = done.layers[1].output
    right = (flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(done.layers[2].output, right, rtol=0, atol=1e-14)
    assert [row for row in check_network(net) if not row.passed] == []


@pytest.mark.parametrize("name", NORMS)
def test_whole_networks_are_right(name: str):
    assert [row for row in check_network(network(name)) if not row.passed] == []


def test_weights_begin_at_one_and_biases_at_zero():
    net = cp.Network([cp.Conv(4, 3), cp.GroupNorm(2), cp.ReLU(), cp.Dense(2)], (1, 6, 6))
    assert net.parameters["group_norm1.weight"].tolist() == [1.0] * 4
    assert net.parameters["group_norm1.bias"].tolist() == [0.0] * 4
    # He's range, since the ReLU behind the normalisation still halves the variance.
    assert np.abs(net.parameters["conv1.weight"]).max() > np.sqrt(6 / (9 + 36))
    plain = cp.Network([cp.GroupNorm(2, affine=False), cp.Dense(2)], (4, 6, 6))
    assert [*plain.parameters] == ["dense1.weight", "dense1.bias"]


def test_what_a_pixel_depends_on():
    layers = [cp.Conv(4, 3), cp.LayerNorm(), cp.LocalResponseNorm(), cp.InstanceNorm(), cp.Dense(2)]
    net = cp.Network(layers, (1, 6, 7))
    for layer in ("layer_norm1", "local_response_norm1"):
        field = cp.explain.receptive_field(net, layer, 1, 2)
        assert (field.rows.tolist(), field.columns.tolist()) == ([1, 2, 3], [2, 3, 4])
    field = cp.explain.receptive_field(net, "instance_norm1", 1, 2)
    assert (len(field.rows), len(field.columns)) == (6, 7)
    reached = cp.explain.projective_field(net, "conv1", 1, 2, on="instance_norm1")
    assert (len(reached.rows), len(reached.columns)) == (4, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cp.GroupNorm(0), "groups must be a positive integer, got 0"),
        (lambda: cp.GroupNorm(2, epsilon=0), "epsilon must be a positive number, got 0"),
        (lambda: cp.LayerNorm(affine=2), "affine must be True or False, got 2"),
        (lambda: cp.LocalResponseNorm(4), "size must be an odd positive integer, got 4"),
        (
            lambda: cp.Network([cp.GroupNorm(4)], (6, 3, 3)),
            "groups must divide the 6 input channels, got 4, at group_norm1 = GroupNorm(4): "
            "input 6x3x3 -> group_norm1",
        ),
        (
            lambda: cp.Network([cp.InstanceNorm()], (6, 1, 1)),
            "input must have several numbers to be normalised together, got 1, at "
            "instance_norm1 = InstanceNorm(): input 6x1x1 -> instance_norm1",
        ),
        (
            lambda: cp.Network([cp.LayerNorm()], (1, 6, 6)),
            "input must have several channels to be normalised together, got 1, at "
            "layer_norm1 = LayerNorm(): input 1x6x6 -> layer_norm1",
        ),
        (
            lambda: ops.image_norm.forward(np.ones((2, 3)), np.ones(4), groups=1),
            "weight must have shape (3,), got (4,)",
        ),
        (
            lambda: ops.image_norm.input_delta(np.ones((2, 4)), np.ones((2, 3)), groups=1),
            "delta must have shape (2, 3), got (2, 4)",
        ),
        (
            lambda: ops.local_response_norm.forward(np.ones((2, 3, 1, 1)), alpha=-1.0),
            "alpha must be a positive number, got -1.0",
        ),
    ],
)
def test_refuses(make: Any, message: str):
    with refuses(InvalidInput, message):
        make()
