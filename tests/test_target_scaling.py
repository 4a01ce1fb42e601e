"""A network that predicts numbers speaks their unit: in training, measuring, files and copies."""

import copy
import json
import pickle

import numpy as np
import pytest
from safetensors import safe_open

import convprop as cp
from convprop.about.inspection import inspect_file
from convprop.check import check_network
from convprop.data import Dataset
from convprop.explain import Explainer
from convprop.explorer.session import Session
from convprop.report import write_regression_report, write_report
from convprop.training.checkpoint import Checkpoints
from convprop.training.identity import OtherTraining
from refusal import refuses

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((48, 4, 4), dtype="float32")
BRIGHT = IMAGES.astype(float)
NUMBERS = np.column_stack([1000 + 50 * BRIGHT.mean(axis=(1, 2)), BRIGHT[:, 0].mean(axis=1)])
SCALING = NUMBERS.mean(axis=0), NUMBERS.std(axis=0)


def network(scaled=True, outputs=2):
    net = cp.Network([cp.Dense(8), cp.ReLU(), cp.Dense(outputs)], (1, 4, 4), cp.SquaredError())
    if scaled:
        net.target_scaling = tuple(part[:outputs] for part in SCALING)
    return net


def test_training_on_numbers_is_training_on_scaled_ones():
    ours, plain = network(), network(scaled=False)
    history = cp.train(ours, IMAGES, NUMBERS, epochs=3, validation=0.25)
    again = cp.train(plain, IMAGES, (NUMBERS - SCALING[0]) / SCALING[1], epochs=3, validation=0.25)
    assert ours.weights_sha256() == plain.weights_sha256()
    assert [record.validation_loss for record in history] == [
        record.validation_loss for record in again
    ]
    raw = plain.predict(IMAGES)
    assert np.array_equal(ours.forward(IMAGES), raw)
    assert np.array_equal(ours.predict(IMAGES), raw.astype(np.float64) * SCALING[1] + SCALING[0])
    assert ours.evaluate(IMAGES, NUMBERS) == plain.evaluate(
        IMAGES, (NUMBERS - SCALING[0]) / SCALING[1]
    )
    gradients, others = (
        ours.gradients(IMAGES, NUMBERS),
        plain.gradients(IMAGES, (NUMBERS - SCALING[0]) / SCALING[1]),
    )
    assert all(np.array_equal(gradients[name], others[name]) for name in others)


@pytest.mark.parametrize("targets", [NUMBERS[:, 0], NUMBERS[:, :1], NUMBERS[:, 0].astype(int)])
def test_one_number_may_be_a_row_and_whole(targets):
    net = network(outputs=1)
    history = cp.train(net, IMAGES, targets, epochs=1, validation=0.25)
    assert (history[0].accuracy, history[0].validation_accuracy) == (None, None)
    assert net.evaluate(IMAGES, targets).accuracy is None


def test_numbers_have_no_accuracy_without_a_scaling_either():
    net = network(scaled=False, outputs=1)
    shares = IMAGES.mean(axis=(1, 2)).astype(float)
    history = cp.train(net, IMAGES, shares, epochs=1, validation=0.25)
    assert history[0].validation_accuracy is None
    assert net.evaluate(IMAGES, shares).accuracy is None
    # Whole numbers 0 and 1 are labels, as they have been.
    assert net.evaluate(IMAGES, np.arange(48) % 2).accuracy is not None


def test_which_networks_predict_numbers():
    net = network(scaled=False)
    assert net.predicts_numbers
    net.class_names = ["a", "b"]
    assert not net.predicts_numbers
    assert not cp.Network([cp.Dense(2)], (1, 4, 4)).predicts_numbers


@pytest.mark.parametrize("form", ["file", "pickle", "copy"])
def test_it_comes_back(tmp_path, form):
    net = network()
    net.save(tmp_path / "net")
    again = {
        "file": lambda: cp.load(tmp_path / "net"),
        "pickle": lambda: pickle.loads(pickle.dumps(net)),
        "copy": lambda: copy.deepcopy(net),
    }[form]()
    assert all(map(np.array_equal, again.target_scaling, SCALING))
    assert np.array_equal(again.predict(IMAGES), net.predict(IMAGES))


def test_the_file_of_a_regressor_gives_its_numbers(tmp_path):
    for y in (NUMBERS, NUMBERS[:, 0]):
        net = cp.ConvNetRegressor([cp.Dense(len(y.T) if y.ndim > 1 else 1)], epochs=2).fit(
            IMAGES, y
        )
        net.network_.save(tmp_path / "net")
        said = cp.load(tmp_path / "net").predict(IMAGES)
        assert np.array_equal(said.reshape(y.shape), net.predict(IMAGES))


