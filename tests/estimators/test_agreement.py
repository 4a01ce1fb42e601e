"""Parameters that contradict one another, or the data, are an error that names both."""

import numpy as np
import pytest
from blobs import blobs, classifier, layers, regressor

import convprop as cp
from convprop.errors import InvalidInput, UnknownArgument
from refusal import refuses

ROWS = np.zeros((6, 64), dtype=np.uint8)
Y = np.arange(6) % 3


def shaped(**parameters):
    return cp.ConvNetClassifier([cp.Conv(2, 1), cp.Dense(3)], epochs=1, **parameters)


# ---- The shape of X ----


@pytest.mark.parametrize(
    ("axes", "given", "shape"),
    [
        ((8, 8), (1, 8, 9), "(1, 8, 8)"),
        ((8, 8), (9, 8), "(1, 8, 8)"),
        ((1, 8, 8), (8, 4), "(1, 8, 8)"),
        ((8, 8, 3), (1, 8, 8), "(3, 8, 8)"),
        ((8, 8, 3), (28, 28, 3), "(3, 8, 8)"),
        ((3, 8, 6), (3, 6, 8), "(3, 8, 6)"),
    ],
)
def test_an_array_has_its_own_shape(axes, given, shape):
    X = np.zeros((6, *axes), dtype=np.uint8)
    net = shaped(input_shape=given)
    with refuses(
        InvalidInput,
        f"input_shape must be left out or be that of the images in X, {shape} (C, H, W), got"
        f" {given}",
    ):
        net.fit(X, Y)
    assert not hasattr(net, "network_")


@pytest.mark.parametrize(
    ("axes", "given"),
    [((8, 8), (8, 8)), ((8, 8), (1, 8, 8)), ((8, 8, 3), (8, 8, 3)), ((8, 8, 3), (3, 8, 8))],
)
def test_a_shape_that_is_the_arrays_is_no_contradiction(axes, given):
    X = np.zeros((6, *axes), dtype=np.uint8)
    fitted = shaped(input_shape=given, warm_start=True).fit(X, Y)
    assert fitted.network_.input_shape[1:] == (8, 8)


@pytest.mark.parametrize("given", [(8, 8, 1), (64, 1, 1), (16, 4, 1), (4, 4, 3)])
def test_channels_last_without_a_word_of_it(given):
    X = np.zeros((6, np.prod(given)), dtype=np.uint8)
    first, middle, last = given
    with refuses(
        InvalidInput,
        "input_shape must be (C, H, W), or come with data_format 'NHWC' (or with 'NCHW', if it"
        f" is), got {given}, {first} channels of {middle}x{last}",
    ):
        shaped(input_shape=given).fit(X, Y)
    said = shaped(input_shape=given, data_format="NHWC").fit(X, Y)
    assert said.network_.input_shape == (last, first, middle)
    meant = shaped(input_shape=given, data_format="NCHW").fit(X, Y)
    assert meant.network_.input_shape == given


def test_channels_first_where_the_last_are_said():
    with refuses(
        InvalidInput,
        "input_shape must be (H, W, C) with data_format='NHWC', got (1, 8, 8), 8 channels of 1x8",
    ):
        shaped(input_shape=(1, 8, 8), data_format="NHWC").fit(ROWS, Y)


@pytest.mark.parametrize("given", [(1, 8, 8), (8, 8), (1, 64, 1), (4, 4, 4), (1, 16, 4)])
def test_shapes_that_are_read_as_they_stand(given):
    fitted = shaped(input_shape=given).fit(ROWS, Y)
    assert fitted.network_.input_shape == (given if len(given) == 3 else (1, *given))


# ---- A network there is ----

CHANGES = [
    ("network", "lenet5", "[Dense(3)] {} the network there is, got 'lenet5'"),
    ("network", [cp.Tanh(), cp.Dense(3)], "[Dense(3)] {} the network there is, got {new}"),
    ("input_shape", (6, 7), "(1, 6, 6) (C, H, W) {} the network there is, got (6, 7)"),
    ("label_smoothing", 0.3, "0.1 {} the network there is, got 0.3"),
    ("random_state", 1, "0 {} the network there is, got 1"),
]


