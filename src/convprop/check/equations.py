"""The article against itself: equations that must agree, and derivatives by complex steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from convprop import equations as eq
from convprop.check.rows import Array, Row, difference, draw, ratio

AGREE = "equations that must agree"
DERIVE = "closed forms and complex steps"

# A rounding is 1e-16 of a value, and these sums have some tens of terms.
BOUND = 1e-14

STEP = 1e-30

_NORMS: dict[str, dict[str, Any]] = {
    "group norm": {"kind": "group_norm", "groups": 2, "epsilon": 0.01},
    "layer norm": {"kind": "layer_norm", "epsilon": 0.01},
    "local response norm": {
        "kind": "local_response_norm",
        "size": 3,
        "alpha": 0.5,
        "beta": 0.75,
        "k": 2.0,
    },
}

_GENERAL: dict[str, Any] = {
    "stride": (2, 1),
    "padding": (1, 0, 2, 1),
    "dilation": (1, 2),
    "groups": 2,
    "flip_kernel": True,
}


def check_equations() -> list[Row]:
    """Return the rows of both groups; needs the engine for its random numbers alone."""
    agree = [Row(AGREE, name, difference(a, b), BOUND) for name, a, b in _pairs()]
    derive = [Row(DERIVE, name, value, BOUND) for name, value in _derivatives()]
    return agree + derive


def _pairs() -> Iterator[tuple[str, Array, Array]]:
    image, bank, biases = draw(1, 9, 8, 3), draw(2, 3, 4, 3, 2), draw(3, 2)
    o, w, b, delta = image[..., 0], bank[..., 0, 0], biases[0], draw(4, 7, 5)
    kernel_size = w.shape[0], w.shape[1]
    f_prime = eq.activation_derivative(o, "tanh")

    yield (
        "Eq. 1 = Eq. 2 of the rotated kernel",
        eq.cross_correlation(o, w),
        eq.convolution(o, eq.rot180(w)),
    )
    for extent in ("valid", "full"):
        flipped = eq.convolution_by_flipped_kernel(o, w, extent)
        yield f"Eq. 2 = Eq. 3, {extent} extent", eq.convolution(o, w, extent), flipped
    by_channel = [
        sum(eq.cross_correlation(image[..., c], bank[..., c, d]) for c in range(3)) + biases[d]
        for d in range(2)
    ]
    whole = eq.convolve_image(image, bank, biases)
    yield "Eq. 4 = Eq. 1 summed over channels", whole, np.stack(by_channel, axis=-1)
    grey = eq.convolve_image(o[..., np.newaxis], bank[:, :, :1, :1], biases[:1])[..., 0]
    x = eq.forward(o, w, b)
    yield "Eq. 4 = Eq. 5 for one channel", grey, eq.convolve_grey_image(o, w, b)
    yield "Eq. 5 = Eq. 7", eq.convolve_grey_image(o, w, b), x
    yield "Eq. 6 = Eq. 7", eq.forward_as_convolution(o, w, b), x

    derivative, gradient = eq.weight_derivative(o, kernel_size), eq.weight_gradient(o, delta)
    chain = eq.weight_gradient_by_chain_rule
    yield "Eq. 10 = Eq. 13", chain(delta, derivative), gradient
    expanded = eq.weight_derivative_expanded(o, kernel_size)
    yield "Eq. 11 = Eq. 12", expanded, derivative
    yield "Eq. 14 = Eq. 13", eq.weight_gradient_as_convolution(o, delta), gradient

    back = eq.input_delta(delta, w, f_prime)
    region = _jacobian(lambda v: eq.forward(eq.activation(v, "tanh"), w, b), o)
    local = eq.input_derivative(w, f_prime)
    yield "Eq. 16 = Eq. 20", eq.input_delta_over_region(delta, region, kernel_size), back
    yield "Eq. 17 = Eq. 20", eq.input_delta_over_offsets(delta, local), back
    yield "Eq. 18 = Eq. 19", eq.input_derivative_expanded(w, f_prime), local
    yield "Eq. 21 = Eq. 20", eq.input_delta_by_rotation(delta, w, f_prime), back
    yield "Eq. 22 = Eq. 20", eq.input_delta_as_convolution(delta, w, f_prime), back

    one, general = (np.newaxis, np.newaxis), eq.general
    yield "the general form = Eq. 7", general.forward(o[one], w[one], biases[:1])[0, 0], x
    gradients = general.weight_gradient(o[one], delta[one], kernel_size=kernel_size)
    yield "the general form = Eq. 13", gradients[0, 0], gradient
    backs = general.input_delta(delta[one], w[one], input_size=(9, 8))
    yield "the general form = Eq. 20", backs[0, 0] * f_prime, back


def _derivatives() -> Iterator[tuple[str, float]]:
    o, w, b, delta = draw(1, 9, 8), draw(2, 3, 4), draw(3, 1)[0], draw(4, 7, 5)
    step = eq.delta_by_definition

    def error(x: Array) -> Array:
        return np.asarray((delta * x).sum())

    by_weight = _jacobian(lambda v: eq.forward(o, v, b), w)
    yield "Eq. 12: dx/dw", difference(eq.weight_derivative(o, (3, 4)), by_weight)
    by_weight = step(lambda v: error(eq.forward(o, v, b)), w)
    yield "Eq. 13: dE/dw", difference(eq.weight_gradient(o, delta), by_weight)
    by_bias = step(lambda v: error(eq.forward(o, w, v)), np.asarray(b))
    yield "bias: dE/db", difference(eq.bias_gradient(delta), by_bias)
    for kind in eq.KINDS:

        def through(v: Array, kind: str = kind) -> Array:
            return error(eq.forward(eq.activation(v, kind), w, b))

        back = eq.input_delta(delta, w, eq.activation_derivative(o, kind))
        yield f"Eq. 20: dE/dx through {kind}", difference(back, step(through, o))
    x, y, targets = 5 * draw(5, 40), 4 * draw(6, 3, 10), np.abs(draw(7, 3, 10))
    for kind in eq.KINDS:

        def total(v: Array, kind: str = kind) -> Array:
            return np.asarray(eq.activation(v, kind).sum())

        yield f"f' of {kind}", difference(eq.activation_derivative(x, kind), step(total, x))
    for kind in eq.network.LOSSES:

        def loss(v: Array, kind: str = kind) -> Array:
            return eq.network.loss(kind, v, targets)

        delta_y = eq.network.loss_delta(kind, y, targets)
        yield f"dE/dy of {kind}", difference(delta_y, step(loss, y))
    for pool in eq.pooling.POOLINGS:
        yield f"routing of {pool} pooling", _pooling(pool)
    for name, layer in _NORMS.items():
        yield from _norm(name, layer)
    yield from _channels()
    yield from _general()


def _pooling(kind: str) -> float:
    """Return the difference for overlapping, padded blocks."""
    window = {"size": (3, 2), "stride": (2, 1), "padding": (1, 0, 1, 1), "count_padding": False}
    layer = {"kind": "pool", "pool": kind, **window}
    o = draw(8, 1, 2, 6, 5)
    x = eq.network.layer_forward(layer, [o], {})
    delta = draw(9, *x.shape)

    def error(v: Array) -> Array:
        return np.asarray((delta * eq.network.layer_forward(layer, [v], {})).sum())

    (routed,) = eq.network.layer_input_deltas(layer, [o], delta, {})
    return difference(routed, eq.delta_by_definition(error, o))


def _norm(name: str, layer: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the differences of a normalisation's delta, and of its gradients if it has any."""
    o, delta = draw(15, 2, 4, 3, 2), draw(16, 2, 4, 3, 2)
    parameters = {"weight": draw(17, 4), "bias": draw(18, 4)} if "epsilon" in layer else {}
    network = eq.network

    def error(v: Array) -> Array:
        return np.asarray((delta * network.layer_forward(layer, [v], parameters)).sum())

    (back,) = network.layer_input_deltas(layer, [o], delta, parameters)
    yield f"dE/do of {name}", difference(back, eq.delta_by_definition(error, o))
    for part, gradient in network.layer_gradients(layer, [o], delta, parameters).items():

        def moved(v: Array, part: str = part) -> Array:
            x = network.layer_forward(layer, [o], parameters | {part: v})
            return np.asarray((delta * x).sum())

        steps = eq.delta_by_definition(moved, parameters[part])
        yield f"dE/d {part} of {name}", difference(gradient, steps)


