"""What bad arguments of an operation get: parameter, rule and value, word by word."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convprop import checks, geometry, ops
from convprop.errors import InvalidInput
from convprop.machine.native import engine
from refusal import refuses

O = np.ones((2, 4, 6, 6))  # noqa: E741 - the article's letter
W = np.ones((6, 4, 3, 3))
DELTA = np.ones((2, 6, 4, 4))
Y = np.ones((3, 5))
SIZES = "be a positive integer or a pair of them"
PADDING = "be a non-negative integer, (vertical, horizontal), (top, bottom, left, right) or 'same'"


def conv_forward(o: Any = O, w: Any = W, b: Any = None, **options: Any) -> Any:
    return ops.conv.forward(o, w, b, **options)


def conv_gradient(o: Any = O, delta: Any = DELTA, kernel_size: Any = 3, **options: Any) -> Any:
    return ops.conv.weight_gradient(o, delta, kernel_size=kernel_size, **options)


def conv_delta(delta: Any = DELTA, w: Any = W, input_size: Any = 6, **options: Any) -> Any:
    return ops.conv.input_delta(delta, w, input_size=input_size, **options)


def pool_forward(o: Any = O, kind: Any = "max", size: Any = 2, **options: Any) -> Any:
    return ops.pool.forward(o, kind, size, **options)


def loss(y: Any = Y, targets: Any = Y, kind: Any = "squared_error", **options: Any) -> Any:
    return ops.loss.forward(y, targets, kind, **options)


def dropout(o: Any = Y, rate: Any = 0.5, seed: Any = 0, **keys: Any) -> Any:
    return ops.dropout.forward(o, rate, seed=seed, **keys)


def join(inputs: Any = (O, O), kind: Any = "add") -> Any:
    return ops.join.forward(inputs, kind)


def join_delta(delta: Any = O, inputs: Any = (O, O), kind: Any = "add") -> Any:
    return ops.join.input_delta(delta, inputs, kind)


CASES: list[tuple[Callable[[], Any], str]] = [
    # arrays
    (lambda: conv_forward(o=[[1.0]]), "o must be a NumPy array, got list"),
    (
        lambda: conv_forward(o=np.ones((2, 4, 6, 6), int)),
        "o must have dtype float32 or float64, got int64",
    ),
    (
        lambda: conv_forward(o=O.astype(np.complex128)),
        "o must have dtype float32 or float64, got complex128",
    ),
    (
        lambda: conv_forward(w=W.astype(np.float32)),
        "w must have the dtype of o, float64, got float32",
    ),
    (lambda: conv_forward(o=O[0]), "o must have the axes (N, C, H, W), got shape (4, 6, 6)"),
    (
        lambda: conv_forward(w=W[0]),
        "w must have the axes (K, C / groups, k1, k2), got shape (4, 3, 3)",
    ),
    (lambda: conv_forward(o=O[:0]), "o must hold at least one value, got shape (0, 4, 6, 6)"),
    (
        lambda: conv_forward(w=W[:, :, :0]),
        "w must hold at least one value, got shape (6, 4, 0, 3)",
    ),
    (lambda: conv_forward(b=np.ones((6, 1))), "b must have the axes (K,), got shape (6, 1)"),
    # shapes that must fit one another
    (lambda: conv_forward(w=W[:, :3]), "w must have shape (K, 4, k1, k2), got (6, 3, 3, 3)"),
    (
        lambda: conv_forward(groups=2),
        "w must have shape (K, 2, k1, k2), got (6, 4, 3, 3)",
    ),
    (lambda: conv_forward(b=np.ones(5)), "b must have shape (6,), got (5,)"),
    (
        lambda: conv_gradient(delta=DELTA[:1]),
        "delta must have shape (2, K, 4, 4), got (1, 6, 4, 4)",
    ),
    (
        lambda: conv_gradient(padding=1),
        "delta must have shape (2, K, 6, 6), got (2, 6, 4, 4)",
    ),
    (lambda: conv_delta(input_size=7), "delta must have shape (N, 6, 5, 5), got (2, 6, 4, 4)"),
    (
        lambda: conv_delta(w=W[:5]),
        "delta must have shape (N, 5, 4, 4), got (2, 6, 4, 4)",
    ),
    (
        lambda: ops.pool.input_delta(DELTA, O, "max", 2),
        "delta must have shape (2, 4, 3, 3), got (2, 6, 4, 4)",
    ),
    (
        lambda: ops.dense.forward(Y, np.ones((2, 4))),
        "w must have shape (K, 5), got (2, 4)",
    ),
    (
        lambda: ops.dense.weight_gradient(Y, np.ones((4, 2))),
        "delta must have shape (3, K), got (4, 2)",
    ),
    (
        lambda: ops.dense.input_delta(Y, np.ones((4, 2))),
        "w must have shape (5, F), got (4, 2)",
    ),
    (
        lambda: ops.activation.input_delta(Y, Y[:2], "relu"),
        "delta must have shape (2, 5), got (3, 5)",
    ),
    (
        lambda: ops.activation.input_delta(Y, Y[0], "relu"),
        "delta must have shape (5,), got (3, 5)",
    ),
    # options of a convolution
    (lambda: conv_forward(stride=0), f"stride must {SIZES}, got 0"),
    (lambda: conv_forward(stride=(1, 2, 3)), f"stride must {SIZES}, got (1, 2, 3)"),
    (lambda: conv_forward(stride=1.5), f"stride must {SIZES}, got 1.5"),
    (lambda: conv_forward(stride=True), f"stride must {SIZES}, got True"),
    (lambda: conv_forward(dilation=-1), f"dilation must {SIZES}, got -1"),
    (lambda: conv_gradient(kernel_size=(3, 0)), f"kernel_size must {SIZES}, got (3, 0)"),
    (lambda: conv_delta(input_size="6"), f"input_size must {SIZES}, got '6'"),
    (lambda: conv_forward(padding=-1), f"padding must {PADDING}, got -1"),
    (lambda: conv_forward(padding=(1, 2, 3)), f"padding must {PADDING}, got (1, 2, 3)"),
    (lambda: conv_forward(padding="valid"), f"padding must {PADDING}, got 'valid'"),
    (
        lambda: conv_forward(padding=2**40),
        "padding must be at most 2147483647, got 1099511627776",
    ),
    (
        lambda: conv_forward(padding_value=np.inf),
        "padding_value must be a finite number, got inf",
    ),
    (
        lambda: conv_forward(padding_value="0"),
        "padding_value must be a finite number, got '0'",
    ),
    (lambda: conv_forward(groups=0), "groups must be a positive integer, got 0"),
    (lambda: conv_forward(groups=3), "groups must divide the 4 input channels, got 3"),
    (
        lambda: conv_forward(w=np.ones((6, 1, 3, 3)), groups=4),
        "groups must divide the 6 kernels, got 4",
    ),
    (lambda: conv_forward(flip_kernel=1), "flip_kernel must be True or False, got 1"),
    (
        lambda: conv_forward(o=O[:, :, :2]),
        "window must fit into its padded input of 2x6, got 3x3",
    ),
    (
        lambda: conv_forward(dilation=3, padding=(0, 0, 1, 0)),
        "window must fit into its padded input of 6x7, got 7x7 with its dilation",
    ),
    # pooling
    (
        lambda: pool_forward(kind="min"),
        f"kind must be one of {', '.join(engine.poolings)}, got 'min'",
    ),
    (lambda: pool_forward(size=0), f"size must {SIZES}, got 0"),
    (
        lambda: pool_forward(size="all"),
        "size must be a positive integer, a pair of them or 'global', got 'all'",
    ),
    (
        lambda: pool_forward(size="global", stride=1),
        "stride must be None when size is 'global', got 1",
    ),
    (lambda: pool_forward(stride=(0, 1)), f"stride must {SIZES}, got (0, 1)"),
    (lambda: pool_forward(dilation=0), f"dilation must {SIZES}, got 0"),
    (lambda: pool_forward(ceil_mode=1), "ceil_mode must be True or False, got 1"),
    (
        lambda: pool_forward(size=2, padding=4, dilation=3),
        "padding must be smaller than the 4x4 pooling window with its dilation on every side,"
        " got 4",
    ),
    (
        lambda: pool_forward(size=2, padding=(0, 1), dilation=(1, 7)),
        "dilation must be at most the input's 6 columns with padding before, got 7",
    ),
    (
        lambda: ops.channel_shuffle.forward(O, 3),
        "groups must divide the 4 channels, got 3",
    ),
    (
        lambda: ops.channel_shuffle.input_delta(O, 0),
        "groups must be a positive integer, got 0",
    ),
    (
        lambda: ops.stochastic_depth.forward(Y, 1.0, seed=0),
        "rate must be a number with 0 <= value < 1, got 1.0",
    ),
    (
        lambda: ops.stochastic_depth.input_delta(np.ones(3), 0.5, seed=0),
        "delta must have the axes (N, ...), got shape (3,)",
    ),
    (
        lambda: pool_forward(padding=2),
        "padding must be smaller than the 2x2 pooling window on every side, got 2",
    ),
    (lambda: pool_forward(size=7), "window must fit into its padded input of 6x6, got 7x7"),
    (
        lambda: pool_forward(count_padding=None),
        "count_padding must be True or False, got None",
    ),
    # activations
    (
        lambda: ops.activation.forward(Y, "swish"),
        f"kind must be one of {', '.join(engine.activations)}, got 'swish'",
    ),
    (
        lambda: ops.activation.forward(Y, "leaky_relu", slope=-0.1),
        "slope must be a number of at least 0, got -0.1",
    ),
    (
        lambda: ops.activation.forward(Y, "elu", alpha=-0.1),
        "alpha must be a number of at least 0, got -0.1",
    ),
    (
        lambda: ops.activation.input_delta(Y, Y, "gelu"),
        "x must be given, as the slope of gelu is not found from its output, got None",
    ),
    (
        lambda: ops.activation.input_delta(Y, Y, "silu", x=Y[:, :1]),
        f"x must have the shape of o, {Y.shape}, got {Y[:, :1].shape}",
    ),
    # what goes by channels
    (
        lambda: ops.prelu.forward(Y, np.zeros(Y.shape[1] + 1, Y.dtype)),
        f"a must have shape (1,) or ({Y.shape[1]},), got ({Y.shape[1] + 1},)",
    ),
    (
        lambda: ops.prelu.weight_gradient(Y, Y[:1], by_channel=True),
        f"delta must have the shape of o, {Y.shape}, got {Y[:1].shape}",
    ),
    (
        lambda: ops.prelu.weight_gradient(Y, Y, by_channel=1),
        "by_channel must be True or False, got 1",
    ),
    (
        lambda: ops.softmax.forward(np.zeros((2, 3, 4))),
        "o must have the axes (N, C, H, W) or (N, F), got shape (2, 3, 4)",
    ),
    (
        lambda: ops.softmax.input_delta(Y.astype(np.float32), Y),
        f"delta must have the dtype of x, {Y.dtype}, got float32",
    ),
    (
        lambda: ops.activation.forward(np.array(1.0), "relu"),
        "x must hold at least one value, got shape ()",
    ),
    # losses
    (
        lambda: loss(kind="hinge"),
        "kind must be one of squared_error, softmax_cross_entropy, binary_cross_entropy,"
        " got 'hinge'",
    ),
    (
        lambda: loss(label_smoothing=1.0, kind="softmax_cross_entropy"),
        "label_smoothing must be a number with 0 <= value < 1, got 1.0",
    ),
    (lambda: loss(label_smoothing=0.1), "label_smoothing must be 0 for squared_error, got 0.1"),
    (lambda: loss(reduction="none"), "reduction must be 'mean' or 'sum', got 'none'"),
    (lambda: loss(targets=Y[:2]), "targets must have shape (3, 5), got (2, 5)"),
    (
        lambda: loss(targets=Y * np.nan),
        "targets must be finite, got NaN or infinity",
    ),
    (
        lambda: loss(targets=np.array([0, 1])),
        "targets must have shape (3,) if integers, got (2,)",
    ),
    (
        lambda: loss(targets=np.array([0, 5, 1])),
        "targets must be class indices in 0..4, got 5",
    ),
    (
        lambda: loss(targets=np.array([0, -1, 1])),
        "targets must be class indices in 0..4, got -1",
    ),
    (
        lambda: loss(sample_weight=[1, 2]),
        "sample_weight must have shape (3,), got shape (2,)",
    ),
    (
        lambda: loss(sample_weight=["a", "b", "c"]),
        "sample_weight must be numbers, got dtype <U1",
    ),
    (
        lambda: loss(sample_weight=[1.0, -2.0, 1.0]),
        "sample_weight must be finite and at least 0, got -2.0 at index 1",
    ),
    (
        lambda: loss(sample_weight=np.zeros(3)),
        "sample_weight must be above 0 for some image, got 0 for all",
    ),
    # joins
    (lambda: join(kind="sum"), "kind must be 'add', 'multiply' or 'concat', got 'sum'"),
    (lambda: join(kind=["add"]), "kind must be 'add', 'multiply' or 'concat', got ['add']"),
    (lambda: join([O]), "inputs must be a list of two arrays or more, got 1"),
    (lambda: join(O), "inputs must be a list of two arrays or more, got ndarray"),
    (lambda: join([O, None]), "inputs[1] must be a NumPy array, got NoneType"),
    (
        lambda: join([O, O.astype(np.float32)]),
        "inputs[1] must have the dtype of inputs[0], float64, got float32",
    ),
    (
        lambda: join([O[0], O[0]]),
        "inputs[0] must have the axes (N, C, H, W) or (N, F), got shape (4, 6, 6)",
    ),
    (lambda: join([O, Y]), "inputs[1] must have the axes (N, C, H, W), got shape (3, 5)"),
    (lambda: join([O, O[:1]]), "inputs[1] must have as many images as inputs[0], 2, got 1"),
    (
        lambda: join([O, O[:, :3]]),
        "inputs must have one shape to be added, got 4x6x6 and 3x6x6",
    ),
    (lambda: join([O] * 3, "multiply"), "inputs must be two to be multiplied, got 3"),
    (
        lambda: join([O, O[..., :1]], "multiply"),
        "inputs must have one shape, or the second one number a channel, to be multiplied,"
        " got 4x6x6 and 4x6x1",
    ),
    (
        lambda: join([O, O[..., :1]], "concat"),
        "inputs must have as many rows and columns to be joined, got 4x6x6 and 4x6x1",
    ),
    (lambda: join_delta(O[:, :3]), "delta must have shape (2, 4, 6, 6), got (2, 3, 6, 6)"),
    (
        lambda: join_delta(O, kind="concat"),
        "delta must have shape (2, 8, 6, 6), got (2, 4, 6, 6)",
    ),
    (
        lambda: join_delta(O.astype(np.float32)),
        "delta must have the dtype of inputs[0], float64, got float32",
    ),
    # dropout
    (lambda: dropout(rate=1.0), "rate must be a number with 0 <= value < 1, got 1.0"),
    (lambda: dropout(seed=-1), "seed must be an integer in 0..2**64 - 1, got -1"),
    (lambda: dropout(step=-1), "step must be an integer in 0..2147483647, got -1"),
    (lambda: dropout(layer=0.5), "layer must be an integer in 0..2147483647, got 0.5"),
    (lambda: dropout(o=np.ones(3)), "o must have the axes (N, ...), got shape (3,)"),
    # flatten
    (
        lambda: ops.flatten.forward(np.ones((2, 3))),
        "o must have the axes (N, C, H, W), got shape (2, 3)",
    ),
    (
        lambda: ops.flatten.input_delta(np.ones((2, 3)), input_shape=(1, 2, 2)),
        "delta must have shape (N, 4), got (2, 3)",
    ),
    (
        lambda: ops.flatten.input_delta(np.ones((2, 4)), input_shape=(1, 0, 2)),
        "input_shape must be three positive integers (C, H, W), got (1, 0, 2)",
    ),
]


@pytest.mark.parametrize(("call", "message"), CASES, ids=[message for _, message in CASES])
def test_message(call: Callable[[], Any], message: str):
    with refuses(InvalidInput, message):
        call()


# Geometry: what the forms of a size and a padding resolve to.


@pytest.mark.parametrize(
    ("given", "sides"),
    [
        (2, (2, 2, 2, 2)),
        ((1, 2), (1, 1, 2, 2)),
        ([1, 2, 3, 4], (1, 2, 3, 4)),
        (np.array([1, 2]), (1, 1, 2, 2)),
        (np.int32(1), (1, 1, 1, 1)),
        ("same", (0, 1, 1, 1)),
    ],
    ids=str,
)
def test_padding_forms(given: Any, sides: geometry.Sides):
    assert geometry.resolve_padding(given, (8, 7), (3, 3), (2, 2), (1, 1)) == sides


@pytest.mark.parametrize("length", range(1, 9))
@pytest.mark.parametrize("window", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_gives_the_ceiling(length: int, window: int, stride: int, dilation: int):
    size, steps, spread = (length, length), (stride, stride), (dilation, dilation)
    sides = geometry.resolve_padding("same", size, (window, window), steps, spread)
    outputs = geometry.Window((window, window), steps, sides, spread).outputs(size)
    assert outputs == (-(-length // stride),) * 2
    assert 0 <= sides[1] - sides[0] <= 1


def test_pairs_and_windows():
    assert checks.pair("size", 3) == (3, 3)
    assert checks.pair("size", np.array([2, 3])) == (2, 3)
    for size, stride, window in (
        (2, None, ((2, 2), (2, 2))),
        ((2, 3), 1, ((2, 3), (1, 1))),
        ("global", None, ((5, 6), (5, 6))),
    ):
        found = geometry.pool_window(size, stride, 0, 1, False, (5, 6))
        assert (found.size, found.stride) == window
    assert geometry.Window((3, 3), (1, 1), (0, 0, 0, 0)).outputs((6, 6)) == (4, 4)


@pytest.mark.parametrize(
    ("length", "size", "stride", "padding", "outputs"),
    [
        # floor((length + 2 padding - size) / stride) + 1 fits.
        (6, 2, 2, 0, (3, 3)),
        # One more hangs over the end.
        (7, 2, 2, 0, (3, 4)),
        (6, 3, 2, 0, (2, 3)),
        (4, 3, 2, 1, (2, 3)),
        # One more would begin behind the map: it is left out.
        (5, 2, 3, 1, (2, 2)),
        (6, 2, 3, 1, (3, 3)),
        (3, 1, 2, 0, (2, 2)),
        (4, 1, 2, 0, (2, 2)),
        (9, 3, 5, 2, (3, 3)),
        # A window larger than its map, if its stride reaches over the rest.
        (2, 3, 2, 0, (0, 1)),
    ],
)
def test_ceil_mode_is_that_of_pytorch(
    length: int, size: int, stride: int, padding: int, outputs: tuple[int, int]
):
    for ceil_mode, count in zip((False, True), outputs, strict=True):
        window = geometry.pool_window(size, stride, padding, 1, ceil_mode, (length, length))
        if count:
            assert window.outputs((length, length)) == (count, count)
        else:
            with refuses(InvalidInput, "window must fit into its padded input of 2x2, got 3x3"):
                window.outputs((length, length))


def test_every_window_has_a_unit_whatever_the_geometry():
    """What hangs over the end, and what is dilated, has a winner and something to average."""
    found = 0
    for length, size, stride, padding, dilation, ceil_mode in itertools.product(
        range(1, 7), range(1, 4), range(1, 5), range(5), range(1, 4), (False, True)
    ):
        try:
            window = geometry.pool_window(
                size, stride, padding, dilation, ceil_mode, (length, length)
            )
            outputs, _ = geometry.pool_outputs(window, (length, length), 1)
        except InvalidInput:
            continue
        found += 1
        o = -np.ones((1, 1, length, length))
        given = (size, stride, padding)
        x, _ = ops.pool.forward(o, "max", *given, dilation=dilation, ceil_mode=ceil_mode)
        assert x.shape == (1, 1, outputs, outputs)
        assert (x == -1).all()
        # The last window begins before the padding behind the map does.
        assert (outputs - 1) * stride < length + padding
    assert found > 400
