"""The equations agree with one another, and with derivatives taken by complex steps."""

from __future__ import annotations

import ast
import importlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cases
from convprop import equations as eq

# One rounding is 1.1e-16 of a value; nothing here adds more than some hundred terms.
AGREE = 1e-14

SIZES = [
    ((6, 7), (3, 2)),
    ((5, 5), (5, 5)),
    ((4, 9), (1, 4)),
    ((1, 1), (1, 1)),
    ((8, 3), (1, 1)),
]
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, relative to the largest value of b."""
    assert a.shape == b.shape
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def draw(shape: tuple[int, ...], dtype: type = np.float64, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng([seed, *shape])
    values = random.standard_normal(shape)
    if np.issubdtype(dtype, np.complexfloating):
        values = values + 1j * random.standard_normal(shape)
    return values.astype(dtype)


def layer(size: tuple[int, int], window: tuple[int, int], dtype: type = np.float64):
    """o, w, b and delta of one map and one kernel."""
    outputs = size[0] - window[0] + 1, size[1] - window[1] + 1
    return draw(size, dtype), draw(window, dtype, 1), draw((), dtype, 2), draw(outputs, dtype, 3)


def test_eq_1_by_hand():
    image = np.arange(12.0).reshape(3, 4)
    kernel = np.array([[1.0, 10.0], [100.0, 1000.0]])
    assert eq.cross_correlation(image, kernel).tolist() == [
        [0 + 10 * 1 + 100 * 4 + 1000 * 5, 1 + 10 * 2 + 100 * 5 + 1000 * 6, 2 + 30 + 600 + 7000],
        [4 + 10 * 5 + 100 * 8 + 1000 * 9, 5 + 10 * 6 + 100 * 9 + 1000 * 10, 6 + 70 + 1000 + 11000],
    ]


def test_eq_2_by_hand():
    kernel = np.array([[1.0, 10.0], [100.0, 1000.0]])
    point = np.array([[0.0, 0.0], [0.0, 1.0]])
    assert eq.convolution(point, kernel, "full").tolist() == [
        [0, 0, 0],
        [0, 1, 10],
        [0, 100, 1000],
    ]
    assert eq.convolution(point, kernel).tolist() == [[1]]


def test_eq_2_is_the_sum_it_says():
    image, kernel, _, _ = layer((5, 6), (2, 3))
    full = eq.convolution(image, kernel, "full")
    for i, j in np.ndindex(full.shape):
        terms = [
            image[i - m, j - n] * kernel[m, n]
            for m, n in np.ndindex(kernel.shape)
            if 0 <= i - m < 5 and 0 <= j - n < 6
        ]
        assert full[i, j] == pytest.approx(sum(terms), rel=AGREE, abs=AGREE)
    assert np.array_equal(eq.convolution(image, kernel), full[1:5, 2:6])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "window"), SIZES)
def test_pairs_of_equations(size, window, dtype):
    o, w, b, delta = layer(size, window, dtype)
    f_prime = draw(size, dtype, 4)
    close = AGREE if np.finfo(dtype).eps < 1e-10 else 1e-5
    pairs = [
        (eq.convolution_by_flipped_kernel(o, w), eq.convolution(o, w)),
        (eq.convolution_by_flipped_kernel(o, w, "full"), eq.convolution(o, w, "full")),
        (
            eq.convolve_image(o[..., None], w[..., None, None], b[None])[..., 0],
            eq.convolve_grey_image(o, w, b),
        ),
        (eq.forward_as_convolution(o, w, b), eq.forward(o, w, b)),
        (eq.convolve_grey_image(o, w, b), eq.forward(o, w, b)),
        (eq.weight_derivative_expanded(o, window), eq.weight_derivative(o, window)),
        (
            eq.weight_gradient_by_chain_rule(delta, eq.weight_derivative(o, window)),
            eq.weight_gradient(o, delta),
        ),
        (eq.weight_gradient_as_convolution(o, delta), eq.weight_gradient(o, delta)),
        (eq.input_derivative_expanded(w, f_prime), eq.input_derivative(w, f_prime)),
        (
            eq.input_delta_over_offsets(delta, eq.input_derivative(w, f_prime)),
            eq.input_delta(delta, w, f_prime),
        ),
        (
            eq.input_delta_over_region(delta, jacobian(w, f_prime, delta.shape), window),
            eq.input_delta(delta, w, f_prime),
        ),
        (eq.input_delta_by_rotation(delta, w, f_prime), eq.input_delta(delta, w, f_prime)),
        (eq.input_delta_as_convolution(delta, w, f_prime), eq.input_delta(delta, w, f_prime)),
    ]
    for number, (left, right) in enumerate(pairs):
        assert left.dtype == right.dtype == np.dtype(dtype), number
        assert difference(left, right) <= close, number


def jacobian(w: np.ndarray, f_prime: np.ndarray, outputs: tuple[int, int]) -> np.ndarray:
    """dx[i, j] of the next layer / dx[i', j'], from Eq. 19: w[i'-i, j'-j] f'(x[i', j'])."""
    derivative = np.zeros((*outputs, *f_prime.shape), w.dtype)
    for i, j in np.ndindex(*outputs):
        for m, n in np.ndindex(w.shape):
            derivative[i, j, i + m, j + n] = w[m, n] * f_prime[i + m, j + n]
    return derivative


