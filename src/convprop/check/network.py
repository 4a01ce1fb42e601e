"""A whole network of the engine against the equations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convprop import equations as eq
from convprop.check import batch_norm
from convprop.check.equations import STEP
from convprop.check.layer import DOUBLE_BOUND, ComputedLayer, check_layer
from convprop.check.rows import Array, Row, difference, draw, ratio, slack
from convprop.graph import Node
from convprop.losses import SquaredError
from convprop.network import Network
from convprop.passes import Backpropagation

IMAGES = 3

WHOLE = "engine and equations from end to end, float64"
STEPS = "engine and complex steps, float64"
LAYERS = "each layer and its equation, "
PLANS = "the plans for training and prediction"


def check_network(net: Network) -> list[Row]:
    """Return the rows for a network, on images of random numbers and its own weights.

    Four groups: a float64 copy of the network from end to end, the loss, every output, delta
    and gradient; the same gradients against derivatives of the loss by complex steps; of the
    network as it is, every layer against its equation from the engine's own input and delta;
    and the plans that training and prediction run, which fuse layers and reuse memory, against
    all this, bit for bit. The third has float32's rounding layer by layer, where its bound is
    known: from end to end, one rounding can turn a ReLU over. Weights that are all 0, as some
    begin, are random numbers instead: behind them every delta would be 0.
    """
    net = without_zeros(net)
    images, targets = _images(net), _targets(net)
    copy = _double(net)
    run = copy.backpropagate(images, targets)
    exact = _Exact(copy, images, targets)
    rows = list(_end_to_end(run, exact)) + list(_complex_steps(run, exact))
    if net.dtype == np.float32:
        images = images.astype(np.float32)
        run = net.backpropagate(images, targets)
    return [*rows, *_layer_by_layer(net, run), *_plans(net, images, targets, run)]


def _images(net: Network) -> Array:
    """Return float32-exact images that the network's normalisation takes to -1 .. 1."""
    values = draw(40, IMAGES, *net.input_shape)
    if net.normalisation is not None:
        offset, scale = (part[:, np.newaxis, np.newaxis] for part in net.normalisation)
        values = values / np.where(scale == 0, 1, scale) + offset
    return values.astype(np.float32).astype(np.float64)


def _targets(net: Network) -> Array:
    """Return numbers for the squared error, in the network's unit, else labels."""
    if isinstance(net.loss, SquaredError):
        offset, scale = net.target_scaling or (0.0, 1.0)
        return draw(41, IMAGES, net.outputs) * scale + offset
    return np.arange(IMAGES) % max(net.outputs, 2)


def without_zeros(net: Network) -> Network:
    """Return a copy of the network whose weights that are all 0 are small random numbers."""
    copy = _copied(net, net.dtype.name)
    for number, values in enumerate(copy.parameters.values()):
        if values.ndim > 1 and not values.any():
            values[...] = 0.1 * draw(100 + number, *values.shape)
    return copy


def _double(net: Network) -> Network:
    return _copied(net, "float64")


def _copied(net: Network, dtype: str) -> Network:
    copy = Network(net.graph, net.input_shape, net.loss, dtype=dtype)
    copy.normalisation = net.normalisation
    copy.target_scaling = net.target_scaling
    for name, values in net.parameters.items():
        copy.parameters[name] = values
    return copy


class _Exact:
    """The network by the equations, in float64."""

    def __init__(self, net: Network, images: Array, targets: Array) -> None:
        nodes = net.graph.nodes
        self.layers = [node.native | {"reads": node.reads} for node in nodes]
        self.parameters = [_own(net, node) for node in nodes]
        self.kind, self.reduction = net.loss.kind, net.loss.reduction
        offset, scale = (part[:, np.newaxis, np.newaxis] for part in net.lane_normalisation())
        self.outputs = eq.network.forward(self.layers, self.parameters, (images - offset) * scale)
        wanted = net.as_targets(targets, len(images))
        given = wanted if wanted.ndim == 2 else np.eye(net.outputs)[wanted]
        self.targets = eq.smoothed_targets(given, net.loss.label_smoothing)
        y = self.outputs[-1].reshape(self.targets.shape)
        self.loss = eq.network.loss(self.kind, y, self.targets, self.reduction)
        delta = eq.network.loss_delta(self.kind, y, self.targets, self.reduction)
        self.deltas, self.gradients = eq.network.backward(
            self.layers, self.parameters, self.outputs, delta
        )

    def terms(self, layer: int) -> dict[str, Array]:
        """Return the sums of the absolute values of each of a layer's gradients' terms."""
        at, reads, own = self.layers[layer], self.layers[layer]["reads"], self.parameters[layer]
        if at["kind"] == "batch_norm":
            return batch_norm.sizes(at, self.outputs[reads[0]], self.deltas[layer + 1], own)
        sizes = at | {"padding_value": abs(at.get("padding_value", 0.0))}
        inputs = [np.abs(self.outputs[value]) for value in reads]
        return eq.network.layer_gradients(sizes, inputs, np.abs(self.deltas[layer + 1]), own)

    def slope(self, layer: int, part: str, direction: Array) -> float:
        """Return the derivative of the loss as one parameter moves along a direction."""
        moved = {part: self.parameters[layer][part] + 1j * STEP * direction}
        parameters = [*self.parameters]
        parameters[layer] = self.parameters[layer] | moved
        outputs = eq.network.forward(self.layers, parameters, *self.outputs[: layer + 1])
        y = outputs[-1].reshape(self.targets.shape)
        loss = eq.network.loss(self.kind, y, self.targets, self.reduction)
        return float(loss.imag / STEP)