@pytest.mark.parametrize(("name", "new", "message"), CHANGES, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("partly", [False, True], ids=["warm start", "partial_fit"])
def test_what_a_network_is_made_of_stays(name, new, message, partly):
    images, y = blobs()
    net = cp.ConvNetClassifier([cp.Dense(3)], epochs=1, random_state=0, warm_start=not partly)
    again = net.partial_fit if partly else net.fit
    again(images, y)
    before = net.network_.weights_sha256()
    old = getattr(net, name)
    why = "partial_fit" if partly else "warm_start=True"
    wanted = f"{name} must stay " + message.format(f"where {why} goes on with", new=new)
    with refuses(InvalidInput, wanted):
        net.set_params(**{name: new})
        again(images, y)
    assert net.network_.weights_sha256() == before
    net.set_params(**{name: old})
    again(images, y)
    if name != "input_shape":
        outputs = net.set_params(warm_start=False, network="auto").fit(images, y)
        assert len(outputs.network_.layers) > 1


def test_layers_that_are_changed_in_place_are_changed():
    images, y = blobs()
    net = classifier(warm_start=True).fit(images, y)
    net.network.insert(0, cp.Identity())
    with pytest.raises(InvalidInput, match=r"network must stay \[Conv\(4, 3\), .* got \[Identity"):
        net.fit(images, y)
    # As many layers of the same kinds are the same network.
    same = classifier(warm_start=True).fit(images, y)
    same.set_params(network=tuple(layers())).fit(images, y)


def test_auto_stays_auto_for_other_numbers_of_images():
    images, y = blobs()
    net = cp.ConvNetClassifier(epochs=1, batch_size=50, warm_start=True).fit(images, y)
    assert any(isinstance(layer, cp.Dropout) for layer in net.network_.layers)
    net.fit(images[:20], y[:20])


# ---- One parameter beside another ----


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"validation_fraction": 0.2},
            "validation_fraction must be left at 0.1 unless early_stopping is True, got 0.2",
        ),
        ({"tol": 1e-3}, "tol must be left at 0.0001 unless early_stopping is True, got 0.001"),
        (
            {"optimizer": cp.SGD(0.5), "learning_rate_init": 0.1},
            "learning_rate_init must be None where the optimizer has a learning_rate of its own,"
            " SGD(0.5), got 0.1",
        ),
        (
            {"optimizer": cp.AdamW(weight_decay=0.5), "alpha": 1e-4},
            "alpha must be None where the optimizer has a weight_decay of its own,"
            " AdamW(weight_decay=0.5), got 0.0001",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [classifier, regressor])
def test_parameters_that_would_have_no_effect(make, parameters, message):
    images, y = blobs()
    y = y if make is classifier else np.arange(60.0)
    with refuses(InvalidInput, message):
        make(**parameters).fit(images, y)


def test_one_epoch_has_no_course():
    images, y = blobs()
    with refuses(
        InvalidInput, "early_stopping must be False for partial_fit, which is one epoch, got True"
    ):
        classifier(early_stopping=True).partial_fit(images, y)
    with refuses(
        InvalidInput,
        "schedule must be None or Constant() for partial_fit, whose learning rate is constant,"
        " got OneCycle()",
    ):
        regressor(schedule=cp.schedules.OneCycle()).partial_fit(images, np.arange(60.0))
    classifier(schedule=cp.schedules.Constant()).partial_fit(images, y)


def test_weights_of_classes_that_there_are_not():
    images, y = blobs()
    weights = {"above": 1, "middle": 2, "below": 3, "abvoe": 4}
    with refuses(
        InvalidInput,
        "class_weight must hold only classes of y, 'above', 'below', 'middle', got 'abvoe'",
    ):
        classifier(class_weight=weights).fit(images, y)
    codes = np.arange(60) % 3
    with refuses(InvalidInput, "class_weight must hold only classes of y, '0', '1', '2', got 3"):
        classifier(class_weight={0: 1, 1: 1, 2: 1, 3: 1}).fit(images, codes)


# ---- Parameters that there are not ----


def test_unknown_parameters_are_answered_with_the_valid_ones():
    names = ", ".join(cp.ConvNetRegressor().get_params(deep=False))
    known = sorted(names.split(", "))
    with pytest.raises(TypeError) as caught:
        cp.ConvNetRegressor(class_weight="balanced")
    assert type(caught.value) is UnknownArgument
    message = str(caught.value)
    assert message.startswith("arguments of ConvNetRegressor must be among network, input_shape,")
    assert all(name in message for name in known)
    assert message.endswith("got 'class_weight'")
    with pytest.raises(TypeError, match=r"got 'batchsize' \(did you mean 'batch_size'\?\)$"):
        cp.ConvNetClassifier(batchsize=3)
    net = cp.ConvNetRegressor()
    with refuses(
        InvalidInput,
        "Invalid parameter 'epoch' for estimator ConvNetRegressor (did you mean 'epochs'?). Valid"
        f" parameters are: {', '.join(net.get_params(deep=False))}",
    ):
        net.set_params(epoch=3, verbose=True)
    assert net.verbose is False
    with pytest.raises(ValueError, match=r"'optimiser__momentum' .*did you mean 'optimizer'\?"):
        net.set_params(optimiser__momentum=0.9)
    with refuses(
        InvalidInput,
        "optimizer__learning_rat must be one of learning_rate, rate_factors, decay_factors, beta1,"
        " beta2, epsilon, weight_decay, got the parameter optimizer=AdamW(0.004)"
        " (did you mean 'learning_rate'?)",
    ):
        net.set_params(optimizer__learning_rat=0.9)