@pytest.mark.parametrize(("size", "window"), SIZES)
def test_closed_forms_against_complex_steps(size, window):
    o, w, b, delta = layer(size, window)

    def error(x: np.ndarray) -> np.ndarray:
        return (delta * x).sum()

    definition = eq.delta_by_definition
    by_w = definition(lambda v: error(eq.forward(o, v, b)), w)
    by_b = definition(lambda v: error(eq.forward(o, w, v)), b)
    by_o = definition(lambda v: error(eq.forward(v, w, b)), o)
    assert difference(eq.weight_gradient(o, delta), by_w) <= AGREE
    assert difference(eq.bias_gradient(delta), by_b) <= AGREE
    assert difference(eq.input_delta(delta, w), by_o) <= AGREE


@pytest.mark.parametrize("kind", eq.KINDS)
def test_deltas_through_an_activation(kind):
    x, w, b, delta = layer((6, 7), (3, 2))
    f_prime = eq.activation_derivative(x, kind, slope=0.2)

    def error(v: np.ndarray) -> np.ndarray:
        return (delta * eq.forward(eq.activation(v, kind, slope=0.2), w, b)).sum()

    steps = eq.delta_by_definition(error, x)
    for equation in (20, 21, 22):
        assert difference(eq.EQUATIONS[equation].function(delta, w, f_prime), steps) <= AGREE
    derivative = eq.input_derivative(w, f_prime)
    assert difference(eq.input_delta_over_offsets(delta, derivative), steps) <= AGREE


def test_literal_readings_of_eq_21_and_22_are_not_the_delta():
    """What the docstrings say is not meant must differ from Eq. 20, or they would be wrong."""
    _, w, _, delta = layer((6, 7), (3, 2))
    right = eq.input_delta(delta, w)
    padded = np.pad(delta, ((2, 2), (1, 1)))
    turned_sum = eq.rot180(eq.cross_correlation(padded, w))
    flipped_twice = eq.convolution(delta, eq.rot180(w), "full")
    assert difference(turned_sum, right) > 0.1
    assert difference(flipped_twice, right) > 0.1


@pytest.mark.parametrize("kind", eq.KINDS)
def test_activation_derivatives_and_extremes(kind):
    x = np.concatenate([4 * draw((60,)), [0.5, -0.5, 30, -30, 800, -800]])
    steps = eq.delta_by_definition(lambda v: eq.activation(v, kind).sum(), x)
    assert np.max(np.abs(eq.activation_derivative(x, kind) - steps)) <= AGREE
    for dtype in DTYPES:
        values = x.astype(dtype)
        assert eq.activation(values, kind).dtype == dtype
        assert eq.activation_derivative(values, kind).dtype == dtype