def test_only_a_file_with_a_scaling_is_of_version_2(tmp_path):
    described = []
    for net in (network(scaled=False), network()):
        net.save(tmp_path / "net")
        with safe_open(tmp_path / "net", framework="numpy") as file:
            described.append(json.loads(file.metadata()["convprop"]))
        assert inspect_file(tmp_path / "net").faults == []
    assert [found["format_version"] for found in described] == [1, 2]
    assert "target_scaling" not in described[0]
    assert described[1]["target_scaling"]["offset"] == SCALING[0].tolist()


def test_a_scaled_network_is_checked_whole():
    assert all(row.passed for row in check_network(network()))


def test_what_is_no_scaling():
    net = network(scaled=False)
    for value in (1.0, ([1.0], [1.0]), ([0.0, np.inf], [1.0, 1.0]), ([0.0, 0.0], [1.0, 0.0])):
        rule = "target_scaling must be an offset and a scale above 0, of 2 finite numbers each"
        with refuses(cp.InvalidInput, f"{rule}, got {value!r}"):
            net.target_scaling = value
    classes = cp.Network([cp.Dense(2)], (1, 4, 4))
    rule = "target_scaling must be None for a loss other than SquaredError()"
    with refuses(cp.InvalidInput, f"{rule}, got SoftmaxCrossEntropy()"):
        classes.target_scaling = SCALING


def test_labels_are_no_numbers_of_several_outputs():
    rule = "targets must have shape (48, 2), a value for each image and output, got shape (48,)"
    net = network()
    with refuses(cp.InvalidInput, f"{rule}, with {net.graph.trace()}"):
        net.evaluate(IMAGES, np.arange(48) % 2)


def test_a_checkpoint_is_gone_on_from_with_the_same_unit_only(tmp_path):
    net = network()
    out = tmp_path / "net"
    options = {"epochs": 2, "checkpoints": Checkpoints(out, epochs=1)}
    cp.train(net, IMAGES, NUMBERS, **options)
    file = Checkpoints(out).files()[0]
    assert inspect_file(file).network["target_scaling"][0] == SCALING[0].tolist()
    other = network()
    other.target_scaling = SCALING[0], 2 * SCALING[1]
    rule = f"resume must go on with the training of {file}, got another unit of the numbers"
    with refuses(OtherTraining, rule):
        cp.train(other, IMAGES, NUMBERS, resume=True, **options)


def test_the_report_of_classes_refuses_numbers(tmp_path):
    net = network(outputs=1)
    history = cp.train(net, IMAGES, NUMBERS[:, 0], epochs=1)
    labels = (np.arange(48) % 2).astype(np.int32)
    test = Dataset(IMAGES[:, np.newaxis], labels, ["a", "b"], "test")
    rule = "network must tell classes apart (write_regression_report is for numbers)"
    with refuses(cp.InvalidInput, f"{rule}, got one with a target_scaling"):
        write_report(tmp_path / "a.html", net, history, test, command="", settings={})


def test_the_report_of_numbers_knows_their_unit(tmp_path):
    net = network()
    history = cp.train(net, IMAGES, NUMBERS, epochs=1)
    pages = []
    for name, more in (("a", {}), ("b", {"offset": SCALING[0], "scale": SCALING[1]})):
        path = tmp_path / f"{name}.html"
        write_regression_report(
            path, net, history, IMAGES, NUMBERS, command="", settings={}, **more
        )
        pages.append(path.read_text())
    assert pages[0] == pages[1]


def test_the_explorer_shows_the_raw_outputs():
    net = network()
    labels = np.zeros(48, np.int32)
    session = Session(net, Dataset(IMAGES[:, np.newaxis], labels, ["0", "1"], "data"), cp.Adam())
    shown = session.explainer.done.layers[-1].output
    np.testing.assert_array_equal(shown.reshape(1, -1), net.forward(IMAGES[:1]))
    assert net.target_scaling is not None


def test_what_is_explained_is_in_the_unit_of_the_outputs():
    net, plain = network(), network(scaled=False)
    scaled = (NUMBERS[:3] - SCALING[0]) / SCALING[1]
    ours, theirs = Explainer(net, IMAGES[:3], NUMBERS[:3]), Explainer(plain, IMAGES[:3], scaled)
    assert ours.done.loss == theirs.done.loss
    assert ours.loss(image=2).value == theirs.loss(image=2).value
    assert Explainer(net, IMAGES[:3]).output("dense2", 1).value == net.forward(IMAGES[:1])[0, 1]
