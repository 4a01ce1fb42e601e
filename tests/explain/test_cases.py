"""Over every case of tests/cases.py: the terms, summed in order, are the engine's numbers."""

from itertools import product

import numpy as np
import pytest

import convprop as cp
from by_hand import add, fma, sum_of_images
from cases import (
    CONVOLUTIONS,
    DENSES,
    IMAGE_NORMS,
    JOINS,
    LOSSES,
    MAPS,
    POOLINGS,
    RESPONSE_NORMS,
    SHUFFLES,
)
from convprop.explain import Explainer, Explanation
from convprop.layers.pool import POOLINGS as POOLS

DTYPES = (np.float32, np.float64)
FEW = 700  # products that whole-number arithmetic sums in a moment


def marked(cases):
    """Return the cases, those of the benchmarks among the slow tests."""
    marks = [pytest.mark.slow]
    return [pytest.param(case, id=case.name, marks=marks * case.benchmark) for case in cases]


def corners_and_more(shape, random, more=6):
    """Return the first index of an array, the last one, and some between."""
    drawn = [tuple(int(random.integers(length)) for length in shape) for _ in range(more)]
    return [(0,) * len(shape), tuple(length - 1 for length in shape), *drawn]


def same(a, b):
    """Whether two numbers are equal bit for bit."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def chain(found: Explanation, first=0, last=None):
    """Sum terms first to last by hand."""
    a = found.terms[found.factors[0]][first:last]
    b = found.terms[found.factors[1]][first:last] if len(found.factors) > 1 else np.ones_like(a)
    total = found.start[1]
    for left, right in zip(a, b, strict=True):
        total = fma(left, right, total)
    return total


def holds(found: Explanation, value):
    """Whether the explanation is of that value of the engine, and gives it."""
    assert same(found.value, value)
    assert found.exact
    assert same(found.total, value)
    products = np.ones(len(found.terms))
    for factor in found.factors:
        products = products * found.terms[factor]
    assert np.array_equal(found.terms["value"], products)
    assert len(found.running) in (0, len(found.terms))
    return True


def last_sum(found: Explanation):
    """Return what the explanation says of the sum, and what it is by hand."""
    return found.parts[0].sums[-1] + 0, chain(found, 0, found.parts[0].last)


def tree_of_groups(found: Explanation, images):
    """Return the sum of a dense layer's gradient by hand: sixteens of images, then these."""
    assert [(part.first, part.last) for part in found.parts] == [
        (n, min(n + 16, images)) for n in range(0, images, 16)
    ]
    sums = [chain(found, part.first, part.last) for part in found.parts]
    while len(sums) > 1:
        sums = [add(*pair) if len(pair) == 2 else pair[0] for pair in batched(sums, 2)]
    return sums[0] + 0


def batched(values, size):
    """Return lists of so many values each, the last perhaps of fewer."""
    return [values[n : n + size] for n in range(0, len(values), size)]


