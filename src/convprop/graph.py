"""A network's layers, what each of them reads, their shapes, and the one error of a wrong one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np

from convprop.arguments import checks_names
from convprop.checks import (
    below_one,
    check_at_most,
    check_values,
    is_integer,
    positive_integer,
)
from convprop.errors import InvalidInput, invalid
from convprop.geometry import Window
from convprop.layers import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Join,
    Layer,
    Multiply,
    Parameter,
    ReLU,
    Shape,
    Sigmoid,
    StochasticDepth,
    shape_text,
)
from convprop.layers.layer import checked_name
from convprop.machine.native import description
from convprop.shown import shortened

Statistics = Literal["batch", "running"]
"""What a batch normalisation goes by, where it is not frozen."""

MOST_DEPTH = 100
"""Of branches within branches."""
MOST_OF_TRACE = 4000
"""Characters: some hundred layers."""


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
        By "weight", "bias", "slope".
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
    def trained_weights(self) -> int:
        """How many of them are trained."""
        return sum(math.prod(one.shape) for one in self.parameters.values() if one.trained)

    @property
    def untrained(self) -> dict[str, Any]:
        """What the engine is told of parameters where not all are trained."""
        trained = tuple(parameter.trained for parameter in self.parameters.values())
        return {} if all(trained) else {"trained": tuple(map(int, trained))}

    @property
    def window(self) -> Window | None:
        """What moves over the maps that it reads."""
        return self.layer.window(*self.inputs)

    @property
    def native(self) -> dict[str, Any]:
        """Its resolved settings, as the engine and the equations take them."""
        return self.layer.native(*self.inputs)

    def native_by(self, statistics: Statistics) -> dict[str, Any]:
        """Return the same, where a batch normalisation may be told to take the running ones."""
        found = self.native
        running = statistics == "running" and "statistics" in found
        return found | ({"statistics": "running"} if running else {})


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

    @cached_property
    def outputs(self) -> int:
        """How many values the last node gives for an image."""
        return math.prod(self.nodes[-1].output)

    @cached_property
    def numbers(self) -> int:
        """How many numbers an image has, and all that the nodes make of it."""
        return sum(map(math.prod, self.shapes))

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shapes of all values."""
        return self.input, *(node.output for node in self.nodes)

    def value_name(self, value: int) -> str:
        """Return the name of the node that gives a value, "input" for the image."""
        return self.nodes[value - 1].name if value else "input"

    def read_names(self, node: Node) -> list[str]:
        """Return the names of what a node reads."""
        return list(map(self.value_name, node.reads))

    def reads_text(self, place: int) -> str:
        """Return " of a, b" for a node that reads something else than the one before it."""
        node = self.nodes[place]
        return "" if node.reads == (place,) else f" of {', '.join(self.read_names(node))}"

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

    @property
    def trained(self) -> list[str]:
        """The names of the parameters that an optimizer updates, in their order."""
        return [name for name, parameter in self.parameters.items() if parameter.trained]

    @property
    def is_chain(self) -> bool:
        """Whether each node reads the one before it."""
        return all(node.reads == (place,) for place, node in enumerate(self.nodes))

    def to_nodes(self) -> list[dict[str, Any]] | None:
        """Return each node's name and the names of what it reads, for a file.

        None where the list of the layers says it all: they are in a row, with the names that
        they have there.
        """
        if self.is_chain:
            # Layers that share a name of their own are told apart by their nodes' names alone.
            with suppress(InvalidInput):
                if graph([node.layer for node in self.nodes], self.input) == self:
                    return None
        return [{"name": node.name, "reads": self.read_names(node)} for node in self.nodes]

    def descriptions(self, statistics: Statistics = "batch") -> list[str]:
        """Return the nodes as the engine is told of them."""
        return [
            description(**node.native_by(statistics), reads=node.reads, **node.untrained)
            for node in self.nodes
        ]

    def with_trainable(self, trainable: bool, patterns: Sequence[str]) -> Graph:
        """Return the graph with the layers that patterns name, or all, trained or not."""
        names = [node.name for node in self.nodes if hasattr(node.layer, "trainable")]
        for pattern in patterns:
            if not isinstance(pattern, str) or not any(fnmatchcase(n, pattern) for n in names):
                rule = f"name some with parameters: {', '.join(names)}"
                raise invalid("layers", rule, repr(pattern))

        def changed(node: Node) -> Node:
            named = not patterns or any(fnmatchcase(node.name, pattern) for pattern in patterns)
            if node.name not in names or not named:
                return node
            layer: Any = replace(cast(Any, node.layer), trainable=trainable)
            return replace(node, layer=layer, parameters=layer.parameters(*node.inputs))

        return Graph(self.input, tuple(map(changed, self.nodes)))

    def trace(self) -> str:
        """Return the shapes from layer to layer on one line; of a long one both ends."""
        return _trace(self.input, self.nodes)


