"""A whole network from the equations: layer after layer forward, and back again.

Layers are dicts in the form that the engine takes ("kind": "conv", "pool", "dense", "activation",
"flatten", "dropout", ..., and the properties of each) and "reads", the values that each reads: 0 is
the images, n + 1 what layer n gives; without it a layer reads the one before it. Parameters are
one dict of arrays for each layer. Nothing here is fast; in float64 it is what the engine is
measured against, and with one parameter stepped into the complex plane the loss carries that
parameter's derivative.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from convprop.equations import (
    activations,
    batch_norm,
    channel_softmax,
    channels,
    general,
    image_norm,
    joins,
    losses,
    pooling,
    prelu,
)
from convprop.equations.arrays import Array

Description = Mapping[str, Any]
Parameters = Mapping[str, Array]

LOSSES = {
    "squared_error": (losses.squared_error, losses.squared_error_delta),
    "softmax_cross_entropy": (losses.softmax_cross_entropy, losses.softmax_cross_entropy_delta),
    "binary_cross_entropy": (losses.binary_cross_entropy, losses.binary_cross_entropy_delta),
}
_CONV_OPTIONS = ("stride", "padding", "dilation", "groups", "flip_kernel")
_POOL_OPTIONS = ("size", "stride", "padding", "count_padding", "dilation", "overhang")


def forward(
    layers: Sequence[Description], parameters: Sequence[Parameters], *known: Array
) -> list[Array]:
    """Return the images and every layer's output, one more array than there are layers.

    Known are the images, and with them as many of the first layers' outputs as there may be.
    """
    outputs = list(known)
    for place in range(len(known) - 1, len(layers)):
        layer = layers[place]
        inputs = [outputs[value] for value in _reads(layer, place)]
        outputs.append(layer_forward(layer, inputs, parameters[place]))
    return outputs


def backward(
    layers: Sequence[Description],
    parameters: Sequence[Parameters],
    outputs: Sequence[Array],
    delta: Array,
) -> tuple[list[Array], list[dict[str, Array]]]:
    """Return dE/d of each of `outputs`, and each layer's gradients by name.

    delta is dE/dy of the last output. What several layers read gets a delta from each of them,
    the last one's first.
    """
    deltas: list[Any] = [0.0] * len(layers) + [delta.reshape(outputs[-1].shape)]
    gradients: list[dict[str, Array]] = []
    for index in range(len(layers) - 1, -1, -1):
        layer, own = layers[index], parameters[index]
        reads = _reads(layer, index)
        inputs = [outputs[value] for value in reads]
        error = deltas[index + 1]
        gradients.insert(0, layer_gradients(layer, inputs, error, own))
        backs = layer_input_deltas(layer, inputs, error, own)
        for value, back in zip(reads, backs, strict=True):
            deltas[value] = deltas[value] + back
    return deltas, gradients


def _reads(layer: Description, place: int) -> Sequence[int]:
    found: Sequence[int] = layer.get("reads", (place,))
    return found


def loss(kind: str, y: Array, targets: Array, reduction: str = "mean") -> Array:
    """Return the mean or sum of the images' losses; y is the last output, targets (N, K)."""
    total: Array = LOSSES[kind][0](y.reshape(targets.shape), targets).sum()
    return total / len(y) if reduction == "mean" else total


def loss_delta(kind: str, y: Array, targets: Array, reduction: str = "mean") -> Array:
    """Return dE/dy of `loss`, (N, K)."""
    delta = LOSSES[kind][1](y.reshape(targets.shape), targets)
    return delta / len(y) if reduction == "mean" else delta


def layer_forward(layer: Description, inputs: Sequence[Array], parameters: Parameters) -> Array:
    """Return a layer's output; what is random is the identity, as it is outside training."""
    if layer["kind"] in joins.FORWARD:
        return joins.FORWARD[layer["kind"]](*inputs)
    (o,) = inputs
    b = parameters.get("bias")
    match layer["kind"]:
        case "conv":
            value = layer["padding_value"]
            options = _conv_options(layer)
            return general.forward(o, parameters["weight"], b, padding_value=value, **options)
        case "dense":
            x = general.forward(_one_pixel(o), _one_pixel(parameters["weight"]), b)
            return x.reshape(x.shape[:2])
        case "pool":
            kind, at = _pooling(layer)
            return kind.forward(o, at)
        case "activation":
            return activations.activation(o, layer["activation"], **_settings(layer))
        case "prelu":
            return prelu.forward(o, parameters["slope"])
        case "softmax":
            return channel_softmax.forward(o)
        case "flatten":
            return o.reshape(len(o), -1)
        case "batch_norm":
            own = parameters["weight"], parameters["bias"]
            parts = [
                batch_norm.batch_norm(part, *own, *statistics, layer["epsilon"])
                for part, statistics in normalised_parts(layer, o, parameters)
            ]
            return np.concatenate(parts)
        case "group_norm" | "layer_norm":
            standard = _standardised(layer, o)
            if b is None:
                return standard
            weight, bias = (image_norm.by_channel(p, o) for p in (parameters["weight"], b))
            moved: Array = weight * standard + bias
            return moved
        case "local_response_norm":
            return image_norm.local_response_norm(o, **_response_options(layer))
        case "channel_shuffle":
            return channels.channel_shuffle(o, layer["groups"])
        # Of any other layer the output is the input.
        case _:
            return o


