"""Whole networks computed from convprop.equations alone, in float64 or complex numbers.

Nothing of the engine is used: layers' descriptions in, the article's sums out.
"""

from __future__ import annotations

import numpy as np

from convprop import Network
from convprop.equations import activations, general, losses, pooling

_CONV = ("stride", "padding", "dilation", "groups", "flip_kernel")


def lanes(network: Network, images: np.ndarray) -> np.ndarray:
    """Return the images as the first layer sees them."""
    if network.normalisation is None:
        return images.astype(np.float64)
    offset, scale = (part[:, np.newaxis, np.newaxis] for part in network.normalisation)
    return (images - offset) * scale


def values(network: Network) -> dict[str, np.ndarray]:
    """Return float64 copies of the parameters."""
    return {name: array.astype(np.float64) for name, array in network.parameters.items()}


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return (N, K) targets."""
    return np.eye(classes)[labels]


def forward(network: Network, parameters: dict, o: np.ndarray) -> list[np.ndarray]:
    """Return the network's input and every layer's output; dropout is the identity."""
    outputs = [o]
    for layer, name, shape in zip(network.layers, network.names, network.shapes, strict=False):
        at = layer.native(shape)
        kind = at["kind"]
        if kind == "conv":
            options = {option: at[option] for option in _CONV}
            w, b = parameters[f"{name}.weight"], parameters.get(f"{name}.bias")
            o = general.forward(o, w, b, padding_value=at["padding_value"], **options)
        elif kind == "dense":
            o = o.reshape(len(o), -1) @ parameters[f"{name}.weight"].T
            o = o + parameters.get(f"{name}.bias", 0.0)
        elif kind == "pool":
            o = _pool(o, at)
        elif kind == "activation":
            o = activations.activation(o, at["activation"], at.get("slope", 0.01))
        elif kind == "flatten":
            o = o.reshape(len(o), -1)
        outputs.append(o)
    return outputs


def _pool(o: np.ndarray, at: dict) -> np.ndarray:
    window = (at["size"], at["stride"], at["padding"])
    if at["pool"] == "max":
        return pooling.max_pooling(o, *window)[0]
    if at["pool"] == "average":
        return pooling.average_pooling(o, *window, at["count_padding"])
    return pooling.l2_pooling(o, *window)


def _pool_routing(delta: np.ndarray, o: np.ndarray, at: dict) -> np.ndarray:
    window = (at["size"], at["stride"], at["padding"])
    if at["pool"] == "max":
        winner = pooling.max_pooling(o, *window)[1]
        return pooling.max_routing(delta, winner, o.shape[2:])
    if at["pool"] == "average":
        return pooling.average_routing(delta, o.shape[2:], *window, at["count_padding"])
    return pooling.l2_routing(delta, o, *window)


def loss(network: Network, y: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None):
    """Return the loss of a batch as the network's loss reduces it."""
    errors = getattr(losses, network.loss.kind)(y.reshape(len(y), -1), targets)
    weights = np.ones(len(y)) if weights is None else weights
    total = (weights * errors).sum()
    return total / weights.sum() if network.loss.reduction == "mean" else total


def backward(
    network: Network,
    parameters: dict,
    outputs: list[np.ndarray],
    targets: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Return dE/d(output) of the input and of every layer, and the gradients by name."""
    y = outputs[-1].reshape(len(outputs[-1]), -1)
    weights = np.ones(len(y)) if weights is None else weights
    delta = getattr(losses, network.loss.kind + "_delta")(y, targets) * weights[:, np.newaxis]
    if network.loss.reduction == "mean":
        delta = delta / weights.sum()
    delta = delta.reshape(outputs[-1].shape)
    deltas, gradients = [delta], {}
    for index in reversed(range(len(network.layers))):
        at = network.layers[index].native(network.shapes[index])
        name, o, kind = network.names[index], outputs[index], at["kind"]
        if kind == "conv":
            w = parameters[f"{name}.weight"]
            options = {option: at[option] for option in _CONV}
            gradients[f"{name}.weight"] = general.weight_gradient(
                o,
                delta,
                kernel_size=at["kernel_size"],
                padding_value=at["padding_value"],
                **options,
            )
            gradients[f"{name}.bias"] = general.bias_gradient(delta)
            delta = general.input_delta(delta, w, input_size=o.shape[2:], **options)
        elif kind == "dense":
            gradients[f"{name}.weight"] = delta.T @ o.reshape(len(o), -1)
            gradients[f"{name}.bias"] = delta.sum(axis=0)
            delta = delta @ parameters[f"{name}.weight"]
        elif kind == "pool":
            delta = _pool_routing(delta, o, at)
        elif kind == "activation":
            slope = at.get("slope", 0.01)
            delta = delta * activations.activation_derivative(o, at["activation"], slope)
        delta = delta.reshape(o.shape)
        deltas.append(delta)
    return deltas[::-1], {name: gradients[name] for name in parameters}