def _own(net: Network, node: Node) -> dict[str, Array]:
    return {part: net.parameters[f"{node.name}.{part}"] for part in node.parameters}


def _sent(node: Node, net: Network, run: Backpropagation) -> list[Array | None]:
    """Return what a node sent to each value that it reads, None where others sent some too."""
    deltas = [run.input_delta, *(layer.delta for layer in run.layers)]
    readers = net.graph.readers
    return [deltas[value] if len(readers(value)) == 1 else None for value in node.reads]


def _end_to_end(run: Backpropagation, exact: _Exact) -> Iterator[Row]:
    def row(name: str, got: Any, right: Any, terms: float = 0.0) -> Row:
        bound = DOUBLE_BOUND * slack(float(np.abs(right).max()), terms)
        return Row(WHOLE, name, difference(got, right), bound)

    yield row("loss", run.loss, exact.loss)
    for index, layer in enumerate(run.layers):
        yield row(f"{layer.name}: output", layer.output, exact.outputs[index + 1])
        yield row(f"{layer.name}: delta", layer.delta, exact.deltas[index + 1])
        for part, gradient in layer.gradients.items():
            right, terms = exact.gradients[index][part], float(exact.terms(index)[part].max())
            yield row(f"{layer.name}: {part} gradient", gradient, right, terms)
    yield row("delta of the images", run.input_delta, exact.deltas[0])


def _complex_steps(run: Backpropagation, exact: _Exact) -> Iterator[Row]:
    """Every parameter moves along a random direction at once: a wrong one shows in the sum."""
    for index, layer in enumerate(run.layers):
        for part, gradient in layer.gradients.items():
            direction = draw(42, *gradient.shape)
            terms = gradient * direction
            off = abs(exact.slope(index, part, direction) - float(terms.sum()))
            size = float(np.abs(terms).sum())
            largest = float((exact.terms(index)[part] * np.abs(direction)).sum())
            bound = DOUBLE_BOUND * slack(size, largest)
            yield Row(STEPS, f"{layer.name}: {part} gradient", ratio(off, size), bound)


def _layer_by_layer(net: Network, run: Backpropagation) -> Iterator[Row]:
    for node, went in zip(net.graph.nodes, run.layers, strict=True):
        arrays = ComputedLayer(
            node.native,
            went.inputs,
            went.output,
            went.delta,
            _sent(node, net, run),
            _own(net, node),
            went.gradients,
        )
        yield from check_layer(LAYERS + net.dtype.name, arrays, node.name)


def _plans(net: Network, images: Array, targets: Array, run: Backpropagation) -> Iterator[Row]:
    """Yield rows whose bound is zero. Step 0 is no training step, so nothing is dropped."""
    gradients = {name: np.empty_like(value) for name, value in run.gradients.items()}
    loss, _ = net.plan("train", IMAGES).gradients(
        images,
        None,
        net.as_targets(targets, IMAGES),
        None,
        *net.lane_normalisation(),
        0,
        0,
        list(gradients.values()),
    )
    yield Row(PLANS, "training: loss", difference(loss, run.loss), 0.0)
    for name, gradient in gradients.items():
        yield Row(PLANS, f"training: {name}", difference(gradient, run.gradients[name]), 0.0)
    if any("statistics" in node.native for node in net.graph.nodes):
        run = net.backpropagate(images, targets, statistics="running")
    outputs = run.layers[-1].output.reshape(IMAGES, net.outputs)
    yield Row(PLANS, "prediction: outputs", difference(net.forward(images), outputs), 0.0)
