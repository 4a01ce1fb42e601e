"""What holds for every convolution, pooling, join and normalisation: found by hypothesis.

The forward pass of a convolution is linear in the input and in the weights, and the two gradients
are its adjoints: <conv(o), d> = <o, input_delta(d)> = <w, weight_gradient(o, d)>.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cases
from convprop import equations as eq
from convprop import ops
from convprop.machine.native import engine

some = settings(max_examples=60, deadline=None, derandomize=True)

CLOSE = 1e-13


@st.composite
def convolutions(draw: st.DrawFn) -> cases.ConvCase:
    """A convolution of any shape that fits, with any options."""
    groups = draw(st.integers(1, 3))
    case = cases.ConvCase(
        name="any",
        channels=groups * draw(st.integers(1, 3)),
        kernels=groups * draw(st.integers(1, 3)),
        kernel_size=(draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        input_size=(draw(st.integers(1, 9)), draw(st.integers(1, 9))),
        images=draw(st.sampled_from([1, 2, 15, 16, 17, 33])),
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=draw(st.one_of(st.just("same"), st.tuples(*[st.integers(0, 3)] * 4))),
        dilation=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        groups=groups,
        flip_kernel=draw(st.booleans()),
        bias=False,
    )
    at = case.resolved
    outputs = eq.general.places(
        case.input_size, case.kernel_size, at["stride"], at["padding"], at["dilation"]
    )
    assume(min(outputs) > 0)
    return case


def inner(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float((a * b).sum())


def run(case: cases.ConvCase, o: np.ndarray, w: np.ndarray) -> np.ndarray:
    return ops.conv.forward(o, w, **case.options)


@some
@given(convolutions(), st.integers(0, 2**32))
def test_gradients_are_the_adjoints(case: cases.ConvCase, seed: int):
    o, w, _, d = case.arrays(seed=seed)
    x = run(case, o, w)
    back = ops.conv.input_delta(d, w, input_size=case.input_size, **case.input_delta_options)
    gradient = ops.conv.weight_gradient(o, d, kernel_size=case.kernel_size, **case.options)
    scale = float(np.linalg.norm(o) * np.linalg.norm(w) * np.linalg.norm(d))
    assert abs(inner(x, d) - inner(o, back)) <= CLOSE * scale
    assert abs(inner(x, d) - inner(w, gradient)) <= CLOSE * scale


@some
@given(convolutions(), st.integers(0, 2**32))
def test_padding_values_reach_the_weights_alone(case: cases.ConvCase, seed: int):
    """With a value in the padding x is affine in o: its constant part is the padding's."""
    o, w, _, d = case.arrays(seed=seed)
    options = case.options | {"padding_value": 0.75}
    x = ops.conv.forward(o, w, **options)
    constant = ops.conv.forward(np.zeros_like(o), w, **options)
    back = ops.conv.input_delta(d, w, input_size=case.input_size, **case.input_delta_options)
    gradient = ops.conv.weight_gradient(o, d, kernel_size=case.kernel_size, **options)
    border = np.sqrt(o.size + 36 * o.shape[0] * o.shape[1])
    scale = float((np.linalg.norm(o) + border) * np.linalg.norm(w) * np.linalg.norm(d))
    assert abs(inner(x - constant, d) - inner(o, back)) <= CLOSE * scale
    assert abs(inner(x, d) - inner(w, gradient)) <= CLOSE * scale


@some
@given(convolutions(), st.integers(0, 2**32), st.floats(-2, 2), st.floats(-2, 2))
def test_linear_in_input_and_weights(case: cases.ConvCase, seed: int, a: float, b: float):
    o, w, _, _ = case.arrays(seed=seed)
    p, v, _, _ = case.arrays(seed=seed + 1)
    size = float(np.abs(np.concatenate([o.ravel(), p.ravel()])).max())
    scale = 4 * w[0].size * size * float(max(np.abs(w).max(), np.abs(v).max()))
    by_input = a * run(case, o, w) + b * run(case, p, w)
    by_weight = a * run(case, o, w) + b * run(case, o, v)
    assert np.abs(run(case, a * o + b * p, w) - by_input).max() <= CLOSE * scale
    assert np.abs(run(case, o, a * w + b * v) - by_weight).max() <= CLOSE * scale