def layer_gradients(
    layer: Description, inputs: Sequence[Array], delta: Array, parameters: Parameters
) -> dict[str, Array]:
    """Return dE/d of each of a layer's parameters."""
    if not parameters:
        return {}
    (o,) = inputs
    if layer["kind"] == "batch_norm":
        weights, biases = [], []
        for part, statistics in normalised_parts(layer, o, parameters):
            error, delta = delta[: len(part)], delta[len(part) :]
            both = batch_norm.batch_norm_gradients(error, part, *statistics, layer["epsilon"])
            weights.append(both[0])
            biases.append(both[1])
        return {"weight": np.sum(weights, axis=0), "bias": np.sum(biases, axis=0)}
    if layer["kind"] in ("group_norm", "layer_norm"):
        sums = image_norm.channel_sums
        return {"weight": sums(delta * _standardised(layer, o)), "bias": sums(delta)}
    if layer["kind"] == "prelu":
        return {"slope": prelu.weight_gradient(o, delta, by_channel=layer["by_channel"])}
    if layer["kind"] == "dense":
        o, delta = _one_pixel(o), _one_pixel(delta)
        gradient = general.weight_gradient(o, delta, kernel_size=(1, 1))[..., 0, 0]
    else:
        size, value = layer["kernel_size"], layer["padding_value"]
        gradient = general.weight_gradient(
            o, delta, kernel_size=size, padding_value=value, **_conv_options(layer)
        )
    gradients = {"weight": gradient, "bias": general.bias_gradient(delta)}
    return {part: gradients[part] for part in parameters}


def layer_input_deltas(
    layer: Description, inputs: Sequence[Array], delta: Array, parameters: Parameters
) -> list[Array]:
    """Return dE/d of each of a layer's inputs from its output's delta."""
    if layer["kind"] in joins.DELTAS:
        return joins.DELTAS[layer["kind"]](delta, *inputs)
    (o,) = inputs
    match layer["kind"]:
        case "conv":
            size = o.shape[2], o.shape[3]
            options = _conv_options(layer)
            return [general.input_delta(delta, parameters["weight"], input_size=size, **options)]
        case "dense":
            w = _one_pixel(parameters["weight"])
            back = general.input_delta(_one_pixel(delta), w, input_size=(1, 1))
            return [back.reshape(o.shape)]
        case "pool":
            kind, at = _pooling(layer)
            return [kind.input_delta(delta, o, at)]
        case "batch_norm":
            weight, epsilon = parameters["weight"], layer["epsilon"]
            backs: list[Array] = []
            for part, statistics in normalised_parts(layer, o, parameters):
                error, delta = delta[: len(part)], delta[len(part) :]
                if layer["statistics"] == "running":
                    back = batch_norm.batch_norm_delta(error, part, weight, *statistics, epsilon)
                    backs.append(back)
                else:
                    backs.append(batch_norm.batch_norm_batch_delta(error, part, weight, epsilon))
            return [np.concatenate(backs)]
        case "activation":
            slopes = activations.activation_derivative(o, layer["activation"], **_settings(layer))
            return [delta * slopes]
        case "prelu":
            return [prelu.input_delta(delta, o, parameters["slope"])]
        case "softmax":
            return [channel_softmax.input_delta(delta, channel_softmax.forward(o))]
        case "group_norm" | "layer_norm":
            if parameters:
                delta = delta * image_norm.by_channel(parameters["weight"], o)
            if layer["kind"] == "layer_norm":
                return [image_norm.layer_norm_delta(delta, o, layer["epsilon"])]
            return [image_norm.group_norm_delta(delta, o, layer["groups"], layer["epsilon"])]
        case "local_response_norm":
            options = _response_options(layer)
            own, others = image_norm.local_response_norm_deltas(delta, o, **options)
            return [own + others]
        case "channel_shuffle":
            return [channels.channel_shuffle(delta, o.shape[1] // layer["groups"])]
        # Any other layer sends its delta on.
        case _:
            return [delta.reshape(o.shape)]


def _one_pixel(a: Array) -> Array:
    """Return what flattens to (N, F) as F channels of one pixel: a dense layer is 1 x 1."""
    return a.reshape(len(a), -1, 1, 1)


def _settings(layer: Description) -> dict[str, float]:
    """Return an activation's settings, as far as they are given."""
    return {name: layer[name] for name in ("slope", "alpha") if name in layer}


def _standardised(layer: Description, o: Array) -> Array:
    if layer["kind"] == "layer_norm":
        return image_norm.layer_norm(o, layer["epsilon"])
    return image_norm.group_norm(o, layer["groups"], layer["epsilon"])


def _response_options(layer: Description) -> dict[str, Any]:
    return {name: layer[name] for name in ("size", "alpha", "beta", "k")}


def _conv_options(layer: Description) -> dict[str, Any]:
    return {name: layer[name] for name in _CONV_OPTIONS}


def normalised_parts(
    layer: Description, o: Array, parameters: Parameters
) -> Iterator[tuple[Array, tuple[Array, Array]]]:
    """Yield the images that a batch normalisation takes together, and their mean and variance."""
    each = 16 if layer["statistics"] == "block" else len(o)
    for part in (o[n : n + each] for n in range(0, len(o), each)):
        running = layer["statistics"] == "running"
        own = parameters["running_mean"], parameters["running_var"]
        yield part, own if running else batch_norm.batch_statistics(part)


def _pooling(layer: Description) -> tuple[pooling.Pooling, dict[str, Any]]:
    at = {name: layer[name] for name in _POOL_OPTIONS if name in layer}
    return pooling.POOLINGS[layer["pool"]], at
