"""The engine's operations against the equations, in float64 and in float32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convprop import equations as eq
from convprop import ops
from convprop.check.layer import DOUBLE_BOUND, FUNCTION_TERMS, UNIT, ComputedLayer, check_layer
from convprop.check.rows import Array, Row, difference, draw, ratio, worst
from convprop.machine.native import engine

Dtype = type[np.float32] | type[np.float64]

_CONV: dict[str, Any] = {
    "kind": "conv",
    "stride": (1, 1),
    "padding": (0, 0, 0, 0),
    "padding_value": 0.0,
    "dilation": (1, 1),
    "groups": 1,
    "flip_kernel": False,
}
# (images, channels, rows, columns), (kernels, k1, k2), options
_CONVOLUTIONS: tuple[tuple[tuple[int, ...], tuple[int, int, int], dict[str, Any]], ...] = (
    ((1, 1, 6, 6), (1, 3, 3), {}),
    ((17, 1, 14, 14), (6, 5, 5), {"padding": (2, 2, 2, 2)}),
    ((16, 6, 14, 14), (16, 5, 5), {}),
    ((5, 3, 9, 8), (4, 2, 3), {"stride": (2, 3), "padding": (0, 2, 3, 1)}),
    ((3, 8, 7, 7), (8, 3, 3), {"groups": 8, "padding": (1, 1, 1, 1)}),
    (
        (18, 4, 11, 12),
        (6, 3, 2),
        {
            "stride": (2, 1),
            "padding": (1, 0, 2, 1),
            "padding_value": -0.5,
            "dilation": (2, 3),
            "groups": 2,
            "flip_kernel": True,
        },
    ),
)
_POOLINGS: tuple[dict[str, Any], ...] = (
    {"size": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "count_padding": True},
    {"size": (3, 2), "stride": (2, 1), "padding": (1, 0, 1, 1), "count_padding": True},
    {"size": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1), "count_padding": False},
    {"size": (9, 8), "stride": (9, 8), "padding": (0, 0, 0, 0), "count_padding": True},
    {
        "size": (3, 2),
        "stride": (2, 3),
        "padding": (1, 0, 0, 1),
        "count_padding": True,
        "dilation": (2, 1),
        "overhang": (1, 0),
    },
)
# (images, features, units)
_DENSES = ((1, 7, 3), (17, 400, 120), (33, 30, 10))
# (kind, shapes of what is joined)
# Images, channels, rows and columns, and groups of channels.
_IMAGE_NORMS: tuple[tuple[tuple[int, ...], int | None], ...] = (
    ((17, 6, 5, 7), 2),
    ((5, 3, 9, 4), 3),
    ((18, 4, 3, 3), 1),
    ((17, 6, 5, 7), None),
    ((33, 30), None),
)
# Sizes, alpha, beta and k.
_RESPONSES = ((5, 1e-4, 0.75, 1.0), (3, 0.5, 1.25, 2.0))
_JOINS: tuple[tuple[ops.join.Kind, tuple[tuple[int, ...], ...]], ...] = (
    ("add", ((17, 3, 5, 4), (17, 3, 5, 4), (17, 3, 5, 4))),
    ("multiply", ((17, 3, 5, 4), (17, 3, 5, 4))),
    ("multiply", ((17, 3, 5, 4), (17, 3, 1, 1))),
    ("concat", ((17, 3, 5, 4), (17, 1, 5, 4), (17, 4, 5, 4))),
)

# (images, channels, rows, columns), and whether a PReLU has a slope for each channel
_MAPS = (((17, 3, 5, 4), True), ((33, 4, 3, 7), False))


def check_engine() -> list[Row]:
    """Return the rows of both dtypes, each the worst of several shapes."""
    rows: list[Row] = []
    for dtype in (np.float64, np.float32):
        group = f"engine and equations, {np.dtype(dtype).name}"
        rows += worst(_rows(group, dtype))
    return rows


def _rows(group: str, dtype: Dtype) -> Iterator[Row]:
    for shape, kernels, options in _CONVOLUTIONS:
        yield from check_layer(group, _convolution(shape, kernels, options, dtype), "conv")
    for pool in engine.poolings:
        for options in _POOLINGS:
            yield from check_layer(group, _pooling(pool, options, dtype), f"{pool} pool")
    for images, features, units in _DENSES:
        yield from check_layer(group, _dense(images, features, units, dtype), "dense")
    for join, shapes in _JOINS:
        yield from check_layer(group, _join(join, shapes, dtype), join)
    for shape, groups in _IMAGE_NORMS:
        name = "layer norm" if groups is None else "group norm"
        yield from check_layer(group, _image_norm(shape, groups, dtype), name)
    for settings in _RESPONSES:
        yield from check_layer(group, _response(settings, dtype), "local response norm")
    for activation in engine.activations:
        yield from check_layer(group, _activation(activation, dtype), activation)
    for shape, by_channel in _MAPS:
        yield from check_layer(group, _prelu(shape, by_channel, dtype), "prelu")
        yield from check_layer(group, _softmax(shape, dtype), "softmax over channels")
    for loss in ops.loss.KINDS:
        yield from _loss(group, loss, dtype)
    yield from _loss(group, "softmax_cross_entropy", dtype, label_smoothing=0.1)


def _convolution(
    shape: tuple[int, ...], kernels: tuple[int, int, int], options: dict[str, Any], dtype: Dtype
) -> ComputedLayer:
    layer = _CONV | options | {"kernels": kernels[0], "kernel_size": kernels[1:]}
    o = draw(20, *shape).astype(dtype)
    w = draw(21, kernels[0], shape[1] // layer["groups"], *kernels[1:]).astype(dtype)
    b = draw(22, kernels[0]).astype(dtype)
    given = {name: layer[name] for name in ("stride", "padding", "dilation", "groups")}
    given["flip_kernel"], value = layer["flip_kernel"], layer["padding_value"]
    x = ops.conv.forward(o, w, b, padding_value=value, **given)
    delta = draw(23, *x.shape).astype(dtype)
    gradient = ops.conv.weight_gradient(
        o, delta, kernel_size=kernels[1:], padding_value=value, **given
    )
    back = ops.conv.input_delta(delta, w, input_size=(shape[2], shape[3]), **given)
    gradients = {"weight": gradient, "bias": ops.conv.bias_gradient(delta)}
    return ComputedLayer(layer, [o], x, delta, [back], {"weight": w, "bias": b}, gradients)


def _pooling(kind: str, options: dict[str, Any], dtype: Dtype) -> ComputedLayer:
    o = draw(24, 17, 2, 9, 8).astype(dtype)
    layer = {"kind": "pool", "pool": kind, **options}
    x, _ = ops.pool.forward(o, kind, **ops.pool.options_of(layer))
    delta = draw(25, *x.shape).astype(dtype)
    back = ops.pool.input_delta(delta, o, kind, **ops.pool.options_of(layer))
    return ComputedLayer(layer, [o], x, delta, [back])


def _dense(images: int, features: int, units: int, dtype: Dtype) -> ComputedLayer:
    o, w = draw(26, images, features).astype(dtype), draw(27, units, features).astype(dtype)
    b, delta = draw(28, units).astype(dtype), draw(29, images, units).astype(dtype)
    return ComputedLayer(
        {"kind": "dense", "units": units},
        [o],
        ops.dense.forward(o, w, b),
        delta,
        [ops.dense.input_delta(delta, w)],
        {"weight": w, "bias": b},
        {"weight": ops.dense.weight_gradient(o, delta), "bias": ops.dense.bias_gradient(delta)},
    )


def _join(kind: ops.join.Kind, shapes: tuple[tuple[int, ...], ...], dtype: Dtype) -> ComputedLayer:
    inputs = [draw(60 + n, *shape).astype(dtype) for n, shape in enumerate(shapes)]
    x = ops.join.forward(inputs, kind)
    delta = draw(70, *x.shape).astype(dtype)
    return ComputedLayer(
        {"kind": kind}, inputs, x, delta, [*ops.join.input_delta(delta, inputs, kind)]
    )


def _image_norm(shape: tuple[int, ...], groups: int | None, dtype: Dtype) -> ComputedLayer:
    options: dict[str, Any] = {"groups": groups, "epsilon": 1e-5}
    o, delta = draw(71, *shape).astype(dtype), draw(72, *shape).astype(dtype)
    weight, bias = draw(73, shape[1]).astype(dtype), draw(74, shape[1]).astype(dtype)
    kind = "layer_norm" if groups is None else "group_norm"
    layer = {"kind": kind, **{name: value for name, value in options.items() if value is not None}}
    return ComputedLayer(
        layer,
        [o],
        ops.image_norm.forward(o, weight, bias, **options),
        delta,
        [ops.image_norm.input_delta(delta, o, weight, **options)],
        {"weight": weight, "bias": bias},
        {
            "weight": ops.image_norm.weight_gradient(o, delta, **options),
            "bias": ops.image_norm.bias_gradient(o, delta, **options),
        },
    )


def _response(settings: tuple[int, float, float, float], dtype: Dtype) -> ComputedLayer:
    o, delta = draw(75, 17, 7, 4, 5).astype(dtype), draw(76, 17, 7, 4, 5).astype(dtype)
    given: dict[str, Any] = dict(zip(("size", "alpha", "beta", "k"), settings, strict=True))
    x = ops.local_response_norm.forward(o, **given)
    back = ops.local_response_norm.input_delta(delta, o, **given)
    return ComputedLayer({"kind": "local_response_norm", **given}, [o], x, delta, [back])


def _activation(kind: str, dtype: Dtype) -> ComputedLayer:
    x, delta = (6 * draw(30, 5, 103)).astype(dtype), draw(31, 5, 103).astype(dtype)
    o = ops.activation.forward(x, kind)
    back = ops.activation.input_delta(delta, o, kind, x=x)
    return ComputedLayer({"kind": "activation", "activation": kind}, [x], o, delta, [back])


def _prelu(shape: tuple[int, ...], by_channel: bool, dtype: Dtype) -> ComputedLayer:
    # Of one sign for the most part: one slope's gradient is a single sum, and none that cancels.
    o, delta = draw(35, *shape).astype(dtype), (0.5 + draw(36, *shape)).astype(dtype)
    a = draw(37, shape[1] if by_channel else 1).astype(dtype)
    return ComputedLayer(
        {"kind": "prelu", "by_channel": by_channel},
        [o],
        ops.prelu.forward(o, a),
        delta,
        [ops.prelu.input_delta(delta, o, a)],
        {"slope": a},
        {"slope": ops.prelu.weight_gradient(o, delta, by_channel=by_channel)},
    )


def _softmax(shape: tuple[int, ...], dtype: Dtype) -> ComputedLayer:
    o, delta = (6 * draw(38, *shape)).astype(dtype), draw(39, *shape).astype(dtype)
    x = ops.softmax.forward(o)
    back = ops.softmax.input_delta(delta, x)
    return ComputedLayer({"kind": "softmax"}, [o], x, delta, [back])


def _loss(
    group: str, kind: ops.loss.Kind, dtype: Dtype, label_smoothing: float = 0.0
) -> Iterator[Row]:
    y = (4 * draw(32, 17, 10)).astype(dtype)
    targets, weights = np.abs(draw(33, 17, 10)).astype(dtype), np.abs(draw(34, 17))
    exact, given = y.astype(np.float64), targets.astype(np.float64)
    wanted = eq.smoothed_targets(given, label_smoothing)
    name = f"{kind}, smoothed" if label_smoothing else kind
    options: dict[str, Any] = {"label_smoothing": label_smoothing}
    shares = weights / weights.sum()
    error, slope = eq.network.LOSSES[kind]
    right = float((shares * error(exact, wanted)).sum())
    delta = slope(exact, wanted) * shares[:, np.newaxis]
    yield Row(
        group,
        f"{name}: loss",
        difference(ops.loss.forward(y, targets, kind, weights, **options), right),
        loss_bound(dtype, exact, wanted, np.abs(right)),
    )
    yield Row(
        group,
        f"{name}: delta",
        difference(ops.loss.input_delta(y, targets, kind, weights, **options), delta),
        loss_bound(dtype, exact, wanted, np.abs(delta).max() / shares.max()),
    )


def loss_bound(dtype: Any, y: Array, targets: Array, size: float) -> float:
    """Return the bound of a loss, or of one delta of it, whose own size is given.

    K terms are added, each a difference of numbers as large as y and t, and each function of
    them costs FUNCTION_TERMS roundings.
    """
    if dtype == np.float64:
        return DOUBLE_BOUND
    largest = max(1.0, float(np.abs(y).max()), float(np.abs(targets).max()))
    terms = y.shape[1] + FUNCTION_TERMS
    return float(terms * UNIT * max(1.0, ratio(largest, size)))