def network(layers, input_shape, dtype):
    """Return a network of these layers whose E is the sum over images."""
    loss = cp.SquaredError(reduction="sum")
    return cp.Network([*layers, cp.Flatten()], input_shape, loss, seed=1, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", marked(CONVOLUTIONS))
def test_convolutions(case, dtype):
    random = np.random.default_rng(7)
    arrays = case.arrays(dtype)
    layer = cp.Conv(case.kernels, case.kernel_size, bias=case.bias, name="conv", **case.options)
    net = network([cp.Tanh(), layer], arrays.o.shape[1:], dtype)
    net.parameters["conv.weight"] = arrays.w
    if case.bias:
        net.parameters["conv.bias"] = arrays.b
    asked = Explainer(net, arrays.o, arrays.delta.reshape(len(arrays.o), -1))
    done = asked.done.layers[1]
    few = case.multiply_adds < 1e6
    at = case.resolved

    for n, k, i, j in corners_and_more(done.output.shape, random):
        found = asked.output("conv", k, i, j, image=n)
        assert holds(found, done.output[n, k, i, j])
        assert len(found.terms) == arrays.w[0].size
        if few:
            assert same(*last_sum(found))
        for term in found.terms[:: max(len(found.terms) // 7, 1)]:
            row, column = term["row"], term["column"]
            inside = 0 <= row < case.input_size[0] and 0 <= column < case.input_size[1]
            pixel = done.input[n, term["c"], row, column] if inside else dtype(case.padding_value)
            assert same(term["o"], pixel)

    for k, c, m, n in corners_and_more(arrays.w.shape, random, more=3):
        found = asked.weight_gradient("conv", k, c, m, n)
        assert holds(found, done.gradients["weight"][k, c, m, n])
        assert len(found.terms) == len(arrays.o) * np.prod(case.output_size)
        if len(found.terms) <= FEW:
            sums = [chain(found, part.first, part.last) for part in found.parts]
            assert same(found.total, sum_of_images(sums) + 0)
    if case.bias:
        found = asked.bias_gradient("conv", case.kernels - 1)
        assert holds(found, done.gradients["bias"][-1])

    for n, c, i, j in corners_and_more(arrays.o.shape, random):
        found = asked.delta("conv", c, i, j, image=n)
        assert holds(found, asked.done.input_delta[n, c, i, j])
        # Region Q, counted from the outputs: those whose window lies over the pixel.
        rows, columns = (
            [
                output
                for output, tap in product(range(outputs), range(taps))
                if output * at["stride"][axis] + tap * at["dilation"][axis]
                == pixel + at["padding"][2 * axis]
            ]
            for axis, (outputs, taps, pixel) in enumerate(
                zip(case.output_size, case.kernel_size, (i, j), strict=True)
            )
        )
        kernels = case.kernels // case.groups
        assert len(found.terms) == kernels * len(rows) * len(columns)
        assert set(found.terms["i"]) == (set(rows) if columns else set())
        if few and len(found.terms):
            total, by_hand = last_sum(found)
            assert same(total, by_hand)
            slope = cp.ops.activation.input_delta(
                np.ones(1, dtype), done.input[n, c, i, j : j + 1], "tanh"
            )[0]
            assert same(found.total, fma(total, slope, dtype(-0.0)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", marked(POOLINGS))
def test_poolings(case, dtype):
    random = np.random.default_rng(7)
    arrays = case.arrays(dtype)
    kinds = {kind.pool: kind for kind in POOLS}
    counted = {"count_padding": case.count_padding} if case.kind == "average" else {}
    layer = kinds[case.kind](
        *(case.size, case.stride, case.padding),
        dilation=case.dilation,
        ceil_mode=case.ceil_mode,
        **counted,
    )
    net = network([layer], arrays.o.shape[1:], dtype)
    asked = Explainer(net, arrays.o, arrays.delta.reshape(len(arrays.o), -1))
    name, done = net.names[0], asked.done.layers[0]

    for n, c, i, j in corners_and_more(done.output.shape, random):
        found = asked.output(name, c, i, j, image=n)
        assert holds(found, done.output[n, c, i, j])
        if case.kind == "max":
            (won,) = found.terms[found.terms["wins"] == 1]
            assert won["o"] == found.terms["o"].max()
        else:
            assert same(*last_sum(found))
            if case.kind == "average":
                assert found.total == pytest.approx(found.terms["o"].mean()) or case.padding

    for n, c, i, j in corners_and_more(arrays.o.shape, random, more=20):
        found = asked.delta(name, c, i, j, image=n)
        assert same(found.value, asked.done.input_delta[n, c, i, j])
        assert found.exact
        total = dtype(0)
        for value in found.terms["value"]:
            total = add(total, dtype(value))
        assert same(found.total + 0, total + 0)
        if case.kind == "max":
            assert set(found.terms["share"]) <= {0, 1}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SHUFFLES, ids=lambda case: case.name)
def test_shuffles(case, dtype):
    arrays = case.arrays(dtype)
    layers = [cp.Identity(), cp.ChannelShuffle(case.groups)]
    net = network(layers, arrays.o.shape[1:], dtype)
    asked = Explainer(net, arrays.o, arrays.delta.reshape(len(arrays.o), -1))
    done = asked.done.layers[1]
    moved = cp.ops.channel_shuffle.forward(arrays.o, case.groups)
    assert np.array_equal(done.output, moved)
    for k in range(case.channels):
        found = asked.output("channel_shuffle1", k, 0, 0, image=1)
        assert holds(found, moved[1, k, 0, 0])
        (term,) = found.terms
        assert same(term["o"], arrays.o[1, term["c"], 0, 0])
        assert "another order" in found.remark
        found = asked.delta("channel_shuffle1", k, 0, 0, image=1)
        assert holds(found, asked.done.layers[0].delta[1, k, 0, 0])
        (term,) = found.terms
        assert same(term["delta"], done.delta[1, term["c"], 0, 0])
        assert same(arrays.o[1, k, 0, 0], moved[1, term["c"], 0, 0])
    sent = asked.sent(1)["channel_shuffle1"]
    assert np.array_equal(sent, asked.done.layers[0].delta)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", JOINS, ids=lambda case: case.name)
def test_joins(case, dtype):
    """Each value is the image's, through an activation and what gives it its shape."""
    random = np.random.default_rng(7)
    arrays = case.arrays(dtype)
    nodes, count = {}, len(case.channels)
    for n, (channels, _, _) in enumerate(case.shapes):
        nodes[f"conv{n}"] = (cp.Conv(channels, 1), "input")
        nodes[f"o{n}"] = (cp.Tanh(), f"conv{n}")
        if case.by_channel and n:
            nodes[f"pool{n}"] = (cp.AveragePool("global"), f"o{n}")
    read = [f"pool{n}" if f"pool{n}" in nodes else f"o{n}" for n in range(count)]
    kinds = {"add": cp.Add, "multiply": cp.Multiply, "concat": cp.Concat}
    nodes |= {"join": (kinds[case.kind](), *read), "rows": (cp.Flatten(), "join")}
    net = cp.Network(nodes, (2, *case.size), cp.SquaredError("sum"), seed=1, dtype=dtype)
    images = random.standard_normal((case.images, 2, *case.size)).astype(dtype)
    asked = Explainer(net, images, arrays.delta.reshape(case.images, -1))
    place = net.names.index("join")
    done = asked.done.layers[place]
    assert [o.shape[1:] for o in done.inputs] == case.shapes

    for n, k, i, j in corners_and_more(done.output.shape, random):
        found = asked.output("join", k, i, j, image=n)
        assert holds(found, done.output[n, k, i, j])
        assert len(found.terms) == (count if case.kind == "add" else 1)
    sent = cp.ops.join.input_delta(done.delta, list(done.inputs), case.kind)
    for number, name in enumerate(read):
        for n, c, i, j in corners_and_more(sent[number].shape, random):
            found = asked.delta("join", c, i, j, image=n, of=number)
            assert holds(found, sent[number][n, c, i, j])
            assert asked.delta("join", c, i, j, image=n, of=name).total == found.total
            # Where the deltas are that it is made of.
            summed = case.by_channel and number == 1
            pixels = list(np.ndindex(case.size)) if summed else [(i, j)]
            assert list(zip(found.terms["i"], found.terms["j"], strict=True)) == pixels
            assert len(found.terms) == (np.prod(case.size) if summed else 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", IMAGE_NORMS, ids=lambda case: case.name)
def test_image_norms(case, dtype):
    random = np.random.default_rng(7)
    arrays = case.arrays(dtype)
    options = {"epsilon": case.epsilon, "affine": case.affine, "name": "norm"}
    layer = cp.LayerNorm(**options) if case.groups is None else cp.GroupNorm(case.groups, **options)
    net = network([layer], arrays.o.shape[1:], dtype)
    if case.affine:
        net.parameters["norm.weight"] = arrays.weight
        net.parameters["norm.bias"] = arrays.bias
    asked = Explainer(net, arrays.o, arrays.delta.reshape(len(arrays.o), -1))
    done = asked.done.layers[0]
    standard = cp.ops.image_norm.forward(arrays.o, **case.options)

    for n, k, i, j in corners_and_more(done.output.shape, random):
        found = asked.output("norm", k, i, j, image=n)
        assert holds(found, done.output[n, k, i, j])
        (term,) = found.terms
        assert same(term["x^"], standard[n, k, i, j])
        assert same(term["o"], arrays.o[n, k, i, j])
        scaled = (term["o"] - term["mean"]) / np.sqrt(term["variance"] + case.epsilon)
        assert term["x^"] == pytest.approx(scaled, rel=1e-5, abs=1e-6)
        if case.affine:
            assert same(found.total, fma(term["w"], term["x^"], found.start[1]))
    for n, c, i, j in corners_and_more(arrays.o.shape, random, more=10):
        found = asked.delta("norm", c, i, j, image=n)
        assert holds(found, asked.done.input_delta[n, c, i, j])
        assert len(found.terms) == 3
        assert same(*last_sum(found))
    for k in range(case.channels if case.affine else 0):
        for part in ("weight", "bias"):
            found = getattr(asked, f"{part}_gradient")("norm", k)
            assert holds(found, done.gradients[part][k])
            assert len(found.terms) == case.images * np.prod(case.size)
            rows = [chain(found, part.first, part.last) for part in found.parts]
            images = []
            for of_image in batched(rows, case.size[0]):
                total = dtype(0)
                for row in of_image:
                    total = add(total, row)
                images.append(total)
            assert same(found.total, sum_of_images(images) + 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", RESPONSE_NORMS, ids=lambda case: case.name)
def test_local_response_norms(case, dtype):
    random = np.random.default_rng(7)
    arrays = case.arrays(dtype)
    net = network([cp.LocalResponseNorm(**case.options)], arrays.o.shape[1:], dtype)
    asked = Explainer(net, arrays.o, arrays.delta.reshape(len(arrays.o), -1))
    name, done = net.names[0], asked.done.layers[0]
    for n, k, i, j in corners_and_more(done.output.shape, random):
        around = min(k + case.size // 2, case.channels - 1) - max(k - case.size // 2, 0) + 1
        found = asked.output(name, k, i, j, image=n)
        assert holds(found, done.output[n, k, i, j])
        assert same(*last_sum(found))
        assert len(found.terms) == around
        found = asked.delta(name, k, i, j, image=n)
        assert holds(found, asked.done.input_delta[n, k, i, j])
        assert same(*last_sum(found))
        assert len(found.terms) == around


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", MAPS, ids=lambda case: case.name)
def test_slopes_and_shares(case, dtype):
    random = np.random.default_rng(7)
    arrays = case.arrays(dtype)
    layers = [cp.PReLU(case.by_channel), cp.Softmax()]
    net = network(layers, arrays.o.shape[1:], dtype)
    net.parameters["prelu1.slope"] = arrays.a
    asked = Explainer(net, arrays.o, arrays.delta.reshape(case.images, -1))
    learned, shared = asked.done.layers[:2]
    for name, done in (("prelu1", learned), ("softmax1", shared)):
        for n, k, i, j in corners_and_more(done.output.shape, random):
            found = asked.output(name, k, i, j, image=n)
            assert found.exact
            assert same(found.value, done.output[n, k, i, j])
            found = asked.delta(name, k, i, j, image=n)
            assert found.exact
            before = asked.done.input_delta if name == "prelu1" else learned.delta
            assert same(found.value, before[n, k, i, j])
    for k in range(0, len(arrays.a), 7):
        found = asked.slope_gradient("prelu1", k)
        assert holds(found, learned.gradients["slope"][k])
        assert len(found.terms) == arrays.o.size // len(arrays.a)
        sums = [chain(found, part.first, part.last) for part in found.parts]
        each = [
            sum_of_images(sums[first : first + case.images])
            for first in range(0, len(sums), case.images)
        ]
        total = dtype(0)
        for one in each:
            total = add(total, one)
        assert same(found.total + 0, total + 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", marked(DENSES))
def test_dense_layers(case, dtype):
    random = np.random.default_rng(7)
    arrays = case.arrays(dtype)
    layers = [cp.Sigmoid(), cp.Dense(case.units, bias=case.bias, name="dense")]
    net = cp.Network(layers, (case.features, 1, 1), cp.SquaredError("sum"), dtype=dtype)
    net.parameters["dense.weight"] = arrays.w
    if case.bias:
        net.parameters["dense.bias"] = arrays.b
    images = arrays.o.reshape(*arrays.o.shape, 1, 1)
    asked = Explainer(net, images, arrays.delta)
    done = asked.done.layers[1]
    for n, k in corners_and_more(done.output.shape, random):
        found = asked.output("dense", k, image=n)
        assert holds(found, done.output[n, k])
        assert same(*last_sum(found))
    for k, f in corners_and_more(arrays.w.shape, random):
        found = asked.weight_gradient("dense", k, f)
        assert holds(found, done.gradients["weight"][k, f])
        assert same(*last_sum(found))
        assert same(found.total, tree_of_groups(found, case.images))
    if case.bias:
        found = asked.bias_gradient("dense", case.units - 1)
        assert holds(found, done.gradients["bias"][-1])
        assert same(*last_sum(found))
    for n, f in corners_and_more(arrays.o.shape, random):
        found = asked.delta("dense", f, 0, 0, image=n)
        assert holds(found, asked.done.input_delta[n, f, 0, 0])
        assert same(*last_sum(found))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
@pytest.mark.parametrize(
    "loss",
    [
        cp.SquaredError(),
        cp.SoftmaxCrossEntropy(),
        cp.SoftmaxCrossEntropy(label_smoothing=0.2, reduction="sum"),
        cp.BinaryCrossEntropy(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("labelled", [False, True])
def test_losses(case, dtype, loss, labelled):
    if case.outputs == 1 and isinstance(loss, cp.SoftmaxCrossEntropy):
        return  # such a network does not exist
    arrays = case.arrays(dtype)
    targets = np.minimum(arrays.labels, 1) if labelled else arrays.targets
    net = cp.Network([cp.Identity(), cp.Flatten()], (case.outputs, 1, 1), loss, dtype=dtype)
    weights = np.linspace(0.5, 2, case.images)
    asked = Explainer(net, arrays.y.reshape(*arrays.y.shape, 1, 1), targets, weights)
    for n in range(min(case.images, 5)):
        found = asked.loss(image=n)
        assert found.exact
        alone = net.evaluate(arrays.y[n : n + 1, :, np.newaxis, np.newaxis], targets[n : n + 1])
        assert found.value == alone.loss
        assert same(found.terms["delta"], asked.done.layers[-1].delta[n])
        total = chain(found)
        if isinstance(loss, cp.SquaredError):
            total = fma(total, dtype(0.5), dtype(0))
        assert same(found.total, dtype(total))
