"""Arguments that there are not, or that another one leaves without effect, are named, both."""

import inspect
import pickle

import numpy as np
import pytest

import convprop as cp
from convprop.data import Dataset, load
from convprop.errors import InvalidInput, UnknownArgument
from convprop.report import write_regression_report, write_report
from convprop.training.rate_finder import find_rate
from refusal import refuses
from test_training import blobs, small


def test_an_unknown_argument_is_answered_with_the_valid_ones():
    with refuses(
        UnknownArgument,
        "arguments of SGD must be among learning_rate, momentum, nesterov, weight_decay,"
        " decoupled, rate_factors, decay_factors, got 'momentun' (did you mean 'momentum'?)",
    ):
        cp.SGD(0.1, momentun=0.9)
    with refuses(
        UnknownArgument,
        "arguments of preset must be among name, input_shape, classes, seed, got 'lr'",
    ):
        cp.preset("digits", (1, 8, 8), 10, lr=0.1)
    with refuses(UnknownArgument, "arguments of ReLU must be left out, got 'slope'"):
        cp.ReLU(slope=0.1)


@pytest.mark.parametrize(
    "function",
    [
        cp.train,
        find_rate,
        load,
        write_report,
        write_regression_report,
        cp.load,
        cp.Network,
        cp.Network.load,
        cp.preset("digits", (1, 8, 8), 10).predict,
        cp.preset("digits", (1, 8, 8), 10).evaluate,
        cp.preset("digits", (1, 8, 8), 10).backpropagate,
        cp.preset("digits", (1, 8, 8), 10).explore,
        cp.Conv,
        cp.MaxPool,
        cp.Dropout,
        cp.AdamW,
        cp.Augment,
        cp.EarlyStopping,
        cp.SoftmaxCrossEntropy,
        cp.schedules.OneCycle,
        cp.initializers.HeUniform,
        cp.ConvNetClassifier,
        cp.ConvNetRegressor,
        cp.ConvNetClassifier().fit,
        cp.ConvNetRegressor().partial_fit,
        cp.Checkpoints,
        cp.ImageFiles,
        Dataset,
        cp.explain.output,
        cp.explain.loss,
        cp.explain.receptive_field,
    ],
    ids=lambda function: function.__name__,
)
def test_every_function_says_what_it_takes(function):
    with pytest.raises(UnknownArgument) as caught:
        function(xyz=1)
    assert isinstance(caught.value, TypeError)
    message = str(caught.value)
    assert message.startswith(f"arguments of {function.__name__} must be")
    assert message.endswith("got 'xyz'")
    for name in inspect.signature(function).parameters:
        assert name in message


def test_a_layer_of_ones_own_takes_what_it_likes():
    class Mine(cp.ReLU):
        def __init__(self, **options):
            self._set(options=options)

    assert Mine(colour="red").options == {"colour": "red"}
    assert pickle.loads(pickle.dumps(cp.Conv(3, 5, padding=2))) == cp.Conv(3, 5, padding=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"balanced_batches": True, "shuffle": False},
            "shuffle must be True with balanced_batches=True, which takes images in an order of"
            " its own, got False",
        ),
        (
            {"augment": cp.Augment(mixup=0.3), "batch_size": 1},
            "batch_size must be at least 2 with mixup, which mixes images of a batch, got 1",
        ),
        (
            {"class_weight": {1: 2.0}},
            "class_weight must name classes of the labels, got 1",
        ),
    ],
    ids=str,
)
def test_a_training_refuses_what_would_have_no_effect(settings, message):
    images, labels = blobs()
    labels = np.where(labels == 1, 2, labels)
    net = small()
    before = net.weights_sha256()
    with refuses(InvalidInput, message):
        cp.train(net, images, labels, **settings)
    assert net.weights_sha256() == before
    assert net.normalisation is None


@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_targets_whose_differences_the_dtype_loses(kind):
    images, labels = blobs()
    times = (1_700_000_000 + 3.0 * np.eye(3)[labels]).astype(kind)
    plain, wide = small("float32", cp.SquaredError()), small("float64", cp.SquaredError())
    first = times[:, 0]
    with refuses(
        InvalidInput,
        "labels must vary by more than float32 rounds them by: subtract their mean, got"
        f" {first.min()} to {first.max()} in column 0",
    ):
        cp.train(plain, images, times)
    cp.train(wide, images, times, epochs=1, optimizer=cp.SGD(1e-30))
    cp.train(plain, images, np.full((len(labels), 3), 1_700_000_001), epochs=1)
    with refuses(InvalidInput, "labels must fit in float32, the network's dtype, got 1e+300"):
        cp.train(plain, images, np.full((len(labels), 3), 1e300))


def test_early_stopping_cannot_measure_the_accuracy_of_numbers():
    images, labels = blobs()
    stopping = cp.EarlyStopping(2, measure="validation_accuracy")
    with refuses(
        InvalidInput,
        "stopping must have another measure where the targets of validation are no labels, got"
        " EarlyStopping(patience=2, measure='validation_accuracy')",
    ):
        cp.train(small(), images, np.eye(3)[labels], validation=0.2, stopping=stopping)


def test_what_belongs_to_another_argument_is_not_given_alone():
    net = cp.preset("digits", (1, 8, 8), 10)
    with refuses(InvalidInput, "images must be None unless a batch_size is given, got 100"):
        net.summary(images=100)
    images = np.zeros((2, 8, 8))
    with refuses(
        InvalidInput, "sample_weight must be None without targets, whose loss it weighs, got some"
    ):
        cp.explain.Explainer(net, images, sample_weight=[1, 2])
