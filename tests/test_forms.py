"""What is printed, and shown in a notebook, of objects that hold arrays: short, and safe HTML."""

import pickle
from html.parser import HTMLParser

import numpy as np
import pytest

import convprop as cp
from convprop.about.inspection import inspect_file
from convprop.data import load
from convprop.data.dataset import Dataset, Split
from convprop.optimizers import OptimizerState
from convprop.training.rate_finder import find_rate
from convprop.training.records import History
from test_training import blobs, small

DEEP = [cp.Conv(2, 3, padding=1), cp.ReLU()] * 100


@pytest.fixture(scope="module")
def net():
    return cp.Network([*DEEP, cp.Dense(10)], (1, 8, 8))


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture(scope="module")
def trained():
    images, labels = blobs(60)
    network, state = small(), OptimizerState()
    history = cp.train(network, images, labels, epochs=40, validation=0.2, state=state)
    return network, history, state, network.backpropagate(images, labels)


def many(digits):
    names = [f"class {number}" for number in range(5000)]
    files = [f"{number}.png" for number in range(len(digits.test))]
    return Dataset(digits.test.images, digits.test.labels, names, "many", files)


def test_what_holds_arrays_is_printed_in_a_few_lines(net, digits, trained, tmp_path):
    network, history, state, passed = trained
    net.save(tmp_path / "net.safetensors")
    images, labels = blobs(60)
    asked = cp.explain.output(network, images, "conv1", 0, 0, 0)
    shown = [
        net,
        net.parameters,
        network.backpropagate(images, labels),
        net.backpropagate(digits.test.images, digits.test.labels),
        passed.layers[0],
        digits,
        digits.train,
        many(digits),
        Split(digits.train, many(digits), [f"{n}.png" for n in range(10_000)]),
        history,
        state,
        asked,
        asked.parts[0],
        cp.explain.receptive_field(net, 180, 1, 1),
        find_rate(network, images, labels, steps=20),
        inspect_file(tmp_path / "net.safetensors"),
    ]
    for value in shown:
        text = repr(value)
        assert text.startswith(f"{type(value).__name__}(")
        assert text.endswith(")")
        assert len(text) < 12 * 80, text
        assert "\n" not in text


def test_the_words_of_each(digits, trained):
    network, history, _, passed = trained
    assert repr(network).startswith("Network([Conv(")
    assert repr(cp.Network([*DEEP, cp.Dense(2)], (1, 8, 8))).endswith(
        "Conv(2, 3, padding=1), ReLU(), ... 186 more ..., Dense(2)], input_shape=(1, 8, 8),"
        " loss=SoftmaxCrossEntropy())"
    )
    assert repr(digits.test) == (
        "Dataset(images=uint8 (359, 1, 8, 8), labels=int32 (359,), class_names=['0', '1', '2',"
        " ... 7 more], name='digits', image_names=None)"
    )
    last = history[-1]
    assert repr(history) == (
        f"History(40 epochs, loss={last.loss:.4g}, accuracy={last.accuracy:.4g},"
        f" validation_loss={last.validation_loss:.4g},"
        f" validation_accuracy={last.validation_accuracy:.4g})"
    )
    assert repr(History()) == "History(0 epochs)"
    assert repr(history[:1]) == f"[{history[0]!r}]"
    assert repr(passed.layers[1]).startswith("LayerPass(name='tanh1', inputs=(float64 (60, ")
    images, _ = blobs(60)
    found = cp.explain.output(network, images, "conv1", 0, 0, 0)
    assert repr(found) == f"Explanation({found.name} = {found.value}, {len(found.terms)} terms)"
    again = pickle.loads(pickle.dumps(passed))
    assert repr(again) == repr(passed)


class Tables(HTMLParser):
    """The cells of every table's rows, and all tags."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.tags, self.open = [], set(), []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_notebook_shows_tables(net, digits, trained):
    network, history, _, passed = trained
    rows = Tables(network._repr_html_()).rows
    assert rows[0] == ["Layer", "", "Output", "Parameters", "Multiply-adds"]
    assert rows[1] == ["input", "", "1x6x6", "", ""]
    assert rows[2][0] == "conv1"
    assert [row[0] for row in rows[2:-1]] == list(network.names)
    rows = Tables(digits.test._repr_html_()).rows
    counts = np.bincount(digits.test.labels)
    assert [row[:2] for row in rows[1:]] == [[str(n), str(c)] for n, c in enumerate(counts)]
    rows = Tables(history._repr_html_()).rows
    assert len(rows) == 1 + 6 + 1 + 6
    assert rows[7] == ["... 28 more ..."]
    assert rows[-1][0] == "40"
    assert rows[-1][2] == f"{100 * history[-1].accuracy:.2f} %"
    rows = Tables(passed._repr_html_()).rows
    deltas = [float(row[3]) for row in rows[1:]]
    expected = [np.sqrt(np.square(went.delta).mean()) for went in passed.layers]
    np.testing.assert_allclose(deltas, expected, rtol=1e-3)


def test_what_is_long_or_unmeasured_is_left_out(net, digits):
    for value in (net, many(digits), net.backpropagate(digits.test.images, digits.test.labels)):
        assert len(Tables(value._repr_html_()).rows) == 14
    images, labels = blobs(60)
    history = cp.train(small(), images, np.eye(3)[labels], epochs=1)
    assert Tables(history._repr_html_()).rows[0] == ["Epoch", "Loss", "Learning rate", "Seconds"]
    assert "0 epochs" in History()._repr_html_()
    assert Tables(digits._repr_html_()).tags >= {"details", "table"}


def test_names_are_text_and_never_html():
    evil = "<script>alert(1)</script>"
    images, labels = blobs(60)
    data = Dataset(images, labels, [evil, "&", '"'], evil)
    html = data._repr_html_()
    assert "<script" not in html
    rows = Tables(html).rows
    assert [row[0] for row in rows[1:]] == [evil, "&", '"']
    fitted = cp.ConvNetClassifier([cp.Dense(3, name="evil")], epochs=1).fit(images, labels)
    assert fitted.network_._repr_html_() in fitted._repr_html_()


def test_explanations_show_no_negative_zero():
    """A product with 0 has its sign; a reader is told 0."""
    images = np.zeros((2, 1, 6, 6))
    network = small()
    network.normalisation = [0.0], [1.0]
    asked = cp.explain.Explainer(network, images, [0, 1])
    first = network.names[0]
    signs = [np.signbit(asked.output(first, k, 1, 1).terms["value"]).any() for k in range(3)]
    assert any(signs)
    explained = [asked.output(first, k, 1, 1) for k in range(3)]
    explained += [asked.weight_gradient(first, 0, 0, 1, 1), asked.loss(image=1)]
    for found in explained:
        for form in (found.to_text(50), found.to_latex(20), found.to_html(50), repr(found)):
            words = form.replace("(", " ").replace(")", " ").replace("<", " ").replace(">", " ")
            assert not {"-0", "-0.0", "-0:"} & set(words.split())
    zero = np.float32(-0.0)
    from convprop.explain.rendering import exact, number, power
    from convprop.report.words import percent, plain

    assert [exact(zero), number(zero), number(np.float64(-0.0), 3), power(zero)] == [
        "0.0",
        "0",
        "0",
        "0",
    ]
    assert [plain(-0.0), percent(-1e-9), percent(-0.0)] == ["0", "0.00 %", "0.00 %"]
    assert number(np.float32(-1e-30)) == "-1e-30"
