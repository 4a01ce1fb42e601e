"""Networks: what goes forward and back against the equations, and everything round it."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest

import convprop as cp
import reference
from convprop import presets
from convprop.errors import InvalidInput
from convprop.machine.native import engine
from refusal import refuses

SHAPE = (2, 11, 10)


def varied(dtype: str = "float64", loss: cp.SquaredError | None = None) -> cp.Network:
    """Return a network with every kind of layer, option and activation, all of them smooth."""
    layers = [
        cp.Conv(4, 3, padding="same", dilation=2, padding_value=0.5),
        cp.ScaledTanh(),
        cp.Conv(6, (3, 2), stride=(1, 2), padding=(1, 0, 2, 1), groups=2, flip_kernel=True),
        cp.Softplus(),
        cp.AveragePool(2, stride=1, padding=1, count_padding=False),
        cp.LeakyReLU(0.1),
        cp.L2Pool(2, stride=(2, 1)),
        cp.Sigmoid(),
        cp.Conv(5, 2),
        cp.ReLU(),
        cp.MaxPool(2, stride=1, padding=1),
        cp.Identity(),
        cp.Dropout(0.5),
        cp.Flatten(),
        cp.Dense(7),
        cp.Tanh(),
        cp.Dense(3),
    ]
    net = cp.Network(layers, SHAPE, loss or cp.SoftmaxCrossEntropy(), seed=4, dtype=dtype)
    for name, array in net.parameters.items():
        if name.endswith("bias"):
            array[...] = np.linspace(-0.3, 0.4, array.size)
    return net


def batch(images: int = 5, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(11)
    return random.normal(size=(images, *SHAPE)), random.integers(0, classes, images)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 5e-6)])
def test_forward(dtype, tolerance):
    net, (images, _) = varied(dtype), batch(33)
    wanted = reference.forward(net, reference.values(net), images.astype(dtype).astype(float))
    found = net.forward(images)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted[-1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "loss",
    [
        cp.SoftmaxCrossEntropy,
        partial(cp.SoftmaxCrossEntropy, label_smoothing=0.3),
        cp.SquaredError,
        cp.BinaryCrossEntropy,
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_backpropagate(loss, reduction, weighted):
    net, (images, labels) = varied(loss=loss(reduction)), batch()
    weights = np.array([0.5, 2.0, 0.0, 1.0, 3.0]) if weighted else None
    targets, parameters = reference.one_hot(labels, 3), reference.values(net)
    outputs = reference.forward(net, parameters, images)
    deltas, gradients = reference.backward(net, parameters, outputs, targets, weights)

    passed = net.backpropagate(images, labels, weights)

    close = {"rtol": 1e-11, "atol": 1e-12}
    assert passed.loss == pytest.approx(
        reference.loss(net, outputs[-1], targets, weights), rel=1e-13
    )
    assert [layer.name for layer in passed.layers] == list(net.names)
    for index, layer in enumerate(passed.layers):
        np.testing.assert_allclose(layer.input, outputs[index], **close)
        np.testing.assert_allclose(layer.output, outputs[index + 1], **close)
        np.testing.assert_allclose(layer.delta, deltas[index + 1], **close)
    np.testing.assert_allclose(passed.input_delta, deltas[0], **close)
    assert list(passed.gradients) == list(net.parameters)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(passed.gradients[name], gradient, **close)
    assert passed.layers[0].gradients["weight"] is passed.gradients["conv1.weight"]
    assert passed.layers[1].gradients == {}


def test_gradients_are_complex_step_derivatives():
    net, (images, labels) = varied(), batch()
    targets, parameters = reference.one_hot(labels, 3), reference.values(net)
    gradients = net.gradients(images, labels)
    random = np.random.default_rng(0)
    for name, values in parameters.items():
        for _ in range(3):
            place = tuple(random.integers(0, values.shape))
            stepped = values.astype(complex)
            stepped[place] += 1e-30j
            y = reference.forward(net, parameters | {name: stepped}, images.astype(complex))[-1]
            wanted = reference.loss(net, y, targets).imag / 1e-30
            assert gradients[name][place] == pytest.approx(wanted, rel=1e-11, abs=1e-13)


def test_sample_weight_two_is_the_image_twice():
    net, (images, labels) = varied(), batch()
    doubled = net.backpropagate(images, labels, [1, 2, 1, 1, 1])
    twice = net.backpropagate(images[[0, 1, 1, 2, 3, 4]], labels[[0, 1, 1, 2, 3, 4]])
    assert doubled.loss == pytest.approx(twice.loss, rel=1e-14)
    for name, gradient in doubled.gradients.items():
        np.testing.assert_allclose(gradient, twice.gradients[name], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_bits_do_not_depend_on_threads(threads):
    net, (images, labels) = varied("float32"), batch(50)
    before = cp.get_num_threads()
    expected = net.forward(images), net.gradients(images, labels)
    try:
        cp.set_num_threads(threads)
        assert np.array_equal(net.forward(images), expected[0])
        gradients = net.gradients(images, labels)
    finally:
        cp.set_num_threads(before)
    for name, gradient in gradients.items():
        assert np.array_equal(gradient, expected[1][name])


def test_outputs_do_not_depend_on_the_batch():
    net, (images, _) = varied("float32"), batch(300)
    together = net.forward(images)
    for part in (slice(0, 1), slice(3, 20), slice(255, 300)):
        assert np.array_equal(net.forward(images[part]), together[part])


def test_predictions_are_what_the_loss_makes_of_outputs():
    images, _ = batch()
    softmax = varied().predict(images)
    np.testing.assert_allclose(softmax.sum(axis=1), 1, rtol=1e-14)
    raw = varied().forward(images)
    wanted = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, wanted, rtol=1e-13)
    sigmoid = varied(loss=cp.BinaryCrossEntropy()).predict(images)
    np.testing.assert_allclose(sigmoid, 1 / (1 + np.exp(-raw)), rtol=1e-13)
    assert np.array_equal(varied(loss=cp.SquaredError()).predict(images), raw)
    assert np.array_equal(varied().predict_classes(images), raw.argmax(axis=1))


def test_evaluate():
    net, (images, labels) = varied(), batch(40)
    raw = net.forward(images)
    errors = np.log(np.exp(raw).sum(axis=1)) - raw[np.arange(40), labels]
    right = raw.argmax(axis=1) == labels
    assert net.evaluate(images, labels) == pytest.approx((errors.mean(), right.mean()), rel=1e-12)
    weights = np.arange(40)
    assert net.evaluate(images, labels, weights) == pytest.approx(
        (np.average(errors, weights=weights), np.average(right, weights=weights)), rel=1e-12
    )
    loss, accuracy = net.evaluate(images, reference.one_hot(labels, 3))
    assert loss == pytest.approx(errors.mean(), rel=1e-12)
    assert accuracy is None


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_evaluate_batch_by_batch_has_the_bits_of_all_at_once(labels, weighted):
    random = np.random.default_rng(3)
    net, (images, targets) = varied("float32"), batch(2 * 256 + 7)
    images = images.astype(np.float32)
    if not labels:
        targets = random.random((len(images), 3), dtype=np.float32)
    weights = random.random(len(images)) if weighted else None
    outputs = net.forward(images)
    wanted = net.as_targets(targets, len(images))
    losses = engine.loss(outputs, wanted, net.loss.kind)[0]
    loss, accuracy = net.evaluate(images, targets, weights)
    assert loss == np.average(losses, weights=weights)
    if labels:
        assert accuracy == np.average(outputs.argmax(axis=1) == targets, weights=weights)
    else:
        assert accuracy is None
    np.testing.assert_array_equal(net.predict(images), net.loss.prediction(outputs))
    np.testing.assert_array_equal(net.predict_classes(images), outputs.argmax(axis=1))


@pytest.mark.parametrize("loss", [cp.BinaryCrossEntropy(), cp.SquaredError()])
def test_single_output_takes_labels_as_its_target(loss):
    net = cp.Network([cp.Dense(1)], SHAPE, loss, dtype="float64")
    images, labels = batch(20, classes=2)
    by_label = net.backpropagate(images, labels)
    by_value = net.backpropagate(images, labels.astype(float))
    assert by_label.loss == by_value.loss
    raw = net.forward(images)[:, 0]
    predicted = raw > (0 if isinstance(loss, cp.BinaryCrossEntropy) else 0.5)
    assert net.evaluate(images, labels).accuracy == (predicted == labels).mean()
    assert np.array_equal(net.predict_classes(images), predicted.astype(int))


def test_outputs_may_be_maps():
    net = cp.Network([cp.Conv(3, 3), cp.AveragePool("global")], SHAPE, dtype="float64")
    images, labels = batch()
    assert net.forward(images).shape == (5, 3)
    outputs = reference.forward(net, reference.values(net), images)
    passed = net.backpropagate(images, labels)
    assert passed.layers[-1].output.shape == (5, 3, 1, 1)
    targets = reference.one_hot(labels, 3)
    assert passed.loss == pytest.approx(reference.loss(net, outputs[-1], targets), rel=1e-13)


def test_normalisation_reaches_the_first_layer():
    net, (images, labels) = varied(), batch()
    plain = net.backpropagate(images, labels)
    net.normalisation = [0.25, -0.5], [2.0, 0.5]
    passed = net.backpropagate(images, labels)
    np.testing.assert_allclose(passed.layers[0].input, reference.lanes(net, images), rtol=1e-15)
    assert passed.loss != plain.loss
    pixels = np.arange(5 * 220, dtype=np.uint8).reshape(5, *SHAPE)
    assert np.array_equal(net.forward(pixels), net.forward(pixels.astype(float)))
    net.normalisation = None
    assert net.backpropagate(images, labels).loss == plain.loss


def test_parameters_are_live_and_named():
    net, (images, _) = varied(), batch()
    assert list(net.parameters)[:3] == ["conv1.weight", "conv1.bias", "conv2.weight"]
    assert len(net.parameters) == 10
    before = net.forward(images)
    net.parameters["dense2.bias"][...] += 1.0
    np.testing.assert_allclose(net.forward(images), before + 1.0, rtol=1e-12)
    net.parameters["dense2.bias"] = np.linspace(-0.3, 0.4, 3)
    assert np.array_equal(net.forward(images), before)
    with refuses(InvalidInput, "dense2.bias must have shape (3,), got shape (2,)"):
        net.parameters["dense2.bias"] = [1.0, 2.0]
    names = ", ".join(net.parameters)
    with refuses(InvalidInput, f"parameter name must be one of {names}, got 'dense3.bias'"):
        net.parameters["dense3.bias"] = [1.0, 2.0]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_independent(duplicate):
    net, (images, _) = varied(), batch()
    before = net.forward(images)
    other = duplicate(net)
    assert np.array_equal(other.forward(images), before)
    other.parameters["dense2.bias"][...] = 5.0
    assert np.array_equal(net.forward(images), before)
    assert not np.array_equal(other.forward(images), before)


def test_weights_sha256_sees_every_bit():
    net = varied()
    before = net.weights_sha256()
    assert varied().weights_sha256() == before
    array = net.parameters["conv1.weight"]
    array[0, 0, 0, 0] = np.nextafter(array[0, 0, 0, 0], 1)
    assert net.weights_sha256() != before


def test_summary():
    net = cp.preset("lenet5", (1, 28, 28), 10)
    assert net.summary() == LENET5
    for name in presets.NAMES:
        summary = cp.preset(name, (3, 32, 32), 1000).summary()
        assert max(map(len, summary.splitlines())) <= 80


def test_the_first_relu6_is_not_the_sixty_first_relu():
    layers = [cp.Conv(2, 1), *[cp.layers.ReLU()] * 61, cp.layers.ReLU6(), cp.Dense(2)]
    names = [node.name for node in cp.Network(layers, (1, 3, 3)).graph.nodes]
    assert names[-3:] == ["relu61", "relu6_1", "dense1"]


def test_a_summary_breaks_no_words():
    layers = [
        cp.Conv(64, 3, padding="same", algorithm="winograd"),
        cp.Conv(64, 3, stride=(2, 1), padding=(1, 2), initializer=cp.initializers.HeUniform()),
        cp.AveragePool("global"),
        cp.Dense(10),
    ]
    lines = cp.Network(layers, (3, 256, 256)).summary().splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[:38].rstrip() for line in lines[5:15]] == [
        "conv1          Conv(64, 3,   64x256x25",
        "               padding='same',",
        "               algorithm='winograd')",
        "conv2          Conv(64, 3,   64x128x25",
        "               stride=(2, 1),",
        "               padding=(1, 2),",
        "               initializer=HeUniform()",
        "average_pool1                    64x1x",
        "               AveragePool('global')",
        "dense1         Dense(10)             1",
    ]


LENET5 = """\
1x28x28 -> 10, SoftmaxCrossEntropy(), float32, 246,824 B of parameters