def test_activation_values():
    x = np.array([-2.0, 0.0, 1.0])
    expected = {
        "relu": np.maximum(x, 0),
        "leaky_relu": [-0.5, 0, 1],
        "sigmoid": 1 / (1 + np.exp(-x)),
        "tanh": np.tanh(x),
        "scaled_tanh": 1.7159 * np.tanh(2 * x / 3),
        "softplus": np.log(1 + np.exp(x)),
        "identity": x,
        "relu6": np.clip(x, 0, 6),
        "elu": [math.expm1(-2), 0, 1],
        "selu": [1.7580993408473766 * math.expm1(-2), 0, 1.0507009873554805],
        "hard_sigmoid": [1 / 6, 1 / 2, 2 / 3],
        "softsign": [-2 / 3, 0, 1 / 2],
        "gelu": [-math.erfc(math.sqrt(2)), 0, math.erfc(-math.sqrt(0.5)) / 2],
        "gelu_tanh": [
            -1 - math.tanh(math.sqrt(2 / math.pi) * (-2 - 0.044715 * 8)) * 1,
            0,
            0.5 + 0.5 * math.tanh(math.sqrt(2 / math.pi) * 1.044715),
        ],
        "silu": x / (1 + np.exp(-x)),
        "mish": x * np.tanh(np.log(1 + np.exp(x))),
        "hard_swish": [-1 / 3, 0, 2 / 3],
    }
    for kind, values in expected.items():
        assert eq.activation(x, kind, slope=0.25) == pytest.approx(values, rel=AGREE)
    assert eq.scaled_tanh(np.array(1.0)) == pytest.approx(1, abs=1e-4)
    assert eq.activation(x, "elu", alpha=0.5) == pytest.approx(
        [math.expm1(-2) / 2, 0, 1], rel=AGREE
    )


def test_the_standard_normal_distribution():
    """Against the C library's function, which is right to a unit or two; both tails, too."""
    x = np.linspace(-37, 9, 2001)
    wanted = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in x])
    # The argument's rounding, one of x, is one of x^2 / 2 in the exponential.
    assert np.max(np.abs(eq.standard_normal(x) / wanted - 1) / (1 + x * x)) <= 1e-15


