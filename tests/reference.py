"""A Network's own numbers by convprop.equations, in float64 or complex: the engine has no part."""

from __future__ import annotations

import numpy as np

from convprop import Network
from convprop.equations import network as equations
from convprop.equations import smoothed_targets

Arrays = dict[str, np.ndarray]


def values(network: Network) -> Arrays:
    """Return float64 copies of the parameters."""
    return {name: array.astype(np.float64) for name, array in network.parameters.items()}


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return (N, K) targets."""
    return np.eye(classes)[labels]


def lanes(network: Network, images: np.ndarray) -> np.ndarray:
    """Return the images as the first layer sees them."""
    offset, scale = (part[:, np.newaxis, np.newaxis] for part in network.normalisation)
    return (images - offset) * scale


def forward(network: Network, parameters: Arrays, o: np.ndarray) -> list[np.ndarray]:
    """Return the input and every layer's output."""
    return equations.forward(_layers(network), _own(network, parameters), o)


def loss(network: Network, y: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None):
    """Return the loss of a batch, reduced as the network's loss says."""
    targets = smoothed_targets(targets, network.loss.label_smoothing)
    errors = equations.LOSSES[network.loss.kind][0](y.reshape(targets.shape), targets)
    weights = np.ones(len(y)) if weights is None else weights
    total = (weights * errors).sum()
    return total / weights.sum() if network.loss.reduction == "mean" else total


def backward(
    network: Network,
    parameters: Arrays,
    outputs: list[np.ndarray],
    targets: np.ndarray,
    weights: np.ndarray | None = None,
) -> tuple[list[np.ndarray], Arrays]:
    """Return dE/d of each of ``outputs``, and the gradients by name."""
    weights = np.ones(len(targets)) if weights is None else weights
    targets = smoothed_targets(targets, network.loss.label_smoothing)
    delta = equations.LOSSES[network.loss.kind][1](outputs[-1].reshape(targets.shape), targets)
    delta = delta * weights[:, np.newaxis]
    if network.loss.reduction == "mean":
        delta = delta / weights.sum()
    deltas, found = equations.backward(_layers(network), _own(network, parameters), outputs, delta)
    gradients = {
        f"{node.name}.{part}": gradient
        for node, own in zip(network.graph.nodes, found, strict=True)
        for part, gradient in own.items()
    }
    return deltas, gradients


def _layers(network: Network) -> list[dict]:
    return [node.native | {"reads": node.reads} for node in network.graph.nodes]


def _own(network: Network, parameters: Arrays) -> list[Arrays]:
    return [
        {part: parameters[f"{node.name}.{part}"] for part in node.parameters}
        for node in network.graph.nodes
    ]