Layer                               Output  Parameters  Multiply-adds    Memory
-------------------------------------------------------------------------------
input                              1x28x28                              3,136 B
conv1      Conv(6, 5, padding=2)   6x28x28         156        117,600  18,816 B
relu1      ReLU()                  6x28x28                             18,816 B
max_pool1  MaxPool(2)              6x14x14                              4,704 B
conv2      Conv(16, 5)            16x10x10       2,416        240,000   6,400 B
relu2      ReLU()                 16x10x10                              6,400 B
max_pool2  MaxPool(2)               16x5x5                              1,600 B
dense1     Dense(120)                  120      48,120         48,000     480 B
relu3      ReLU()                      120                                480 B
dense2     Dense(84)                    84      10,164         10,080     336 B
relu4      ReLU()                       84                                336 B
dense3     Dense(10)                    10         850            840      40 B
-------------------------------------------------------------------------------
total                                           61,706        416,520  61,544 B"""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda net: net.forward(np.zeros((5, 11, 10))),
            "images must have shape (N, 2, 11, 10) or (N, 11, 10, 2), got shape (5, 11, 10)",
        ),
        (
            lambda net: net.evaluate(np.zeros((2, *SHAPE)), [0, 3]),
            "targets must lie in 0..2, got 3 at index 1",
        ),
        (
            lambda net: net.evaluate(np.zeros((2, *SHAPE)), [0, 1, 2]),
            "targets must hold one label for each of the 2 images, got 3",
        ),
        (
            lambda net: net.evaluate(np.zeros((2, *SHAPE)), [0.0, 1.0]),
            "targets must be integers, got dtype float64",
        ),
        (
            lambda net: net.evaluate(np.zeros((2, *SHAPE)), np.full((2, 3), 1.5)),
            "targets must lie in 0..1 for SoftmaxCrossEntropy(), got 1.5",
        ),
        (
            lambda net: net.evaluate(np.zeros((2, *SHAPE)), np.full((2, 3), np.nan)),
            "targets must be finite, got NaN or infinity",
        ),
        (
            lambda net: net.evaluate(np.zeros((2, *SHAPE)), [0, 1], [1.0]),
            "sample_weight must have shape (2,), got shape (1,)",
        ),
        (
            lambda net: net.evaluate(np.zeros((2, *SHAPE)), [0, 1], [1.0, -1.0]),
            "sample_weight must be finite and at least 0, got -1.0 at index 1",
        ),
        (
            lambda net: net.evaluate(np.zeros((2, *SHAPE)), [0, 1], ["a", "b"]),
            "sample_weight must be numbers, got dtype <U1",
        ),
        (
            lambda net: net.evaluate(np.zeros((2, *SHAPE)), [0, 1], [0.0, 0.0]),
            "sample_weight must be above 0 for some image, got 0 for all",
        ),
        (
            lambda net: setattr(net, "normalisation", ([0.0], [1.0])),
            "normalisation must be an offset and a scale of 2 finite numbers each,"
            " got ([0.0], [1.0])",
        ),
        (
            lambda net: setattr(net, "normalisation", "none"),
            "normalisation must be an offset and a scale of 2 finite numbers each, got 'none'",
        ),
        (
            lambda net: setattr(net, "normalisation", ([0.0, np.nan], [1.0, 1.0])),
            "normalisation must be an offset and a scale of 2 finite numbers each,"
            " got ([0.0, nan], [1.0, 1.0])",
        ),
        (
            lambda net: setattr(net, "class_names", ["a", "b"]),
            "class_names must hold one name for each of the 3 classes, got 2",
        ),
    ],
)
def test_refuses(call, message):
    with refuses(InvalidInput, message):
        call(varied())


@pytest.mark.parametrize("value", [([0.0, -1e39], [1.0, 1.0]), ([0.0, 0.0], [1.0, 1e300])])
def test_normalisation_must_fit_the_dtype(value):
    wide = varied("float64")
    wide.normalisation = value
    assert np.array_equal(wide.normalisation, value)
    narrow = varied("float32")
    with refuses(InvalidInput, f"normalisation must be finite in float32, got {value!r}"):
        narrow.normalisation = value
    assert narrow.normalisation is None


def test_targets_of_another_width_get_the_trace():
    net = cp.Network([cp.Conv(4, 3), cp.ReLU(), cp.Dense(10)], (1, 8, 8))
    with refuses(
        InvalidInput,
        "targets must have shape (2, 10), a value for each image and output, got shape (2, 3),"
        " with input 1x8x8 -> conv1 4x6x6 -> relu1 4x6x6 -> dense1 10",
    ):
        net.evaluate(np.zeros((2, 1, 8, 8)), np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "softmax"}, "loss must be one of convprop.losses, got 'softmax'"),
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64', got 'float16'"),
        (
            {"input_shape": (2, 11, 2**31)},
            "input_shape must be at most 2147483647, got 2147483648",
        ),
        ({"dtype": "decimal"}, "dtype must be 'float32' or 'float64', got 'decimal'"),
    ],
)
def test_constructor_refuses(options, message):
    with refuses(InvalidInput, message):
        cp.Network([cp.Dense(3)], **({"input_shape": SHAPE} | options))


def test_softmax_of_one_output_is_refused():
    with refuses(
        InvalidInput,
        "outputs must be at least 2 for SoftmaxCrossEntropy(), got 1: input 1x8x8 -> dense1 1",
    ):
        cp.Network([cp.Dense(1)], (1, 8, 8))


def test_loss_refuses_a_reduction():
    with refuses(InvalidInput, "reduction must be 'mean' or 'sum', got 'none'"):
        cp.SquaredError(reduction="none")


@pytest.mark.parametrize("threads", [0, -1, 1.5, "two"])
def test_threads_are_a_positive_integer(threads):
    with refuses(InvalidInput, f"threads must be a positive integer, got {threads!r}"):
        cp.set_num_threads(threads)


def test_threads_are_at_most_1024():
    before = cp.get_num_threads()
    with refuses(InvalidInput, "threads must be at most 1024, got 100000"):
        cp.set_num_threads(100000)
    assert cp.get_num_threads() == before