@checks_names
@dataclass(frozen=True)
class Residual:
    """What some layers make of a value, added to that value: x + f(x).

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016. It stands for its
    layers in a network's list of them.

    Parameters
    ----------
    *layers : Layer, Residual, Parallel or SqueezeExcite
        f.
    shortcut : list of these, optional
        What x goes through before it is added, such as a Conv of 1 x 1 that changes its shape.
    drop : float
        In training, the probability with which an image's f(x) is left out: a StochasticDepth
        behind f.
    """

    layers: tuple[Any, ...]
    shortcut: tuple[Any, ...]
    drop: float

    def __init__(
        self, *layers: Any, shortcut: Iterable[Any] | None = None, drop: float = 0.0
    ) -> None:
        object.__setattr__(self, "layers", tuple(layers))
        items = () if shortcut is None else _items("shortcut", shortcut)
        object.__setattr__(self, "shortcut", items)
        object.__setattr__(self, "drop", below_one("drop", drop))

    def lay(self, builder: _Builder, value: int) -> int:
        """Add the nodes behind a value; return that of the sum."""
        dropped = (StochasticDepth(self.drop),) if self.drop else ()
        made = builder.row((*self.layers, *dropped), value)
        return builder.node(Add(), (made, builder.row(self.shortcut, value)))

    def __repr__(self) -> str:
        parts = [*map(repr, self.layers)]
        parts += [f"shortcut={list(self.shortcut)!r}"] if self.shortcut else []
        parts += [f"drop={self.drop}"] if self.drop else []
        return f"Residual({', '.join(parts)})"


@checks_names
@dataclass(frozen=True)
class Parallel:
    """Branches that read one value, and the join of what they make of it.

    It stands for its layers in a network's list of them.

    Parameters
    ----------
    *branches : list of Layer, Residual, Parallel or SqueezeExcite
        Two or more; an empty one is the value itself.
    join : Add, Multiply or Concat
    """

    branches: tuple[tuple[Any, ...], ...]
    join: Join

    def __init__(self, *branches: Iterable[Any], join: Join = Concat()) -> None:
        if len(branches) < 2:
            raise invalid("branches", "be two or more", len(branches))
        if not isinstance(join, Join):
            raise invalid("join", "be Add(), Multiply() or Concat()", repr(join))
        object.__setattr__(self, "branches", tuple(_items("branches", one) for one in branches))
        object.__setattr__(self, "join", join)

    def lay(self, builder: _Builder, value: int) -> int:
        """Add the nodes behind a value; return that of the join."""
        reads = tuple(builder.row(branch, value) for branch in self.branches)
        return builder.node(self.join, reads)

    def __repr__(self) -> str:
        branches = ", ".join(repr(list(branch)) for branch in self.branches)
        return f"Parallel({branches}, join={self.join!r})"


