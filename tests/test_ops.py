"""Every operation of the engine against its equation, over the table of cases.

In float64 within some roundings. In float32 at most twice the error of a naive float32 sum
over the same terms, both measured against float64 from the same float32 inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import cases
from convprop import equations as eq
from convprop import ops
from convprop.machine.native import engine

general = eq.general

DOUBLE = 1e-14
NAIVE_FACTOR = 2
# Half a unit in the last place of float32: an error that every stored result may have.
HALF_ULP = 2.0**-24

Compared = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The engine's result, the equation's in float64, and a naive float32 sum's."""


def error(got: np.ndarray, right: np.ndarray) -> float:
    """Return the largest difference, relative to the largest value."""
    assert got.shape == right.shape
    return float(np.max(np.abs(got - right), initial=0) / max(np.max(np.abs(right)), 1e-300))


def naive_sum(terms: np.ndarray) -> np.ndarray:
    """Add terms along axis 0, one after another, each sum rounded."""
    total = np.zeros(terms.shape[1:], terms.dtype)
    for term in terms:
        total += term
    return total


def agrees(dtype: cases.Dtype, run: Callable[[int], Compared]) -> None:
    """Assert the bound of the dtype; run takes a seed.

    One seed for float64. A sum's float32 error is a matter of luck: the largest of eight draws
    is compared with the largest of the naive sum's.
    """
    if dtype == np.float64:
        got, right, _ = run(0)
        assert got.dtype == np.float64
        assert error(got, right) <= DOUBLE
        return
    draws = [run(seed) for seed in range(8)]
    assert all(got.dtype == naive.dtype == np.float32 for got, _, naive in draws)
    ours = max(error(got, right) for got, right, _ in draws)
    naives = max(error(naive, right) for _, right, naive in draws)
    assert ours <= NAIVE_FACTOR * naives + HALF_ULP


def exact(a: np.ndarray | None) -> np.ndarray | None:
    return None if a is None else a.astype(np.float64)


both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=lambda d: d.__name__)


def over(table: Sequence[Any]) -> Any:
    return pytest.mark.parametrize("case", table, ids=lambda case: case.name)


# Convolution


def windows(case: cases.ConvCase, o: np.ndarray, value: float) -> np.ndarray:
    """Return (G, C / G, k1, k2, N, Ho, Wo): what weight c, m, n of group g is multiplied by."""
    at = case.resolved
    padded = general.pad(o, at["padding"], value)
    views = [
        padded[general.window(m, n, case.output_size, at["stride"], at["dilation"])]
        for m, n in np.ndindex(case.kernel_size)
    ]
    stacked = np.stack(views).reshape(*case.kernel_size, *views[0].shape)
    by_channel = np.moveaxis(stacked, 3, 0)
    return by_channel.reshape(case.groups, -1, *by_channel.shape[1:])


def lying(case: cases.ConvCase, w: np.ndarray) -> np.ndarray:
    """Return w as it lies on the image: turned round if the case flips kernels."""
    return w[:, :, ::-1, ::-1] if case.flip_kernel else w


def naive_forward(case: cases.ConvCase, arrays: cases.ConvArrays) -> np.ndarray:
    """Each output as the bias and then c, m, n in order, product and sum rounded."""
    o, w, b, _ = arrays
    pixels = windows(case, o, case.padding_value)
    banks = lying(case, w).reshape(case.groups, -1, *w.shape[1:])
    shape = case.images, case.groups, case.kernels // case.groups, *case.output_size
    x = np.zeros(shape, o.dtype)
    if b is not None:
        x += b.reshape(case.groups, -1, 1, 1)
    for c, m, n in np.ndindex(*w.shape[1:]):
        weight = banks[:, :, c, m, n][..., np.newaxis, np.newaxis]
        x += weight * np.moveaxis(pixels[:, c, m, n], 0, 1)[:, :, np.newaxis]
    return x.reshape(case.images, case.kernels, *case.output_size)


