"""Winograd's algorithm gives what the direct sums give, but for rounding."""

import numpy as np
import pytest

import convprop as cp
from cases import CONV_CASES, ConvCase
from convprop import ops
from convprop.described import from_dict
from convprop.errors import InvalidInput
from convprop.layers import LAYERS
from refusal import refuses

CASES = (
    *(
        case
        for case in CONV_CASES
        if case.kernel_size == (3, 3) and (case.stride, case.dilation, case.groups) == (1, 1, 1)
    ),
    ConvCase("one-output", 2, 3, (3, 3), (3, 3)),
    ConvCase("one-pixel-map", 2, 3, (3, 3), (1, 1), padding=1),
    ConvCase("rows-2-columns-1", 2, 3, (3, 3), (2, 1), padding=(2, 3, 1, 4)),
    ConvCase("kernels-16", 16, 16, (3, 3), (9, 10), images=16, padding=1),
    ConvCase("kernels-17", 17, 17, (3, 3), (10, 9), images=17, padding=(0, 2, 1, 1)),
    ConvCase("padding-over-window", 3, 5, (3, 3), (4, 5), padding=(4, 3, 5, 6), padding_value=2.0),
    ConvCase("flip", 5, 18, (3, 3), (6, 7), images=33, padding=1, flip_kernel=True),
)  # fmt: skip
PASSES = ("forward", "weight_gradient", "input_delta")


def passes(case: ConvCase, dtype, algorithm="winograd"):
    """What an inspection finds in a convolution, and the delta it was given.

    Another one stands before it, of weights of 1, whose own delta is its input delta.
    """
    o, w, b, delta = case.arrays(dtype)
    behind = cp.Conv(
        case.kernels, 3, padding=case.padding, padding_value=case.padding_value, bias=b is not None,
        flip_kernel=case.flip_kernel, algorithm=algorithm,
    )  # fmt: skip
    before = cp.Conv(case.channels, 1, groups=case.channels, bias=False)
    net = cp.Network(
        [before, behind, cp.Flatten()], o.shape[1:], dtype=dtype,
        loss=cp.SquaredError(reduction="sum"),
    )  # fmt: skip
    net.parameters["conv1.weight"] = np.ones_like(net.parameters["conv1.weight"])
    net.parameters["conv2.weight"] = w
    if b is not None:
        net.parameters["conv2.bias"] = b
    # The loss ½ Σ (t - y)² has the delta y - t.
    targets = net.forward(o).reshape(len(o), -1) - delta.reshape(len(o), -1)
    first, layer = net.backpropagate(o, targets).layers[:2]
    found = layer.output, layer.gradients["weight"], first.delta
    return dict(zip(PASSES, found, strict=True)), layer.delta


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_sums_of_the_direct_operations(case):
    o, w, b, _ = case.arrays(np.float64)
    found, delta = passes(case, np.float64)
    expected = (
        ops.conv.forward(o, w, b, **case.options),
        ops.conv.weight_gradient(o, delta, kernel_size=3, **case.options),
        ops.conv.input_delta(delta, w, input_size=case.input_size, **case.input_delta_options),
    )
    for name, exact in zip(PASSES, expected, strict=True):
        np.testing.assert_allclose(found[name], exact, rtol=0, atol=1e-13 * np.abs(exact).max())


@pytest.mark.parametrize("channels", [3, 16, 64, 128])
def test_its_error_is_at_most_four_times_that_of_the_direct_sums(channels):
    case = ConvCase("error", channels, 32, (3, 3), (16, 16), images=16, padding=1)
    exact, _ = passes(case, np.float64, "direct")
    winograd, _ = passes(case, np.float32)
    direct, _ = passes(case, np.float32, "direct")
    for name in PASSES:
        of_winograd, of_direct = (
            np.sqrt(np.mean((found[name] - exact[name]) ** 2)) for found in (winograd, direct)
        )
        assert of_winograd <= 4 * of_direct, name


def test_training_finds_what_inspection_shows():
    layers = [
        cp.Conv(18, 3, padding=1, algorithm="winograd"),
        cp.ReLU(),
        cp.MaxPool(2),
        cp.Conv(7, 3, algorithm="winograd"),
        cp.Tanh(),
        cp.Dense(3),
    ]
    random = np.random.default_rng(0)
    images = random.normal(size=(150, 5, 9, 12)).astype(np.float32)
    labels = random.integers(0, 3, 150).astype(np.int32)
    before = cp.get_num_threads()
    try:
        seen = set()
        for threads in (1, 2, 3, 7):
            cp.set_num_threads(threads)
            net = cp.Network(layers, (5, 9, 12))
            plan = net.plan("train", 150)
            gradients = [np.empty_like(array) for array in net.parameters.values()]
            plan.gradients(images, None, labels, None, *net.lane_normalisation(), 1, 0, gradients)
            seen.add(b"".join(gradient.tobytes() for gradient in gradients))
            shown = net.backpropagate(images, labels).gradients
            seen.add(b"".join(shown[name].tobytes() for name in net.parameters))
    finally:
        cp.set_num_threads(before)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "settings", [{"stride": 2}, {"dilation": (1, 2)}, {"groups": 2}, {"kernel_size": (3, 2)}]
)
def test_other_windows_are_refused(settings):
    given = {"kernel_size": 3} | settings
    rule = "'direct' but for a 3x3 window with stride, dilation and groups of 1"
    with refuses(InvalidInput, f"algorithm must be {rule}, got 'winograd'"):
        cp.Conv(4, **given, algorithm="winograd")


def test_other_algorithms_are_refused():
    with refuses(InvalidInput, "algorithm must be 'direct' or 'winograd', got 'fft'"):
        cp.Conv(4, 3, algorithm="fft")


def test_a_description_without_an_algorithm_is_direct():
    described = cp.Conv(4, 3).to_dict()
    del described["algorithm"]
    assert from_dict(described, LAYERS, "layer 1") == cp.Conv(4, 3)