@checks_names
@dataclass(frozen=True)
class SqueezeExcite:
    """Maps times a number for each channel, which a small network makes of the maps' means.

    Hu, Shen and Sun, "Squeeze-and-excitation networks", 2018. It stands for its layers in a
    network's list of them: a global average, a Conv of 1 x 1 to fewer channels, an activation, a
    Conv of 1 x 1 back to as many as there were, the gate, and the product.

    Parameters
    ----------
    channels : int
        How many the first Conv squeezes them to, such as a sixteenth.
    activation : Layer
        Behind the first Conv.
    gate : Layer
        Behind the second one.
    """

    channels: int
    activation: Layer
    gate: Layer

    def __init__(self, channels: int, activation: Layer = ReLU(), gate: Layer = Sigmoid()) -> None:
        object.__setattr__(self, "channels", positive_integer("channels", channels))
        for name, value in {"activation": activation, "gate": gate}.items():
            if not isinstance(value, Layer) or value.joins:
                raise invalid(name, "be a layer such as Sigmoid()", f"{value!r:.80}")
            object.__setattr__(self, name, value)

    def lay(self, builder: _Builder, value: int) -> int:
        """Add the nodes behind a value; return that of the product."""
        maps = builder.shape(value)
        made = builder.row((AveragePool("global"), Conv(self.channels, 1), self.activation), value)
        made = builder.row((Conv(maps[0], 1), self.gate), made)
        return builder.node(Multiply(), (value, made))

    def __repr__(self) -> str:
        parts = [f"{self.channels}"]
        parts += [f"activation={self.activation!r}"] if self.activation != ReLU() else []
        parts += [f"gate={self.gate!r}"] if self.gate != Sigmoid() else []
        return f"SqueezeExcite({', '.join(parts)})"


Block = Residual | Parallel | SqueezeExcite
"""What stands for layers in a list of them."""

Layers = Iterable[Layer | Block] | Mapping[str, Sequence[Any]] | Graph
"""Layers in a row; or nodes by name, each a layer and what it reads; or what either has made."""


def graph(layers: Layers, input_shape: Sequence[int]) -> Graph:
    """Return the graph of layers in a row, each of which reads the one before it, or of nodes.

    Parameters
    ----------
    layers : list of Layer, Residual, Parallel and SqueezeExcite, or dict
        A dict has a name for each node, and for each a tuple of its layer and of the names of
        what it reads: ``{"a": (Conv(8, 3), "input"), "b": (ReLU(), "a")}``. Each comes after those
        that it reads.
    input_shape : (C, H, W)

    Raises
    ------
    InvalidInput
        No layers, something that is no layer, a name twice, an input that is not (C, H, W), a node
        that reads what does not come before it or that nobody reads, or a layer that what comes
        before it does not fit; the message then traces the shapes.
    """
    shape = image_shape(input_shape)
    if isinstance(layers, Graph):
        if shape != layers.input:
            raise invalid("input_shape", f"be the graph's {layers.input}", shape)
        return layers
    builder = _Builder(shape)
    if isinstance(layers, Mapping):
        builder.named(layers)
    else:
        builder.row(_items("layers", layers), 0)
    if not builder.nodes:
        raise invalid("layers", "hold at least one layer", "none")
    made = Graph(builder.input, tuple(builder.nodes))
    for value, node in enumerate(made.nodes[:-1], start=1):
        if not made.readers(value):
            raise invalid("layers", "all be read but the last", f"{node.name} that nobody reads")
    if not made.is_chain and any(node.name == "input" for node in made.nodes):
        raise _reserved()
    return made


def _reserved() -> InvalidInput:
    rule = "leave 'input' to the image, where layers are in branches or by name"
    return invalid("layer names", rule, "'input'")


def _items(parameter: str, layers: object) -> tuple[Any, ...]:
    if isinstance(layers, Layer | Block) or not isinstance(layers, Iterable):
        raise invalid(parameter, "be a list of layers", repr(layers))
    return tuple(layers)