def naive_weight_gradient(case: cases.ConvCase, arrays: cases.ConvArrays) -> np.ndarray:
    """Each gradient as images and pixels in order, product and sum rounded."""
    o, w, _, delta = arrays
    pixels = windows(case, o, case.padding_value)
    deltas = delta.reshape(case.images, case.groups, -1, *case.output_size)
    gradient = np.zeros((case.groups, case.kernels // case.groups, *w.shape[1:]), o.dtype)
    for image, i, j in np.ndindex(case.images, *case.output_size):
        at_output = deltas[image, :, :, i, j][:, :, np.newaxis, np.newaxis, np.newaxis]
        gradient += at_output * pixels[:, np.newaxis, :, :, :, image, i, j]
    return lying(case, gradient.reshape(w.shape))


def naive_input_delta(case: cases.ConvCase, arrays: cases.ConvArrays) -> np.ndarray:
    """Each delta as k, m, n in order, product and sum rounded."""
    o, w, _, delta = arrays
    at = case.resolved
    padded = general.pad(np.zeros_like(o), at["padding"])
    parts = padded.reshape(case.images, case.groups, -1, *padded.shape[2:])
    deltas = delta.reshape(case.images, case.groups, -1, *case.output_size)
    banks = lying(case, w).reshape(case.groups, -1, *w.shape[1:])
    for k, m, n in np.ndindex(banks.shape[1], *case.kernel_size):
        pixel = general.window(m, n, case.output_size, at["stride"], at["dilation"])
        weight = banks[:, k, :, m, n][..., np.newaxis, np.newaxis]
        parts[pixel] += weight * deltas[:, :, k][:, :, np.newaxis]
    return general.crop(padded, at["padding"])


@both_dtypes
@over(cases.CONV_CASES)
def test_conv_forward(case: cases.ConvCase, dtype: cases.Dtype):
    def run(seed: int) -> Compared:
        arrays = case.arrays(dtype, seed)
        o, w, b, _ = arrays
        right = general.forward(exact(o), exact(w), exact(b), **case.resolved)
        got = ops.conv.forward(o, w, b, **case.options)
        return got, right, naive_forward(case, arrays)

    agrees(dtype, run)


@both_dtypes
@over(cases.CONV_CASES)
def test_conv_weight_gradient(case: cases.ConvCase, dtype: cases.Dtype):
    def run(seed: int) -> Compared:
        arrays = case.arrays(dtype, seed)
        o, _, _, delta = arrays
        size = case.kernel_size
        right = general.weight_gradient(exact(o), exact(delta), kernel_size=size, **case.resolved)
        got = ops.conv.weight_gradient(o, delta, kernel_size=size, **case.options)
        return got, right, naive_weight_gradient(case, arrays)

    agrees(dtype, run)


@both_dtypes
@over(cases.CONV_CASES)
def test_conv_bias_gradient(case: cases.ConvCase, dtype: cases.Dtype):
    def run(seed: int) -> Compared:
        delta = case.arrays(dtype, seed).delta
        naive = naive_sum(np.moveaxis(delta, 1, -1).reshape(-1, case.kernels))
        return ops.conv.bias_gradient(delta), general.bias_gradient(exact(delta)), naive

    agrees(dtype, run)


@both_dtypes
@over(cases.CONV_CASES)
def test_conv_input_delta(case: cases.ConvCase, dtype: cases.Dtype):
    def run(seed: int) -> Compared:
        arrays = case.arrays(dtype, seed)
        _, w, _, delta = arrays
        size = case.input_size
        got = ops.conv.input_delta(delta, w, input_size=size, **case.input_delta_options)
        right = general.input_delta(
            exact(delta), exact(w), input_size=size, **case.resolved_input_delta
        )
        return got, right, naive_input_delta(case, arrays)

    agrees(dtype, run)


def test_conv_of_a_view_and_of_a_read_only_array():
    o, w, b, _ = cases.CONV_CASES[2].arrays()
    expected = ops.conv.forward(o, w, b)
    transposed = np.ascontiguousarray(o.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    assert not transposed.flags.c_contiguous
    assert np.array_equal(ops.conv.forward(transposed, w, b), expected)
    o.setflags(write=False)
    assert np.array_equal(ops.conv.forward(o, w, b), expected)


# Pooling


def pool_layer(case: cases.PoolCase) -> dict[str, Any]:
    return {"kind": "pool", "pool": case.kind, **case.resolved}


@both_dtypes
@over([case for case in cases.POOL_CASES if case.kind == "max"])
def test_max_pool_forward(case: cases.PoolCase, dtype: cases.Dtype):
    o, _ = case.arrays(dtype)
    x, winner = ops.pool.forward(o, case.kind, **case.options)
    right, expected = eq.max_pooling(o, **case.window.described())
    assert winner is not None
    assert winner.dtype == np.int64
    assert np.array_equal(winner, expected)
    assert x.dtype == dtype
    assert np.array_equal(x, right)


@both_dtypes
@over([case for case in cases.POOL_CASES if case.kind != "max"])
def test_pool_forward(case: cases.PoolCase, dtype: cases.Dtype):
    def run(seed: int) -> Compared:
        o, _ = case.arrays(dtype, seed)
        x, winner = ops.pool.forward(o, case.kind, **case.options)
        assert winner is None
        right = eq.network.layer_forward(pool_layer(case), [exact(o)], {})
        return x, right, eq.network.layer_forward(pool_layer(case), [o], {})

    agrees(dtype, run)


@both_dtypes
@over(cases.POOL_CASES)
def test_pool_input_delta(case: cases.PoolCase, dtype: cases.Dtype):
    def run(seed: int) -> Compared:
        o, delta = case.arrays(dtype, seed)
        back = ops.pool.input_delta(delta, o, case.kind, **case.options)
        layer, wide = pool_layer(case), ([exact(o)], exact(delta))
        (right,) = eq.network.layer_input_deltas(layer, *wide, {})
        return back, right, eq.network.layer_input_deltas(layer, [o], delta, {})[0]

    agrees(dtype, run)


# Channels


@both_dtypes
@over(cases.SHUFFLE_CASES)
def test_channel_shuffle(case: cases.ShuffleCase, dtype: cases.Dtype):
    o, delta = case.arrays(dtype)
    layer = {"kind": "channel_shuffle", "groups": case.groups}
    x = ops.channel_shuffle.forward(o, case.groups)
    assert x.dtype == dtype
    assert np.array_equal(x, eq.network.layer_forward(layer, [o], {}))
    back = ops.channel_shuffle.input_delta(delta, case.groups)
    assert np.array_equal(back, eq.network.layer_input_deltas(layer, [o], delta, {})[0])
    assert np.array_equal(ops.channel_shuffle.input_delta(x, case.groups), o)


def test_channel_shuffle_by_hand():
    """Of two groups of three, a1 a2 a3 and b1 b2 b3, comes a1 b1 a2 b2 a3 b3."""
    o = np.arange(6.0).reshape(1, 6, 1, 1)
    assert ops.channel_shuffle.forward(o, 2).ravel().tolist() == [0, 3, 1, 4, 2, 5]
    assert ops.channel_shuffle.input_delta(o, 2).ravel().tolist() == [0, 2, 4, 1, 3, 5]


# Joins


def naive_join_delta(case: cases.JoinCase, arrays: cases.JoinArrays) -> list[np.ndarray]:
    """Of what has one number a channel the pixels in order, product and sum rounded."""
    inputs, delta = arrays
    found = eq.joins.DELTAS[case.kind](delta, *inputs)
    if case.by_channel:
        products = (delta * inputs[0]).reshape(*delta.shape[:2], -1)
        found[1] = naive_sum(np.moveaxis(products, 2, 0)).reshape(inputs[1].shape)
    return found


@both_dtypes
@over(cases.JOIN_CASES)
def test_join_forward(case: cases.JoinCase, dtype: cases.Dtype):
    inputs, _ = case.arrays(dtype)
    x = ops.join.forward(inputs, case.kind)
    assert x.dtype == dtype
    # One product, or sums in the order of the equation: each is rounded once.
    assert np.array_equal(x, eq.joins.FORWARD[case.kind](*inputs))


@both_dtypes
@over(cases.JOIN_CASES)
def test_join_input_delta(case: cases.JoinCase, dtype: cases.Dtype):
    for read in range(len(case.channels)):

        def run(seed: int, read: int = read) -> Compared:
            arrays = case.arrays(dtype, seed)
            wide = [exact(o) for o in arrays.inputs]
            right = eq.joins.DELTAS[case.kind](exact(arrays.delta), *wide)
            back = ops.join.input_delta(arrays.delta, arrays.inputs, case.kind)
            assert len(back) == len(arrays.inputs)
            return back[read], right[read], naive_join_delta(case, arrays)[read]

        agrees(dtype, run)


@both_dtypes
@pytest.mark.parametrize("kind", ops.join.KINDS)
def test_joins_of_rows_are_those_of_maps_of_one_pixel(kind: Any, dtype: cases.Dtype):
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((17, 5)).astype(dtype) for _ in range(2))
    maps = [o.reshape(17, 5, 1, 1) for o in (a, b)]
    x = ops.join.forward([a, b], kind)
    assert x.shape == (17, 10 if kind == "concat" else 5)
    assert np.array_equal(x, ops.join.forward(maps, kind)[..., 0, 0])
    back = ops.join.input_delta(x, [a, b], kind)
    wanted = ops.join.input_delta(x[..., np.newaxis, np.newaxis], maps, kind)
    for got, right in zip(back, wanted, strict=True):
        assert got.dtype == dtype
        assert np.array_equal(got, right[..., 0, 0])


# Dense


def dense_runs(case: cases.DenseCase, dtype: cases.Dtype, seed: int) -> list[Compared]:
    """Return forward, weight_gradient, bias_gradient and input_delta."""
    o, w, b, delta = case.arrays(dtype, seed)
    o64, w64, d64 = exact(o), exact(w), exact(delta)
    bias = np.zeros(case.units, dtype) if b is None else b
    first = np.broadcast_to(bias, (1, case.images, case.units))
    products = o.T[:, :, np.newaxis] * w.T[:, np.newaxis, :]
    return [
        (
            ops.dense.forward(o, w, b),
            o64 @ w64.T + exact(bias),
            naive_sum(np.concatenate([first, products])),
        ),
        (
            ops.dense.weight_gradient(o, delta),
            d64.T @ o64,
            naive_sum(delta[:, :, np.newaxis] * o[:, np.newaxis, :]),
        ),
        (ops.dense.bias_gradient(delta), d64.sum(axis=0), naive_sum(delta)),
        (
            ops.dense.input_delta(delta, w),
            d64 @ w64,
            naive_sum(delta.T[:, :, np.newaxis] * w[:, np.newaxis, :]),
        ),
    ]


@both_dtypes
@pytest.mark.parametrize("part", range(4), ids=["forward", "weight", "bias", "input"])
@over(cases.DENSE_CASES)
def test_dense(case: cases.DenseCase, part: int, dtype: cases.Dtype):
    agrees(dtype, lambda seed: dense_runs(case, dtype, seed)[part])


# Activations


@both_dtypes
@pytest.mark.parametrize("kind", engine.activations)
@pytest.mark.parametrize("shape", [(1,), (16,), (5, 103), (17, 2, 3, 4)], ids=str)
def test_activation(kind: Any, shape: tuple[int, ...], dtype: cases.Dtype):
    random = np.random.default_rng(0)
    x = (4 * random.standard_normal(shape)).astype(dtype)
    delta = random.standard_normal(shape).astype(dtype)
    o = ops.activation.forward(x, kind, slope=0.125, alpha=0.5)
    back = ops.activation.input_delta(delta, o, kind, slope=0.125, alpha=0.5, x=x)
    close = 8 * float(np.finfo(dtype).eps)
    if kind == "gelu_tanh":
        # On both sides an exponent v of four roundings, whose units become as many of exp(v).
        close = close * (1 + np.abs(1.6 * x + 0.0714 * x**3) / 2)
    assert o.dtype == back.dtype == dtype
    right = eq.activation(exact(x), kind, slope=0.125, alpha=0.5)
    assert np.all(np.abs(o - right) / np.maximum(np.abs(right), 1e-3) <= close)
    f_prime = eq.activation_derivative(exact(x), kind, slope=0.125, alpha=0.5)
    # f' comes from the rounded output: its error is one of o, not of f' where f' is small.
    assert np.all(np.abs(back - delta * f_prime) / np.abs(delta) <= close)


@both_dtypes
def test_activation_at_corners_and_extremes(dtype: cases.Dtype):
    x = np.array([0.0, -0.0, 1e30, -1e30, 200, -200], dtype)
    one = np.ones_like(x)
    for kind in engine.activations:
        o = ops.activation.forward(x, kind, slope=0.25)
        assert np.allclose(o, eq.activation(x, kind, slope=0.25), rtol=1e-6, atol=1e-30)
        back = ops.activation.input_delta(one, o, kind, slope=0.25, x=x)
        right = eq.activation_derivative(x, kind, slope=0.25)
        assert np.allclose(back, right, rtol=1e-6, atol=1e-6)


def slopes(kind: str, x: np.ndarray) -> np.ndarray:
    """Return the engine's f'(x)."""
    o = ops.activation.forward(x, kind)
    return ops.activation.input_delta(np.ones_like(x), o, kind, x=x)


# What PyTorch documents, and says of itself in its backward functions.
CORNERS = {
    "relu": ([0.0], [0.0]),
    "leaky_relu": ([0.0], [0.01]),
    "relu6": ([0.0, 6.0], [0.0, 0.0]),
    "elu": ([0.0], [1.0]),
    "selu": ([0.0], [1.7580993408473766]),
    "hard_sigmoid": ([-3.0, 3.0], [0.0, 0.0]),
    "hard_swish": ([-3.0, 3.0], [0.0, 1.0]),
}


@both_dtypes
@pytest.mark.parametrize("kind", CORNERS)
def test_slopes_at_corners_and_beside_them(kind: str, dtype: cases.Dtype):
    at, wanted = (np.array(values, dtype) for values in CORNERS[kind])
    close = 2 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(slopes(kind, at), wanted, rtol=close)
    np.testing.assert_allclose(eq.activation_derivative(at, kind), wanted, rtol=close)
    for side in (-1, 1):
        # The next number beside 0 is subnormal, which counts as 0.
        tiny = dtype(side * np.finfo(dtype).tiny)
        beside = np.where(at == 0, tiny, np.nextafter(at, dtype(side * np.inf)))
        right = eq.activation_derivative(beside, kind)
        np.testing.assert_allclose(slopes(kind, beside), right, rtol=1e-6)


# f and f' at the ends; of finite numbers, however large, the same.
ENDS = {
    "identity": ((-np.inf, np.inf), (1, 1)),
    "relu": ((0, np.inf), (0, 1)),
    "leaky_relu": ((-np.inf, np.inf), (0.01, 1)),
    "sigmoid": ((0, 1), (0, 0)),
    "tanh": ((-1, 1), (0, 0)),
    "scaled_tanh": ((-1.7159, 1.7159), (0, 0)),
    "softplus": ((0, np.inf), (0, 1)),
    "relu6": ((0, 6), (0, 0)),
    "elu": ((-1, np.inf), (0, 1)),
    "selu": ((-1.7580993408473768, np.inf), (0, 1.0507009873554805)),
    "hard_sigmoid": ((0, 1), (0, 0)),
    "softsign": ((-1, 1), (0, 0)),
    "gelu": ((0, np.inf), (0, 1)),
    "gelu_tanh": ((0, np.inf), (0, 1)),
    "silu": ((0, np.inf), (0, 1)),
    "mish": ((0, np.inf), (0, 1)),
    "hard_swish": ((0, np.inf), (0, 1)),
}


@both_dtypes
@pytest.mark.parametrize("kind", ENDS)
def test_ends_of_activations(kind: str, dtype: cases.Dtype):
    ends, wanted = ENDS[kind]
    found = ops.activation.forward(np.array([-np.inf, np.inf, np.nan], dtype), kind)
    np.testing.assert_allclose(found[:2], np.array(ends, dtype), rtol=1e-6)
    assert np.isnan(found[2])
    for far in (np.inf, np.finfo(dtype).max, 1e30):
        x = np.array([-far, far], dtype)
        np.testing.assert_allclose(slopes(kind, x), np.array(wanted, dtype), rtol=1e-6)
        with np.errstate(all="ignore"):
            limits = np.where(np.isfinite(ends), ends, np.array(wanted, dtype) * x)
        f = ops.activation.forward(x, kind)
        np.testing.assert_allclose(f, limits.astype(dtype), rtol=1e-6)


@both_dtypes
@pytest.mark.parametrize("kind", engine.activations)
def test_activations_of_finite_numbers_are_finite(kind: str, dtype: cases.Dtype):
    spread = [np.linspace(-size, size, 2003) for size in (1e4, 120, 1)]
    x = np.concatenate([*spread, np.array([np.finfo(dtype).max, np.finfo(dtype).tiny])])
    x = np.concatenate([x, -x]).astype(dtype)
    assert not np.isnan(ops.activation.forward(x, kind)).any()
    assert np.isfinite(slopes(kind, x)).all()


# Learned slopes, and softmax over channels


@both_dtypes
@pytest.mark.parametrize("part", ["forward", "weight_gradient", "input_delta"])
@over(cases.MAPS)
def test_prelu(case: cases.MapCase, part: str, dtype: cases.Dtype):
    def run(seed: int) -> Compared:
        o, a, delta = case.arrays(dtype, seed)
        if part == "weight_gradient":
            got = ops.prelu.weight_gradient(o, delta, by_channel=case.by_channel)
            right = eq.prelu.weight_gradient(exact(o), exact(delta), by_channel=case.by_channel)
            terms = (delta * np.minimum(o, 0)).reshape(*o.shape[:2], -1).swapaxes(0, 1)
            terms = terms.reshape(case.channels, -1) if case.by_channel else terms.reshape(1, -1)
            return got, right, naive_sum(terms.T)
        own, equation, given = ops.prelu.forward, eq.prelu.forward, [0, 1]
        if part == "input_delta":
            own, equation, given = ops.prelu.input_delta, eq.prelu.input_delta, [2, 0, 1]
        arrays = [(o, a, delta)[n] for n in given]
        return own(*arrays), equation(*map(exact, arrays)), equation(*arrays)

    agrees(dtype, run)


@both_dtypes
@over(cases.MAPS)
def test_softmax_over_channels(case: cases.MapCase, dtype: cases.Dtype):
    o, _, delta = case.arrays(dtype)
    o *= 3
    x = ops.softmax.forward(o)
    back = ops.softmax.input_delta(delta, x)
    assert x.dtype == back.dtype == dtype
    right = eq.channel_softmax.forward(exact(o))
    close = (case.channels + 16) * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(x, right, rtol=close)
    np.testing.assert_allclose(x.sum(axis=1), 1, rtol=close)
    wanted = eq.channel_softmax.input_delta(exact(delta), right)
    assert np.max(np.abs(back - wanted)) <= close * max(1.0, float(np.max(np.abs(delta))))


@both_dtypes
def test_what_goes_by_channels_takes_rows_as_maps_of_one_pixel(dtype: cases.Dtype):
    o, a, delta = cases.MapCase("", 19, (1, 1), images=17).arrays(dtype)
    row, error = o[..., 0, 0], delta[..., 0, 0]
    x = ops.softmax.forward(o)
    for rows, maps in (
        (ops.prelu.forward(row, a), ops.prelu.forward(o, a)),
        (ops.prelu.input_delta(error, row, a), ops.prelu.input_delta(delta, o, a)),
        (ops.softmax.forward(row), x),
        (ops.softmax.input_delta(error, x[..., 0, 0]), ops.softmax.input_delta(delta, x)),
    ):
        np.testing.assert_array_equal(rows, maps[..., 0, 0])
    gradient = ops.prelu.weight_gradient(row, error, by_channel=True)
    assert np.array_equal(gradient, ops.prelu.weight_gradient(o, delta, by_channel=True))


@both_dtypes
def test_prelu_by_hand(dtype: cases.Dtype):
    """At 0 the slope is that from below, and what lies above adds nothing to a gradient."""
    o = np.array([[[[-2.0, 0.0], [1.0, -4.0]], [[3.0, 5.0], [-0.5, 0.0]]]], dtype)
    delta = np.array([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]], dtype)
    a = np.array([0.25, -0.5], dtype)
    x = ops.prelu.forward(o, a)
    assert x.tolist() == [[[[-0.5, 0.0], [1.0, -1.0]], [[3.0, 5.0], [0.25, 0.0]]]]
    assert ops.prelu.weight_gradient(o, delta, by_channel=True).tolist() == [-18.0, -3.5]
    assert ops.prelu.weight_gradient(o, delta, by_channel=False).tolist() == [-21.5]
    back = ops.prelu.input_delta(delta, o, a)
    assert back.tolist() == [[[[0.25, 0.5], [3.0, 1.0]], [[5.0, 6.0], [-3.5, -4.0]]]]


@both_dtypes
def test_a_softmax_of_large_numbers_does_not_overflow(dtype: cases.Dtype):
    o = np.array([[1e4, -1e4, 1e4], [np.finfo(dtype).max, 0, -np.finfo(dtype).max]], dtype)
    np.testing.assert_array_equal(ops.softmax.forward(o), [[0.5, 0, 0.5], [1, 0, 0]])


# Losses


@both_dtypes
@pytest.mark.parametrize("kind", ops.loss.KINDS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@over(cases.LOSS_CASES)
def test_loss(case: cases.LossCase, kind: Any, reduction: Any, dtype: cases.Dtype):
    y, targets, labels = case.arrays(dtype)
    weights = np.linspace(0.0, 2.0, case.images)
    one_hot = np.eye(case.outputs, dtype=dtype)[labels]
    loss, slope = eq.network.LOSSES[kind]
    size = max(1.0, float(np.max(np.abs(y))))
    close = (case.outputs + 8) * float(np.finfo(dtype).eps) * size
    for given, wanted, counted in itertools.product(
        (targets, labels, labels.astype(np.uint8)), (None, one_hot), (None, weights)
    ):
        want = exact(targets if given is targets else one_hot)
        if wanted is not None and given is targets:
            continue
        counts = np.ones(case.images) if counted is None else counted
        shares = counts / counts.sum() if reduction == "mean" else counts
        right = float((shares * loss(exact(y), want)).sum())
        delta = shares[:, np.newaxis] * slope(exact(y), want)
        got = ops.loss.forward(y, given, kind, counted, reduction)
        back = ops.loss.input_delta(y, given, kind, counted, reduction)
        assert isinstance(got, float)
        assert abs(got - right) <= close * max(abs(right), shares.sum())
        assert back.dtype == dtype
        assert np.max(np.abs(back - delta)) <= close * shares.max()


# Dropout


@both_dtypes
def test_dropout_masks_and_scales(dtype: cases.Dtype):
    o = np.random.default_rng(0).standard_normal((33, 3, 5, 7)).astype(dtype)
    delta = np.ones_like(o)
    for rate in (0.0, 0.25, 0.5, 0.9):
        x = ops.dropout.forward(o, rate, seed=7, step=3, layer=2)
        mask = ops.dropout.input_delta(delta, rate, seed=7, step=3, layer=2) != 0
        scale = dtype(1 / (1 - rate))
        assert np.allclose(x, o * mask * scale, rtol=4 * np.finfo(dtype).eps, atol=0)
        spread = np.sqrt(rate * (1 - rate) / o.size)
        assert abs(mask.mean() - (1 - rate)) <= 5 * spread


def test_dropout_keys():
    o = np.ones((17, 40))
    first = ops.dropout.forward(o, 0.5, seed=1)
    assert np.array_equal(first, ops.dropout.forward(o, 0.5, seed=1, step=1, layer=0))
    for other in ({"seed": 2}, {"seed": 1, "step": 2}, {"seed": 1, "layer": 1}):
        assert not np.array_equal(first, ops.dropout.forward(o, 0.5, **other))
    assert np.array_equal(ops.dropout.forward(o[:5], 0.5, seed=1), first[:5])


@both_dtypes
def test_stochastic_depth_drops_whole_images(dtype: cases.Dtype):
    o = 1 + np.random.default_rng(0).random((4000, 2, 3), dtype)
    for rate in (0.0, 0.25, 0.5, 0.9):
        x = ops.stochastic_depth.forward(o, rate, seed=7, step=3, layer=2)
        kept = x[:, 0, 0] != 0
        assert np.array_equal(x, o * np.where(kept, dtype(1 / (1 - rate)), 0)[:, None, None])
        assert np.array_equal(ops.stochastic_depth.input_delta(o, rate, seed=7, step=3, layer=2), x)
        spread = np.sqrt(rate * (1 - rate) / len(o))
        assert abs(kept.mean() - (1 - rate)) <= 5 * spread


def test_stochastic_depth_keys():
    o = np.ones((70, 2))
    first = ops.stochastic_depth.forward(o, 0.5, seed=1)
    assert np.array_equal(first, ops.stochastic_depth.forward(o, 0.5, seed=1, step=1, layer=0))
    for other in ({"seed": 2}, {"seed": 1, "step": 2}, {"seed": 1, "layer": 1}):
        assert not np.array_equal(first, ops.stochastic_depth.forward(o, 0.5, **other))
    assert np.array_equal(ops.stochastic_depth.forward(o[:5], 0.5, seed=1), first[:5])
    # Its words are not dropout's.
    dropped = ops.dropout.forward(o, 0.5, seed=1)
    assert not np.array_equal(dropped[:, 0], first[:, 0])


# Flatten


@both_dtypes
def test_flatten_is_a_rearrangement_and_its_delta_the_way_back(dtype: cases.Dtype):
    o = np.random.default_rng(0).standard_normal((5, 2, 3, 4)).astype(dtype)
    x = ops.flatten.forward(o)
    assert x.dtype == dtype and np.array_equal(x[1], o[1].ravel())
    assert np.array_equal(ops.flatten.input_delta(x, input_shape=(2, 3, 4)), o)
    x[0, 0] += 1
    assert x[0, 0] != o[0, 0, 0, 0]
