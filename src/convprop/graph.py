"""A network's layers, what each of them reads, their shapes, and the one error of a wrong one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from convprop._native import description
from convprop.errors import InvalidInput, invalid
from convprop.geometry import Window, check_size, check_values, is_integer
from convprop.layers import Layer, Parameter, Shape, shape_text


@dataclass(frozen=True)
class Node:
    """A layer in its place.

    Values are numbered: 0 is the image, n + 1 what node n gives.

    Attributes
    ----------
    name : str
        The layer's own name, or its kind and its number among the layers of that kind.
    layer : Layer
    reads : tuple of int
        Values.
    inputs : tuple of shapes
        Theirs.
    output : shape
    parameters : dict of Parameter
        By "weight", "bias".
    """

    name: str
    layer: Layer
    reads: tuple[int, ...]
    inputs: tuple[Shape, ...]
    output: Shape
    parameters: Mapping[str, Parameter]

    @property
    def multiply_adds(self) -> int:
        """Those of one image's forward pass."""
        return self.layer.multiply_adds(*self.inputs)

    @property
    def weights(self) -> int:
        """How many numbers its parameters have."""
        return sum(math.prod(parameter.shape) for parameter in self.parameters.values())

    @property
    def window(self) -> Window | None:
        """What moves over the maps that it reads."""
        return self.layer.window(*self.inputs)

    @property
    def native(self) -> dict[str, Any]:
        """Its resolved settings, as the engine and the equations take them."""
        return self.layer.native(*self.inputs)


@dataclass(frozen=True)
class Graph:
    """Nodes that fit one another, each after those that it reads.

    Attributes
    ----------
    input : shape
        Of an image.
    nodes : tuple of Node
        The last one's output is the network's.
    """

    input: Shape
    nodes: tuple[Node, ...]

    @property
    def outputs(self) -> int:
        """How many values the last node gives for an image."""
        return math.prod(self.nodes[-1].output)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The shapes of all values."""
        return self.input, *(node.output for node in self.nodes)

    def value_name(self, value: int) -> str:
        """Return the name of the node that gives a value, "input" for the image."""
        return self.nodes[value - 1].name if value else "input"

    def readers(self, value: int) -> tuple[int, ...]:
        """Return the places of the nodes that read a value."""
        return self._readers[value]

    @cached_property
    def _readers(self) -> list[tuple[int, ...]]:
        readers: list[list[int]] = [[] for _ in range(len(self.nodes) + 1)]
        for place, node in enumerate(self.nodes):
            for value in node.reads:
                readers[value].append(place)
        return list(map(tuple, readers))

    @property
    def parameters(self) -> dict[str, Parameter]:
        """All parameters, by "layer.weight" and "layer.bias", in the order of the nodes."""
        return {
            f"{node.name}.{part}": parameter
            for node in self.nodes
            for part, parameter in node.parameters.items()
        }

    def descriptions(self) -> list[str]:
        """Return the nodes as the engine is told of them."""
        return [description(**node.native, reads=node.reads) for node in self.nodes]

    def trace(self) -> str:
        """Return the shapes from layer to layer on one line."""
        return _trace(self.input, self.nodes)


def chain(layers: Iterable[Layer], input_shape: Sequence[int]) -> Graph:
    """Return the graph of layers in a row, each of which reads the one before it.

    Raises
    ------
    InvalidInput
        No layers, something that is no layer, a name twice, an input that is not (C, H, W), or
        a layer that what comes before it does not fit; the message then traces the shapes.
    """
    checked = _layers(layers)
    shape = first = image_shape(input_shape)
    nodes: list[Node] = []
    for layer, name in zip(checked, _names(checked), strict=True):
        try:
            output = layer.output_shape(shape)
            check_values("output", output)
            parameters = layer.parameters(shape)
            for part, parameter in parameters.items():
                check_values(part, parameter.shape)
        except InvalidInput as error:
            trace = f"{_trace(first, nodes)} -> {name}"
            raise InvalidInput(f"{error}, at {name} = {layer!r}: {trace}") from None
        nodes.append(Node(name, layer, (len(nodes),), (shape,), output, parameters))
        shape = output
    return Graph(first, tuple(nodes))


def _layers(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    if isinstance(layers, Layer) or not isinstance(layers, Iterable):
        raise invalid("layers", "be a list of layers", repr(layers))
    checked = tuple(layers)
    if not checked:
        raise invalid("layers", "hold at least one layer", "none")
    for position, layer in enumerate(checked, start=1):
        if isinstance(layer, type):
            name = layer.__name__
            raise invalid("layers", "hold layers", f"the class {name} at {position}: {name}()?")
        if not isinstance(layer, Layer):
            raise invalid("layers", "hold layers", f"{layer!r} at {position}")
    return checked


def _names(layers: tuple[Layer, ...]) -> tuple[str, ...]:
    seen: Counter[str] = Counter()
    names = []
    for layer in layers:
        seen[layer.kind] += 1
        names.append(getattr(layer, "name", None) or f"{layer.kind}{seen[layer.kind]}")
    for name, times in Counter(names).items():
        if times > 1:
            raise invalid("layer names", "be different", f"{name!r} {times} times")
    return tuple(names)


def image_shape(input_shape: Sequence[int]) -> Shape:
    """Return an image's shape as ints; raise InvalidInput unless it is (C, H, W)."""
    if isinstance(input_shape, tuple | list | np.ndarray):
        check_size("input_shape", input_shape)
    if (
        not isinstance(input_shape, tuple | list | np.ndarray)
        or len(input_shape) != 3
        or not all(is_integer(length, 1) for length in input_shape)
    ):
        rule = "be (channels, rows, columns), each a positive integer"
        raise invalid("input_shape", rule, repr(input_shape))
    shape = tuple(int(length) for length in input_shape)
    check_values("input_shape", shape)
    return shape


def _trace(shape: Shape, nodes: Sequence[Node]) -> str:
    pairs = [("input", shape), *((node.name, node.output) for node in nodes)]
    return " -> ".join(f"{name} {shape_text(shape)}" for name, shape in pairs)