@some
@given(convolutions(), st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 3))
def test_a_shifted_input_shifts_the_output(case: cases.ConvCase, seed: int, down: int, right: int):
    """Rows and columns of zeros, a stride's worth each, put before the image as padding does."""
    o, w, _, _ = case.arrays(seed=seed)
    at = case.resolved
    rows, columns = down * at["stride"][0], right * at["stride"][1]
    sides = at["padding"]
    options = case.options | {"padding": sides}
    moved = np.pad(o, ((0, 0), (0, 0), (rows, 0), (columns, 0)))
    x, shifted = (ops.conv.forward(image, w, **options) for image in (o, moved))
    assert np.array_equal(shifted[:, :, down:, right:], x)


@some
@given(convolutions(), st.integers(0, 2**32))
def test_flipping_twice_is_not_flipping(case: cases.ConvCase, seed: int):
    """A cross-correlation is the convolution with the rotated kernel, bit for bit."""
    o, w, _, d = case.arrays(seed=seed)
    rotated = np.ascontiguousarray(w[:, :, ::-1, ::-1])
    other: dict[str, Any] = {"flip_kernel": not case.flip_kernel}
    options = case.options | other
    assert np.array_equal(run(case, o, w), ops.conv.forward(o, rotated, **options))
    gradient = ops.conv.weight_gradient(o, d, kernel_size=case.kernel_size, **case.options)
    flipped = ops.conv.weight_gradient(o, d, kernel_size=case.kernel_size, **options)
    assert np.array_equal(gradient, flipped[:, :, ::-1, ::-1])


@some
@given(convolutions(), st.integers(0, 2**32))
def test_images_do_not_touch_one_another(case: cases.ConvCase, seed: int):
    """Any image alone gives the bits it gives among others."""
    o, w, _, d = case.arrays(seed=seed)
    one = seed % case.images
    size = {"input_size": case.input_size} | case.input_delta_options
    assert np.array_equal(run(case, o, w)[one], run(case, o[one : one + 1], w)[0])
    alone = ops.conv.input_delta(d[one : one + 1], w, **size)
    assert np.array_equal(ops.conv.input_delta(d, w, **size)[one], alone[0])


@some
@given(convolutions(), st.integers(0, 2**32))
def test_engine_is_the_equation(case: cases.ConvCase, seed: int):
    o, w, _, d = case.arrays(seed=seed)
    general = eq.general
    scale = w[0].size * float(np.abs(o).max() * np.abs(w).max())
    x = general.forward(o, w, **case.resolved)
    assert np.abs(run(case, o, w) - x).max() <= CLOSE * scale
    back = general.input_delta(d, w, input_size=case.input_size, **case.resolved_input_delta)
    got = ops.conv.input_delta(d, w, input_size=case.input_size, **case.input_delta_options)
    scale = w[:, 0].size * float(np.abs(d).max() * np.abs(w).max())
    assert np.abs(got - back).max() <= CLOSE * scale