def test_selu_keeps_mean_and_variance():
    """Of a normal x: the integral over Gauss's nodes, those below 0 and above apart."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    below, above = -6 + 6 * nodes, 6 + 6 * nodes
    x = np.concatenate([below, above])
    density = np.tile(6 * weights, 2) * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    f = eq.selu(x)
    assert (density * f).sum() == pytest.approx(0, abs=1e-12)
    assert (density * f * f).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("case", cases.MAPS, ids=lambda case: case.name)
def test_slopes_that_are_learned(case: cases.MapCase):
    o, a, delta = case.arrays()

    def error(values: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        return (delta * eq.prelu.forward(values, slopes)).sum()

    step, close = eq.delta_by_definition, AGREE * o[:, 0].size * case.channels
    back = eq.prelu.input_delta(delta, o, a)
    assert np.max(np.abs(back - step(lambda v: error(v, a), o))) <= close
    gradient = eq.prelu.weight_gradient(o, delta, by_channel=case.by_channel)
    assert gradient.shape == a.shape
    assert np.max(np.abs(gradient - step(lambda v: error(o, v), a))) <= close


@pytest.mark.parametrize("case", cases.MAPS[:5], ids=lambda case: case.name)
def test_softmax_over_channels(case: cases.MapCase):
    o, _, delta = case.arrays()
    x = eq.channel_softmax.forward(o)
    assert np.max(np.abs(x.sum(axis=1) - 1)) <= AGREE
    steps = eq.delta_by_definition(lambda v: (delta * eq.channel_softmax.forward(v)).sum(), o)
    assert np.max(np.abs(eq.channel_softmax.input_delta(delta, x) - steps)) <= AGREE * case.channels


@pytest.mark.parametrize(
    ("error", "delta"),
    [
        (eq.squared_error, eq.squared_error_delta),
        (eq.softmax_cross_entropy, eq.softmax_cross_entropy_delta),
        (eq.binary_cross_entropy, eq.binary_cross_entropy_delta),
    ],
)
@pytest.mark.parametrize("case", cases.LOSS_CASES, ids=lambda case: case.name)
def test_loss_deltas(
    case: cases.LossCase, error: Callable[..., np.ndarray], delta: Callable[..., np.ndarray]
):
    y, targets, _ = case.arrays()
    steps = eq.delta_by_definition(lambda v: error(v, targets).sum(), y)
    assert error(y, targets).shape == (case.images,)
    assert np.max(np.abs(delta(y, targets) - steps)) <= AGREE * max(1.0, float(np.max(np.abs(y))))


def test_label_smoothing_by_hand():
    smoothed = eq.smoothed_targets(np.array([[0.0, 1.0, 0.0, 0.0]]), 0.2)
    assert smoothed == pytest.approx(np.array([[0.05, 0.85, 0.05, 0.05]]), rel=AGREE)
    y = np.array([[1.0, 2.0, -1.0, 0.0]])
    shares = np.exp(y) / np.exp(y).sum()
    assert eq.softmax_cross_entropy_delta(y, smoothed) == pytest.approx(
        shares - smoothed, rel=AGREE
    )


def test_squared_error_by_hand():
    assert eq.squared_error(np.array([1.0, 5.0]), np.array([3.0, 2.0])) == (4 + 9) / 2
    assert eq.squared_error_delta(np.array([1.0, 5.0]), np.array([3.0, 2.0])).tolist() == [-2, 3]


def pool_forward(case: cases.PoolCase, o: np.ndarray) -> np.ndarray:
    return eq.network.layer_forward(pool_layer(case), [o], {})


def pool_layer(case: cases.PoolCase) -> dict:
    return {"kind": "pool", "pool": case.kind, **case.resolved}


@pytest.mark.parametrize("case", cases.POOL_CASES, ids=lambda case: case.name)
def test_pooling_against_complex_steps(case: cases.PoolCase):
    o, delta = (array[:2] for array in case.arrays())
    x = pool_forward(case, o)
    assert x.shape == delta.shape
    (routed,) = eq.network.layer_input_deltas(pool_layer(case), [o], delta, {})
    if case.name in ("max-ties", "l2-zeros"):
        return  # not differentiable where blocks tie or vanish; asserted below by hand
    steps = eq.delta_by_definition(lambda v: (delta * pool_forward(case, v)).sum(), o)
    assert difference(routed, steps) <= AGREE


@pytest.mark.parametrize("case", cases.JOIN_CASES, ids=lambda case: case.name)
def test_joins_against_complex_steps(case: cases.JoinCase):
    inputs, delta = case.arrays()
    inputs, delta = [o[:2] for o in inputs], delta[:2]
    forward = eq.joins.FORWARD[case.kind]
    assert forward(*inputs).shape == delta.shape
    for read, found in enumerate(eq.joins.DELTAS[case.kind](delta, *inputs)):

        def error(v: np.ndarray, read: int = read) -> np.ndarray:
            return (delta * forward(*inputs[:read], v, *inputs[read + 1 :])).sum()

        steps = eq.delta_by_definition(error, inputs[read])
        assert difference(found, steps) <= AGREE


def test_article_pooling_by_hand():
    o = np.array([[1.0, 7, 3, 3], [5, 2, 3, 3], [0, 0, -1, -4], [0, 0, -2, -3]])
    values, winner = eq.max_pooling(o, (2, 2))
    assert values.tolist() == [[7, 3], [0, -1]]
    assert winner.tolist() == [[1, 2], [8, 10]], "the first of equals in row order wins"
    delta = np.array([[10.0, 20], [30, 40]])
    assert eq.max_routing(delta, winner, (4, 4)).tolist() == [
        [0, 10, 20, 0],
        [0, 0, 0, 0],
        [30, 0, 40, 0],
        [0, 0, 0, 0],
    ]
    assert eq.average_pooling(o, (2, 2)).tolist() == [[15 / 4, 3], [0, -2.5]]
    shares = eq.average_routing(delta, (4, 4), (2, 2))
    assert shares.tolist() == np.kron(delta / 4, np.ones((2, 2))).tolist()
    norms = eq.l2_pooling(o, (2, 2))
    assert norms == pytest.approx(np.sqrt([[79, 36], [0, 30]]))
    routed = eq.l2_routing(delta, o, (2, 2))
    assert routed[2:, :2].tolist() == [[0, 0], [0, 0]], "a block of zeros routes zero"
    assert routed[0, 1] == pytest.approx(10 * 7 / np.sqrt(79))


def test_padding_never_wins():
    values, winner = eq.max_pooling(-np.ones((1, 1)), (2, 2), (1, 1), (1, 1, 1, 1))
    assert (values == -1).all()
    assert (winner == 0).all()


def test_average_counts_padding_or_not():
    o = np.ones((2, 2))
    sides = (1, 1, 1, 1)
    counted = eq.average_pooling(o, (2, 2), (2, 2), sides)
    assert (counted == 0.25).all()
    assert (eq.average_pooling(o, (2, 2), (2, 2), sides, count_padding=False) == 1).all()


def test_averages_of_ceil_mode_by_hand():
    """Divided by what lies in the map and its padding, as PyTorch does, by hand."""
    o = np.arange(1.0, 17).reshape(4, 4)
    found = eq.average_pooling(o, (3, 3), (2, 2), (1, 1, 1, 1), overhang=(1, 1))
    # The window at the lower right corner has 16, three places of padding and five beyond it.
    sums = np.array([[14, 30, 12], [57, 99, 36], [27, 45, 16]])
    counts = np.array([[9, 9, 6], [9, 9, 6], [6, 6, 4]])
    assert found == pytest.approx(sums / counts)
    found = eq.average_pooling(o, (3, 3), (2, 2), (1, 1, 1, 1), False, overhang=(1, 1))
    assert found == pytest.approx(sums / np.array([[4, 6, 2], [6, 9, 3], [2, 3, 1]]))


def test_dilated_maxima_by_hand():
    o = np.array([[1.0, 7, 3, 3], [5, 2, 9, 3], [8, 6, 4, 0]])
    values, winner = eq.max_pooling(o, (2, 2), (1, 1), dilation=(2, 1))
    assert values.tolist() == [[8, 7, 4]]
    assert winner.tolist() == [[8, 1, 10]]


def test_shuffles_of_channels_are_undone_by_those_in_the_other_number_of_groups():
    o = draw((2, 12, 3, 2))
    for groups in (1, 2, 3, 4, 6, 12):
        shuffled = eq.channels.channel_shuffle(o, groups)
        assert np.array_equal(eq.channels.channel_shuffle(shuffled, 12 // groups), o)


def test_pooling_is_complex_safe():
    o = draw((2, 3, 6, 6), np.complex128)
    for pooled in (
        eq.max_pooling(o, (2, 2))[0],
        eq.average_pooling(o, (3, 2)),
        eq.l2_pooling(o, (2, 3)),
    ):
        assert pooled.dtype == np.complex128
    # The sum of squares, not of squared magnitudes.
    assert eq.l2_pooling(np.array([[3j, 5 + 0j]]), (1, 2))[0, 0] == pytest.approx(4)


# The general forms, against the single-map forms that the article writes.


@pytest.mark.parametrize(("size", "window"), SIZES)
def test_general_with_one_of_each_is_the_article(size, window):
    o, w, b, delta = layer(size, window)
    general = eq.general
    x = general.forward(o[None, None], w[None, None], b[None])
    gradient = general.weight_gradient(o[None, None], delta[None, None], kernel_size=window)
    back = general.input_delta(delta[None, None], w[None, None], input_size=size)
    assert difference(x[0, 0], eq.forward(o, w, b)) <= AGREE
    assert difference(gradient[0, 0], eq.weight_gradient(o, delta)) <= AGREE
    assert difference(back[0, 0], eq.input_delta(delta, w)) <= AGREE
    assert difference(general.bias_gradient(delta[None, None])[0], eq.bias_gradient(delta)) <= AGREE


def forward_pixel_by_pixel(case: cases.ConvCase, o: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Every index written out; the slowest and plainest form."""
    at = case.resolved
    top, bottom, left, right = at["padding"]
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(o, sides, constant_values=case.padding_value)
    channels_each, kernels_each = w.shape[1], case.kernels // case.groups
    x = np.zeros((case.images, case.kernels, *case.output_size))
    for k, i, j, c, m, n in np.ndindex(*x.shape[1:], *w.shape[1:]):
        row = i * at["stride"][0] + m * at["dilation"][0]
        column = j * at["stride"][1] + n * at["dilation"][1]
        at_kernel = (k, c, -1 - m, -1 - n) if case.flip_kernel else (k, c, m, n)
        channel = k // kernels_each * channels_each + c
        x[:, k, i, j] += w[at_kernel] * padded[:, channel, row, column]
    return x


