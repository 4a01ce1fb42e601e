"""Whole networks, what an explanation says, receptive fields, and what is refused."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import convprop as cp
from convprop import explain
from convprop.data import load
from convprop.explain import Explainer
from refusal import refuses


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture(scope="module")
def small():
    """A network with every kind of layer."""
    layers = [
        cp.Conv(3, 3, padding=1, name="first"),
        cp.ReLU(),
        cp.MaxPool(2),
        cp.Conv(4, 3, padding="same", name="second"),
        cp.Softplus(),
        cp.L2Pool(2),
        cp.Dropout(0.5),
        cp.Flatten(),
        cp.Dense(6),
        cp.LeakyReLU(),
        cp.Dense(10),
    ]
    return cp.Network(layers, (1, 8, 8), seed=3)


@pytest.fixture(scope="module")
def bent():
    """A network whose activations ask for x, with slopes that are learned and softmaxes."""
    layers = [
        *(cp.Conv(3, 3, padding=1), cp.GELU(), cp.PReLU(by_channel=True), cp.Softmax()),
        *(cp.Conv(4, 3), cp.GELU("tanh"), cp.MaxPool(2), cp.Conv(3, 2), cp.SiLU(), cp.PReLU()),
        *(cp.Dense(6), cp.ELU(0.5), cp.PReLU(by_channel=True), cp.Dense(5), cp.Mish()),
        *(cp.Dense(4), cp.HardSwish(), cp.Softmax(), cp.PReLU(), cp.Dense(10)),
    ]
    return cp.Network(layers, (1, 8, 8), seed=3)


@pytest.fixture(scope="module")
def asked(small, digits):
    return Explainer(small, digits.train.images[:40], digits.train.labels[:40])


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 40, 150])
@pytest.mark.parametrize("which", ["small", "bent"])
def test_every_layer_of_a_network_is_exact_for_any_number_of_images(request, which, digits, count):
    net = request.getfixturevalue(which)
    asked = Explainer(net, digits.train.images[:count], digits.train.labels[:count])
    random = np.random.default_rng(count)
    for name, went in zip(net.names, asked.done.layers, strict=True):
        n = int(random.integers(count))
        at = [int(random.integers(length)) for length in went.output.shape[1:]]
        found = asked.output(name, *at, image=n)
        assert found.exact
        assert found.value == went.output[(n, *at)]
        at = [int(random.integers(length)) for length in went.input.shape[1:]]
        assert asked.delta(name, *at, image=n).exact
        for part, gradient in went.gradients.items():
            at = [int(random.integers(length)) for length in gradient.shape]
            found = getattr(asked, f"{part}_gradient")(name, *at)
            assert found.exact
            assert found.value == gradient[tuple(at)]
    assert all(asked.loss(image=n).exact for n in range(count))


def test_the_functions_ask_what_an_explainer_does(small, digits, asked):
    images, labels = digits.train.images[:40], digits.train.labels[:40]
    pairs = [
        (
            explain.output(small, images, "first", 1, 2, 3, image=5),
            asked.output(0, 1, 2, 3, image=5),
        ),
        (
            explain.weight_gradient(small, images, labels, "first", 1, 0, 2, 2),
            asked.weight_gradient("first", 1, 0, 2, 2),
        ),
        (explain.bias_gradient(small, images, labels, "dense2", 4), asked.bias_gradient(10, 4)),
        (
            explain.delta(small, images, labels, "second", 2, 3, 1, image=7),
            asked.delta(3, 2, 3, 1, image=7),
        ),
        (explain.loss(small, images, labels, image=3), asked.loss(image=3)),
    ]
    for function, method in pairs:
        assert str(function) == str(method)
        assert np.array_equal(function.terms, method.terms)


def test_a_delta_before_a_pool_has_the_factor_of_the_activation(asked):
    factors = {
        asked.delta("max_pool1", c, 3, 4, image=n).steps[0].words
        for c in range(3)
        for n in range(40)
    }
    assert factors == {
        "times f'(x) = 0.0, relu1's slope",
        "times f'(x) = 1.0, relu1's slope",
    }


def test_outputs_need_no_targets_and_gradients_do(small, digits):
    asked = Explainer(small, digits.train.images[:2])
    assert asked.output("dense2", 3).exact
    rule = "targets must be given where gradients are explained, got None"
    with refuses(cp.InvalidInput, rule):
        asked.delta("first", 0, 1, 1)
    with refuses(cp.InvalidInput, rule):
        asked.weight_gradient("first", 0, 0, 1, 1)
    with refuses(cp.InvalidInput, rule):
        asked.loss()


def test_an_explainer_keeps_the_weights_of_its_pass(digits):
    net = cp.preset("digits", (1, 8, 8), 10, seed=1)
    asked = Explainer(net, digits.train.images[:4], digits.train.labels[:4])
    before = str(asked.output("conv1", 0, 2, 2))
    net.parameters["conv1.weight"][...] = 0
    assert str(asked.output("conv1", 0, 2, 2)) == before


def test_winograd_is_said_to_be_another_sum(digits):
    net = cp.Network([cp.Conv(16, 3, algorithm="winograd"), cp.Flatten(), cp.Dense(10)], (1, 8, 8))
    asked = Explainer(net, digits.train.images[:32], digits.train.labels[:32])
    found = [asked.weight_gradient("conv1", k, 0, 1, 1) for k in range(16)]
    assert not all(explanation.exact for explanation in found)
    for explanation in found:
        assert explanation.total == pytest.approx(explanation.value, rel=1e-4)
        assert "computes this layer by Winograd's algorithm" in str(explanation)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda a: a.output("conv9", 0, 0, 0), "layer must be one of first, relu1, max_pool1, "
         "second, softplus1, l2_pool1, dropout1, flatten1, dense1, leaky_relu1, dense2, "
         "got 'conv9'"),
        (lambda a: a.output(11, 0, 0, 0), "layer must be an integer in 0 .. 10, got 11"),
        (lambda a: a.output("first", 3, 0, 0), "k must be an integer in 0 .. 2, got 3"),
        (lambda a: a.output("first", 0, 8, 0), "i must be an integer in 0 .. 7, got 8"),
        (lambda a: a.output("first", 0, 0, -1), "j must be an integer in 0 .. 7, got -1"),
        (lambda a: a.output("first", 0, 0), "j must be an integer in 0 .. 7, got None"),
        (lambda a: a.output("first", 0, 0, 0, image=40),
         "image must be an integer in 0 .. 39, got 40"),
        (lambda a: a.output("first", True, 0, 0), "k must be an integer in 0 .. 2, got True"),
        (lambda a: a.output("dense1", 0, 0, 0), "i and j must be left out of a Dense, got 0, 0"),
        (lambda a: a.output("flatten1", 0, 1), "i must be left out of an array of 1 axes, got 1"),
        (lambda a: a.weight_gradient("first", 0, 1, 0, 0), "c must be an integer in 0 .. 0, got 1"),
        (lambda a: a.weight_gradient("first", 0, 0, 3, 0), "m must be an integer in 0 .. 2, got 3"),
        (lambda a: a.weight_gradient("relu1", 0, 0, 0, 0),
         "layer must have a weight: first, second, dense1, dense2, got 'relu1'"),
        (lambda a: a.bias_gradient("relu1", 0),
         "layer must have a bias: first, second, dense1, dense2, got 'relu1'"),
        (lambda a: a.delta("first", 1, 0, 0), "c must be an integer in 0 .. 0, got 1"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(asked, question, message):
    with refuses(cp.InvalidInput, message):
        question(asked)


def test_the_text_of_an_output(asked):
    found = asked.output("first", 1, 0, 7)
    lines = str(found).splitlines()
    assert lines[0] == f"x[k=1, i=0, j=7] of first, image 0 = {found.value!s}   (Eq. 7)"
    assert lines[2].split() == ["c", "m", "n", "row", "column", "w", "o", "product", "sum"]
    assert lines[3].split()[:2] == ["bias", "b"]
    assert lines[4].split()[:5] == ["0", "0", "0", "-1", "6"]
    assert lines[-1] == f"{found.value!s}: the engine's number, bit for bit."


def test_texts_fit_into_a_terminal(asked, small):
    for name, shape in zip(small.names, small.shapes[1:], strict=True):
        for found in (asked.output(name, *(0 for _ in shape)), asked.loss(image=3)):
            assert max(map(len, str(found).splitlines())) <= 80
    for found in (asked.weight_gradient("second", 0, 0, 1, 1), asked.delta("second", 0, 1, 1)):
        assert max(map(len, str(found).splitlines())) <= 80
        assert re.search(r"\.\.\. \d+ more \.\.\.", str(found))
        assert len(found.to_text(rows=10**6).splitlines()) > len(found.terms)


def test_latex_holds_the_numbers(asked):
    found = asked.output("first", 1, 4, 4)
    latex = found.to_latex(terms=100)
    seen = [term for term in found.terms if term["value"]]
    assert 0 < len(seen) < len(found.terms)
    for term in seen:
        assert str(term["w"]).split("e")[0] in latex
    assert latex.count(r"\cdot") >= len(seen)
    assert r"\cdots" not in latex
    assert r"\cdots" in found.to_latex(terms=2)


def test_every_latex_becomes_mathml(asked, small):
    converter = pytest.importorskip("latex2mathml.converter")
    for name, shape, before in zip(small.names, small.shapes[1:], small.shapes, strict=False):
        for found in (
            asked.output(name, *(0 for _ in shape)),
            asked.delta(name, *(0 for _ in before)),
        ):
            assert "<math" in converter.convert(found.to_latex())
    assert "<math" in converter.convert(asked.loss().to_latex())
    assert "<math" in converter.convert(asked.weight_gradient("first", 0, 0, 1, 2).to_latex())


def test_small_numbers_are_powers_of_ten_in_latex():
    net = cp.Network([cp.Conv(1, 2), cp.Sigmoid(), cp.AveragePool(5), cp.Dense(10)], (1, 6, 6))
    net.parameters["conv1.bias"][...] = 12
    images = np.zeros((1, 1, 6, 6), np.float32)
    found = explain.delta(net, images, [3], "average_pool1", 0, 0, 0)
    assert r"\cdot 6.19" in found.to_latex() or r"\cdot 10^{-6}" in found.to_latex()
    for one in (found, explain.delta(net, images, [3], "sigmoid1", 0, 0, 0)):
        assert not re.search(r"\de[-+]?\d", one.to_latex(100))


@pytest.mark.parametrize("scale", [1, 1e29])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_text_fits_a_terminal_whatever_the_numbers(scale, dtype):
    random = np.random.default_rng(0)
    net = cp.Network([cp.Dense(10)], (1, 2, 2), loss=cp.SquaredError(), dtype=dtype)
    targets = (scale * random.standard_normal((20, 10))).astype(dtype)
    asked = explain.Explainer(net, random.standard_normal((20, 1, 2, 2)), targets)
    for image in range(20):
        text = asked.loss(image=image).to_text()
        assert max(map(len, text.splitlines())) <= 80


def test_infinite_numbers_are_explained_without_a_warning():
    net = cp.Network([cp.Conv(2, 2), cp.L2Pool(2), cp.Dense(10)], (1, 6, 6), loss=cp.SquaredError())
    net.parameters["dense1.weight"][...] = 3e38
    asked = explain.Explainer(net, np.ones((17, 1, 6, 6)), np.zeros((17, 10), np.float32))
    assert not np.isfinite(asked.loss().value)
    for found in (
        asked.loss(),
        asked.weight_gradient("conv1", 0, 0, 0, 0),
        asked.delta("l2_pool1", 0, 1, 1),
    ):
        assert found.exact


@pytest.mark.parametrize("rows", [0, -1, None, 1.0, "3"])
def test_a_count_of_rows_must_be_one(asked, rows):
    found = asked.output("first", 1, 4, 4)
    made = {"rows": found.to_text, "terms": found.to_latex}
    for name, make in made.items():
        with refuses(cp.InvalidInput, f"{name} must be a positive integer, got {rows!r}"):
            make(rows)
    with refuses(cp.InvalidInput, f"rows must be a positive integer, got {rows!r}"):
        found.to_html(rows)


def test_a_layer_may_be_called_input():
    net = cp.Network([cp.Conv(2, 3, name="input"), cp.Dense(10)], (1, 6, 6))
    assert explain.receptive_field(net, 0, 0, 0).rows.tolist() == [0, 1, 2]
    assert explain.receptive_field(net, "input", 0, 0).rows.tolist() == [0]


@pytest.mark.parametrize("wrong", [np.zeros(3), ["first"], None, 1.5])
def test_what_is_no_layer_is_one_clear_error(small, wrong):
    with pytest.raises(cp.InvalidInput, match=r"^layer must be an integer in 0 \.\."):
        explain.receptive_field(small, wrong, 0, 0)
    with pytest.raises(cp.InvalidInput, match="must be an integer in 0"):
        explain.receptive_field(small, "first", 0, 0, of=wrong)


def test_html_is_a_table_that_holds_no_markup_of_others(digits):
    net = cp.Network([cp.Flatten(), cp.Dense(10)], (1, 8, 8))
    found = explain.output(net, digits.train.images[:1], "dense1", 3)
    page = found._repr_html_()
    ElementTree.fromstring(page)
    assert page.count("<math") == 3
    assert page.count("<tr>") == 1 + 1 + 12 + 1
    assert str(found.value) in page
    assert "<script" not in page


def reaches(net, row, column, layer):
    """Return which outputs of a layer change when a pixel of the image does."""
    random = np.random.default_rng(0)
    image = random.standard_normal((1, *net.input_shape))
    changed = image.copy()
    changed[:, :, row, column] += 1
    one, other = (Explainer(net, at).done.layers[layer].output[0] for at in (image, changed))
    return {tuple(map(int, place)) for place in np.argwhere((one != other).any(axis=0))}


@pytest.mark.parametrize(
    "layers",
    [
        [cp.Conv(2, 3), cp.Tanh(), cp.Conv(2, 3)],
        [cp.Conv(2, 3, stride=2, padding=1), cp.Conv(2, (2, 3), dilation=2, padding=1)],
        [cp.AveragePool(3, stride=2), cp.Conv(3, 3, padding="same"), cp.AveragePool(2)],
        [cp.Conv(2, (3, 2), stride=(3, 4)), cp.Softplus(), cp.Conv(2, 2, dilation=(1, 2))],
        [
            cp.AveragePool(3, stride=2, ceil_mode=True),
            *(cp.Conv(2, 1), cp.ChannelShuffle(2), cp.StochasticDepth(0.5)),
            cp.L2Pool(2, stride=(1, 3), padding=(2, 0, 1, 0), dilation=2, ceil_mode=True),
        ],
    ],
    ids=["plain", "dilation", "pools", "gaps", "ceil mode"],
)
def test_receptive_and_projective_fields_are_what_the_engine_shows(layers):
    net = cp.Network(layers, (1, 13, 14), cp.SquaredError(), dtype="float64")
    last = len(layers) - 1
    height, width = net.shapes[-1][1:]
    seen = {(i, j): set() for i in range(height) for j in range(width)}
    for row in range(13):
        for column in range(14):
            reached = reaches(net, row, column, last)
            field = explain.projective_field(net, "input", row, column, on=last)
            assert field.layer == net.names[last]
            assert reached == {(i, j) for i in field.rows for j in field.columns}
            for place in reached:
                seen[place].add((row, column))
    for (i, j), pixels in seen.items():
        field = explain.receptive_field(net, last, i, j)
        assert field.layer == "input"
        assert pixels == {(row, column) for row in field.rows for column in field.columns}


def test_fields_through_dense_layers_and_between_layers(small):
    field = explain.receptive_field(small, "dense2")
    assert (len(field.rows), len(field.columns)) == (8, 8)
    field = explain.receptive_field(small, "second", 0, 3, of="first")
    assert field.layer == "first"
    assert (list(field.rows), list(field.columns)) == ([0, 1, 2, 3], [4, 5, 6, 7])
    field = explain.projective_field(small, "first", 5, 5, on="max_pool1")
    assert (list(field.rows), list(field.columns)) == ([2], [2])
    assert len(explain.projective_field(small, "input", 0, 0, on="dense1").rows) == 1
    with refuses(cp.InvalidInput, "of must come before first, got 'second'"):
        explain.receptive_field(small, "first", 0, 0, of="second")
    with refuses(cp.InvalidInput, "on must come after second, got 'first'"):
        explain.projective_field(small, "second", 0, 0, on="first")
    with refuses(cp.InvalidInput, "i must be an integer in 0 .. 7, got None"):
        explain.receptive_field(small, "first")


def test_what_is_no_network_is_refused(digits):
    rule = "net must be a Network, got 'digits'"
    with refuses(cp.InvalidInput, rule):
        explain.output("digits", digits.test.images[:1], "conv1", 0, 0, 0)
    with refuses(cp.InvalidInput, rule):
        explain.receptive_field("digits", "conv1", 0, 0)
    with refuses(cp.InvalidInput, rule):
        explain.projective_field("digits", "input", 0, 0, on="conv1")


def test_a_layer_of_a_family_without_explanations_is_refused():
    class Turned(cp.Flatten):
        kind = family = "turned"

    asked = Explainer(cp.Network([Turned(), cp.Dense(2)], (1, 2, 2)), np.ones((1, 1, 2, 2)))
    families = (
        "activation, prelu, softmax, flatten, dropout, stochastic_depth, channel_shuffle, conv, "
        "pool, dense, add, multiply, concat, batch_norm, group_norm, layer_norm, "
        "local_response_norm"
    )
    with refuses(
        cp.InvalidInput, f"layer must be of a family that is explained: {families}, got turned"
    ):
        asked.output("turned1", 0)