@st.composite
def poolings(draw: st.DrawFn) -> cases.PoolCase:
    size = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    case = cases.PoolCase(
        name="any",
        kind=draw(st.sampled_from(engine.poolings)),
        channels=draw(st.integers(1, 3)),
        size=size,
        input_size=(draw(st.integers(1, 9)), draw(st.integers(1, 9))),
        images=draw(st.sampled_from([1, 2, 15, 16, 17, 33])),
        stride=(draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        padding=tuple(draw(st.integers(0, length - 1)) for length in np.repeat(size, 2)),
        count_padding=draw(st.booleans()),
    )
    outputs = eq.general.places(case.input_size, size, case.stride, case.padding)
    assume(min(outputs) > 0)
    return case


@some
@given(poolings(), st.integers(0, 2**32))
def test_pooling_is_homogeneous(case: cases.PoolCase, seed: int):
    """pool(2 o) = 2 pool(o) bit for bit; so <o, input_delta(d)> = <pool(o), d> (Euler)."""
    o, d = case.arrays(seed=seed)
    x, _ = ops.pool.forward(o, case.kind, **case.options)
    doubled, _ = ops.pool.forward(2 * o, case.kind, **case.options)
    assert np.array_equal(doubled, 2 * x)
    back = ops.pool.input_delta(d, o, case.kind, **case.options)
    scale = float(np.linalg.norm(o) * np.linalg.norm(back) + np.linalg.norm(x) * np.linalg.norm(d))
    assert abs(inner(o, back) - inner(x, d)) <= CLOSE * scale


@st.composite
def joins(draw: st.DrawFn) -> cases.JoinCase:
    """A join of any kind and shape; a product of two values, maybe of one number a channel."""
    kind = draw(st.sampled_from(["add", "multiply", "concat"]))
    count = 2 if kind == "multiply" else draw(st.integers(2, 5))
    one = draw(st.integers(1, 4))
    several = st.lists(st.integers(1, 4), min_size=count, max_size=count)
    return cases.JoinCase(
        name="any",
        kind=kind,
        channels=tuple(draw(several)) if kind == "concat" else (one,) * count,
        size=(draw(st.integers(1, 9)), draw(st.integers(1, 9))),
        images=draw(st.sampled_from([1, 2, 15, 16, 17, 33])),
        by_channel=kind == "multiply" and draw(st.booleans()),
    )


@some
@given(joins(), st.integers(0, 2**32))
def test_what_a_join_sends_back_is_its_adjoint(case: cases.JoinCase, seed: int):
    """A product is linear in each of its factors, the others in all values together."""
    inputs, d = case.arrays(seed=seed)
    x = ops.join.forward(inputs, case.kind)
    parts = [
        inner(o, back)
        for o, back in zip(inputs, ops.join.input_delta(d, inputs, case.kind), strict=True)
    ]
    norms = [float(np.linalg.norm(o)) for o in inputs]
    scale = float(np.linalg.norm(d)) * (np.prod(norms) if case.kind == "multiply" else sum(norms))
    for found in parts if case.kind == "multiply" else [sum(parts)]:
        assert abs(found - inner(x, d)) <= CLOSE * scale


@some
@given(joins(), st.integers(0, 2**32))
def test_images_of_a_join_do_not_touch_one_another(case: cases.JoinCase, seed: int):
    inputs, d = case.arrays(seed=seed)
    one = seed % case.images
    alone = [o[one : one + 1] for o in inputs]
    x = ops.join.forward(inputs, case.kind)
    assert np.array_equal(ops.join.forward(alone, case.kind)[0], x[one])
    back = ops.join.input_delta(d[one : one + 1], alone, case.kind)
    for got, whole in zip(back, ops.join.input_delta(d, inputs, case.kind), strict=True):
        assert np.array_equal(got[0], whole[one])


@st.composite
def norms(draw: st.DrawFn) -> cases.NormCase:
    """A normalisation of any shape with several numbers to be normalised together."""
    groups = draw(st.one_of(st.none(), st.integers(1, 3)))
    each = draw(st.integers(2, 5))
    return cases.NormCase(
        name="any",
        channels=each * (groups or 1),
        size=(draw(st.integers(1, 9)), draw(st.integers(1, 9))),
        groups=groups,
        images=draw(st.sampled_from([1, 2, 15, 16, 17, 33])),
    )


@some
@given(norms(), st.integers(0, 2**32))
def test_what_a_normalisation_cannot_see_gets_no_delta(case: cases.NormCase, seed: int):
    """That is what is added to all that is normalised together, and, but for epsilon, its scale."""
    o, weight, bias, d = case.arrays(seed=seed)
    back = ops.image_norm.input_delta(d, o, weight, groups=case.groups, epsilon=1e-30)
    scales = ops.image_norm.scales(o, groups=case.groups, epsilon=1e-30)
    # What is normalised together lies along the second axis.
    apart = (case.images, case.groups or 1, case.channels // (case.groups or 1), *case.size)
    axes = 2 if case.groups is None else (2, 3, 4)
    at_most = CLOSE * np.abs(weight).max() * np.abs(d).max() * scales.max() * back[0].size
    assert np.abs(back.reshape(apart).sum(axis=axes)).max() <= at_most
    along = (back * (o - o.mean())).reshape(apart).sum(axis=axes)
    assert np.abs(along).max() <= at_most * np.abs(o).max()
    x = ops.image_norm.forward(o, weight, bias, groups=case.groups, epsilon=1e-30)
    moved = ops.image_norm.forward(4 * o + 1, weight, bias, groups=case.groups, epsilon=1e-30)
    assert np.abs(moved - x).max() <= 100 * CLOSE * scales.max() * np.abs(weight).max()


@some
@given(norms(), st.integers(0, 2**32))
def test_gradients_of_a_normalisation_are_the_adjoints(case: cases.NormCase, seed: int):
    """x is linear in the weights, and in the biases."""
    o, weight, bias, d = case.arrays(seed=seed)
    x = ops.image_norm.forward(o, weight, bias, **case.options)
    gradient = ops.image_norm.weight_gradient(o, d, **case.options)
    biases = ops.image_norm.bias_gradient(o, d, **case.options)
    scale = float(np.linalg.norm(x) * np.linalg.norm(d))
    assert abs(inner(x, d) - inner(weight, gradient) - inner(bias, biases)) <= CLOSE * scale