def _channels() -> Iterator[tuple[str, float]]:
    """Yield the differences of what goes by channels: slopes that are learned, and shares."""
    o, delta, step = 3 * draw(15, 3, 4, 2, 3), draw(16, 3, 4, 2, 3), eq.delta_by_definition
    for words, a in (("", draw(17, 4)), (", one for all", draw(17, 1))):

        def error(v: Array, a: Array = a) -> Array:
            return np.asarray((delta * eq.prelu.forward(v, a)).sum())

        def by_slope(v: Array) -> Array:
            return np.asarray((delta * eq.prelu.forward(o, v)).sum())

        gradient = eq.prelu.weight_gradient(o, delta, by_channel=len(a) > 1)
        yield f"slopes of a PReLU: dE/da{words}", difference(gradient, step(by_slope, a))
        back = eq.prelu.input_delta(delta, o, a)
        yield f"delta through a PReLU{words}", difference(back, step(error, o))

    def shared(v: Array) -> Array:
        return np.asarray((delta * eq.channel_softmax.forward(v)).sum())

    back = eq.channel_softmax.input_delta(delta, eq.channel_softmax.forward(o))
    yield "delta through a softmax over channels", difference(back, step(shared, o))


def _general() -> Iterator[tuple[str, float]]:
    """Yield the differences with every option in use, along one direction of all weights."""
    o, w = draw(10, 3, 4, 9, 8), draw(11, 6, 2, 3, 2)
    forward, options = eq.general.forward, _GENERAL | {"padding_value": 0.5}
    delta = draw(12, *forward(o, w, **options).shape)
    gradient = eq.general.weight_gradient(o, delta, kernel_size=(3, 2), **options)
    back = eq.general.input_delta(delta, w, input_size=(9, 8), **_GENERAL)
    step_w, step_o = draw(13, *w.shape), draw(14, *o.shape)
    for name, x, terms in (
        ("Eq. 13", forward(o, w + 1j * STEP * step_w, **options), gradient * step_w),
        ("Eq. 20", forward(o + 1j * STEP * step_o, w, **options), back * step_o),
    ):
        off = abs((delta * x.imag).sum() / STEP - terms.sum())
        yield f"{name} with all options", ratio(off, np.abs(terms).sum())


def _jacobian(function: Callable[[Array], Array], x: Array) -> Array:
    """Return d function / d x by complex steps, the axes of the function before those of x."""
    columns = []
    for index in np.ndindex(x.shape):
        probe = x.astype(np.complex128)
        probe[index] += 1j * STEP
        columns.append(function(probe).imag / STEP)
    stacked = np.stack(columns, axis=-1)
    return stacked.reshape(*stacked.shape[:-1], *x.shape)