SMALL = [case for case in cases.CONV_CASES if case.multiply_adds // case.images < 6000]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_general_forward_pixel_by_pixel(case: cases.ConvCase):
    o, w, _, _ = case.arrays()
    expected = forward_pixel_by_pixel(case, o, w)
    assert difference(eq.general.forward(o, w, **case.resolved), expected) <= AGREE


@pytest.mark.parametrize("case", cases.CONV_CASES, ids=lambda case: case.name)
def test_general_gradients_against_complex_steps(case: cases.ConvCase):
    """Along one random direction each, which has a part of every weight and every pixel."""
    o, w, b, delta = case.arrays()
    general, step = eq.general, 1e-30
    for value, gradient, error in (
        (
            w,
            general.weight_gradient(o, delta, kernel_size=case.kernel_size, **case.resolved),
            lambda v: general.forward(o, v, b, **case.resolved),
        ),
        (
            o,
            general.input_delta(delta, w, input_size=case.input_size, **case.resolved_input_delta),
            lambda v: general.forward(v, w, b, **case.resolved),
        ),
    ):
        direction = draw(value.shape, seed=7)
        slope = (delta * error(value + 1j * step * direction)).sum().imag / step
        terms = gradient * direction
        assert gradient.shape == value.shape
        assert abs(slope - terms.sum()) <= AGREE * np.abs(terms).sum()


def test_flipped_general_kernel_is_eq_2():
    o, w, _, _ = layer((6, 7), (3, 2))
    x = eq.general.forward(o[None, None], w[None, None], flip_kernel=True)
    assert difference(x[0, 0], eq.convolution(o, w)) <= AGREE


# The table and the package.


def test_table_has_every_equation():
    numbers = [key for key in eq.EQUATIONS if isinstance(key, int)]
    assert numbers == list(range(1, 23))
    assert {key for key in eq.EQUATIONS if isinstance(key, str)} == {
        "bias",
        "activation derivative",
        "squared error delta",
        "max",
        "max routing",
        "average",
        "average routing",
        "l2",
        "l2 routing",
    }
    functions = [entry.function for entry in eq.EQUATIONS.values()]
    assert len(set(functions)) == len(functions), "one function for each equation"
    assert eq.EQUATIONS[13].function is eq.weight_gradient
    assert eq.EQUATIONS[14].function is eq.weight_gradient_as_convolution


@pytest.mark.parametrize("key", eq.EQUATIONS, ids=str)
def test_table_entries_are_complete(key):
    entry = eq.EQUATIONS[key]
    assert entry.function.__name__ in eq.__all__
    assert entry.sentence.endswith(".")
    for opening, closing in ("{}", ("\\left", "\\right"), "()"):
        assert entry.latex.count(opening) == entry.latex.count(closing), entry.latex
    if isinstance(key, int):
        assert (entry.function.__doc__ or "").startswith(f"Eq. {key}: ")


def test_numpy_is_all_that_is_imported():
    modules = set()
    for path in Path(eq.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                modules.add(node.module or "")
            elif isinstance(node, ast.Import):
                modules.update(name.name for name in node.names)
    others = {name for name in modules if not name.startswith("convprop.equations")}
    annotations = {"__future__", "collections.abc", "types", "typing"}
    assert {name.split(".")[0] for name in others - annotations} == {"numpy"}


def test_cases_and_benchmarks_are_one_table():
    for table, checked, timed in (
        (cases.CONVOLUTIONS, cases.CONV_CASES, cases.CONV_BENCHMARKS),
        (cases.POOLINGS, cases.POOL_CASES, cases.POOL_BENCHMARKS),
        (cases.DENSES, cases.DENSE_CASES, cases.DENSE_BENCHMARKS),
    ):
        assert len({case.name for case in table}) == len(table)
        assert {id(case) for case in (*checked, *timed)} == {id(case) for case in table}
        assert all(case.benchmark for case in timed)
        assert not any(case.benchmark for case in checked)


def test_the_benchmarks_time_these_very_cases(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    timed = importlib.import_module("shapes").CASES
    table = (*cases.CONV_BENCHMARKS, *cases.POOL_BENCHMARKS, *cases.DENSE_BENCHMARKS)
    assert [id(case) for case in timed.values()] == [id(case) for case in table]