class _Builder:
    """Lays nodes one after the other, and names them."""

    def __init__(self, shape: Shape) -> None:
        self.input = shape
        self.nodes: list[Node] = []
        self._seen: Counter[str] = Counter()
        self._names: set[str] = set()
        self._depth = 0

    def row(self, layers: Sequence[Any], value: int) -> int:
        """Add layers in a row behind a value; return that of the last one."""
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise invalid("layers", f"be nested at most {MOST_DEPTH} deep", "deeper ones")
        for position, layer in enumerate(layers, start=1):
            if isinstance(layer, Block):
                value = layer.lay(self, value)
                continue
            _check_layer(layer, str(position))
            if layer.joins:
                raise invalid("layers", "join branches in Residual or Parallel", repr(layer))
            value = self.node(layer, (value,))
        self._depth -= 1
        return value

    def named(self, layers: Mapping[str, Sequence[Any]]) -> None:
        """Add nodes that say what they read."""
        values = {"input": 0}
        for name, entry in layers.items():
            if not isinstance(name, str):
                raise invalid("layer names", "be texts", repr(name))
            checked_name(name)
            if name == "input":
                raise _reserved()
            if not isinstance(entry, tuple | list) or len(entry) < 2:
                rule = "be (layer, names of what it reads) for each name"
                raise invalid("layers", rule, f"{entry!r:.80} for {name!r}")
            layer, *reads = entry
            _check_layer(layer, name)
            for read in reads:
                if not isinstance(read, str) or read not in values:
                    rule = f"read the input or what comes before {name}"
                    hint = " (names follow one by one)" if isinstance(read, list | tuple) else ""
                    raise invalid("layers", rule, f"{read!r:.80}{hint}")
            if layer.joins != (len(reads) > 1):
                rule = f"read {'several values' if layer.joins else 'one value'} in {name}"
                raise invalid("layers", rule, len(reads))
            if name in values:
                raise invalid("layer names", "be different", f"{name!r} 2 times")
            values[name] = self.node(layer, tuple(values[read] for read in reads), name)

    def shape(self, value: int) -> Shape:
        """Return a value's shape."""
        return self.nodes[value - 1].output if value else self.input

    def node(self, layer: Layer, reads: tuple[int, ...], name: str | None = None) -> int:
        """Add a node; return the value that it gives."""
        name = name or self._name(layer)
        inputs = tuple(map(self.shape, reads))
        try:
            output = layer.output_shape(*inputs)
            check_values("output", output)
            parameters = layer.parameters(*inputs)
            for part, parameter in parameters.items():
                check_values(part, parameter.shape)
        except InvalidInput as error:
            trace = f"{_trace(self.input, self.nodes)} -> {name}"
            raise InvalidInput(f"{error}, at {name} = {layer!r}: {trace}") from None
        self.nodes.append(Node(name, layer, reads, inputs, output, parameters))
        return len(self.nodes)

    def _name(self, layer: Layer) -> str:
        self._seen[layer.kind] += 1
        # The first ReLU6 is not the sixty-first ReLU.
        apart = "_" if layer.kind[-1].isdigit() else ""
        name = getattr(layer, "name", None) or f"{layer.kind}{apart}{self._seen[layer.kind]}"
        if name in self._names:
            raise invalid("layer names", "be different", f"{name!r} 2 times")
        self._names.add(name)
        return name


def _check_layer(layer: object, where: str) -> None:
    rule = "hold layers"
    match layer:
        case Layer():
            return
        case type():
            received = f"the class {layer.__name__} at {where}: {layer.__name__}()?"
        case list() | tuple():
            received = f"a list at {where}: its layers one by one?"
        case Residual() | Parallel() | SqueezeExcite():
            rule, received = "hold layers where they have names", f"{layer!r:.80} at {where}"
        case _:
            received = f"{layer!r} at {where}"
    raise invalid("layers", rule, received)


def image_shape(input_shape: Sequence[int]) -> Shape:
    """Return an image's shape as ints; raise InvalidInput unless it is (C, H, W)."""
    if isinstance(input_shape, tuple | list | np.ndarray):
        check_at_most("input_shape", input_shape)
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
    words = [f"input {shape_text(shape)}"]
    for place, node in enumerate(nodes):
        names = [nodes[value - 1].name if value else "input" for value in node.reads]
        read = "" if node.reads == (place,) else f"({', '.join(names)})"
        words.append(f"{node.name}{read} {shape_text(node.output)}")
    whole = " -> ".join(words)
    # A layer that does not fit is at the end.
    return shortened(whole, MOST_OF_TRACE, MOST_OF_TRACE * 3 // 4)
