"""A whole network from the equations: layer after layer forward, and back again.

Layers are dicts in the form that the engine's plan takes ("kind": "conv", "pool", "dense",
"activation", "flatten" or "dropout"), parameters one (weight, bias) for each layer, None where
it has none. Nothing here is fast; in float64 it is what the engine is measured against, and with
one parameter stepped into the complex plane the loss carries that parameter's derivative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convprop.equations import activations, general, losses, pooling
from convprop.equations.arrays import Array

Description = Mapping[str, Any]
Parameters = tuple[Array | None, Array | None]

LOSSES = {
    "squared_error": (losses.squared_error, losses.squared_error_delta),
    "softmax_cross_entropy": (losses.softmax_cross_entropy, losses.softmax_cross_entropy_delta),
    "binary_cross_entropy": (losses.binary_cross_entropy, losses.binary_cross_entropy_delta),
}
_CONV_OPTIONS = ("stride", "padding", "dilation", "groups", "flip_kernel")


def forward(
    layers: Sequence[Description], parameters: Sequence[Parameters], images: Array
) -> list[Array]:
    """Return the images and every layer's output, one more array than there are layers."""
    outputs = [images]
    for layer, (w, b) in zip(layers, parameters, strict=True):
        outputs.append(layer_forward(layer, outputs[-1], w, b))
    return outputs


def backward(
    layers: Sequence[Description],
    parameters: Sequence[Parameters],
    outputs: Sequence[Array],
    delta: Array,
) -> tuple[list[Array], list[Parameters]]:
    """Return dE/d of each of `outputs`, and each layer's (weight, bias) gradients.

    delta is dE/dy of the last output.
    """
    deltas = [delta.reshape(outputs[-1].shape)]
    gradients: list[Parameters] = []
    for index in range(len(layers) - 1, -1, -1):
        (w, b), o = parameters[index], outputs[index]
        gradients.insert(0, layer_gradients(layers[index], o, deltas[0], b is not None))
        deltas.insert(0, layer_input_delta(layers[index], o, w, deltas[0]))
    return deltas, gradients


def loss(kind: str, y: Array, targets: Array, reduction: str = "mean") -> Array:
    """Return the mean or sum of the images' losses; y is the last output, targets (N, K)."""
    total: Array = LOSSES[kind][0](y.reshape(targets.shape), targets).sum()
    return total / len(y) if reduction == "mean" else total


def loss_delta(kind: str, y: Array, targets: Array, reduction: str = "mean") -> Array:
    """Return dE/dy of `loss`, (N, K)."""
    delta = LOSSES[kind][1](y.reshape(targets.shape), targets)
    return delta / len(y) if reduction == "mean" else delta


def layer_forward(layer: Description, o: Array, w: Array | None, b: Array | None) -> Array:
    """Return a layer's output; dropout is the identity, as it is outside training."""
    match layer["kind"]:
        case "conv":
            assert w is not None
            value = layer["padding_value"]
            return general.forward(o, w, b, padding_value=value, **_conv_options(layer))
        case "dense":
            assert w is not None
            x = general.forward(_one_pixel(o), _one_pixel(w), b)
            return x.reshape(x.shape[:2])
        case "pool":
            return _pool_forward(layer, o)
        case "activation":
            return activations.activation(o, layer["activation"], layer.get("slope", 0.01))
        case "flatten":
            return o.reshape(len(o), -1)
        case _:
            return o


def layer_gradients(layer: Description, o: Array, delta: Array, bias: bool) -> Parameters:
    """Return a layer's weight and bias gradients, or (None, None)."""
    if layer["kind"] == "dense":
        o, delta = _one_pixel(o), _one_pixel(delta)
        gradient = general.weight_gradient(o, delta, kernel_size=(1, 1))[..., 0, 0]
    elif layer["kind"] == "conv":
        size, value = layer["kernel_size"], layer["padding_value"]
        gradient = general.weight_gradient(
            o, delta, kernel_size=size, padding_value=value, **_conv_options(layer)
        )
    else:
        return None, None
    return gradient, general.bias_gradient(delta) if bias else None


def layer_input_delta(layer: Description, o: Array, w: Array | None, delta: Array) -> Array:
    """Return dE/do of a layer's input o from its output's delta."""
    match layer["kind"]:
        case "conv":
            assert w is not None
            size = o.shape[2], o.shape[3]
            return general.input_delta(delta, w, input_size=size, **_conv_options(layer))
        case "dense":
            assert w is not None
            back = general.input_delta(_one_pixel(delta), _one_pixel(w), input_size=(1, 1))
            return back.reshape(o.shape)
        case "pool":
            return _pool_input_delta(layer, o, delta)
        case "activation":
            slope = layer.get("slope", 0.01)
            f_prime = activations.activation_derivative(o, layer["activation"], slope)
            return delta * f_prime
        case _:
            return delta.reshape(o.shape)


def _one_pixel(a: Array) -> Array:
    """Return what flattens to (N, F) as F channels of one pixel: a dense layer is 1 x 1."""
    return a.reshape(len(a), -1, 1, 1)


def _conv_options(layer: Description) -> dict[str, Any]:
    return {name: layer[name] for name in _CONV_OPTIONS}


def _pool_forward(layer: Description, o: Array) -> Array:
    window = layer["size"], layer["stride"], layer["padding"]
    if layer["pool"] == "max":
        return pooling.max_pooling(o, *window)[0]
    if layer["pool"] == "average":
        return pooling.average_pooling(o, *window, layer["count_padding"])
    return pooling.l2_pooling(o, *window)


def _pool_input_delta(layer: Description, o: Array, delta: Array) -> Array:
    window, size = (layer["size"], layer["stride"], layer["padding"]), (o.shape[2], o.shape[3])
    if layer["pool"] == "max":
        return pooling.max_routing(delta, pooling.max_pooling(o, *window)[1], size)
    if layer["pool"] == "average":
        return pooling.average_routing(delta, size, *window, layer["count_padding"])
    return pooling.l2_routing(delta, o, *window)
