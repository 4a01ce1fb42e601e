"""A layer with what has gone through it: where the terms of a number are found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.checks import is_integer
from convprop.errors import invalid
from convprop.geometry import Window
from convprop.graph import Node
from convprop.network import Network
from convprop.passes import Backpropagation, LayerPass

Array = NDArray[Any]

NAMES = {1: "f", 3: "cij"}
"""The letters of an index, by the number of its axes."""


@dataclass(frozen=True)
class Place:
    """Node ``index`` of a network, in a pass of some images.

    ``parameters`` are those of the pass. ``o`` is what the node reads, of a join the value
    number ``read``, ``x`` what it gives, ``delta`` dE/dx; ``before`` is the activation that o
    comes from, if it does and its f' is asked for.
    """

    net: Network
    index: int
    done: Backpropagation
    parameters: dict[str, Array]
    read: int = 0
    wants_factor: bool = True

    @property
    def node(self) -> Node:
        """The node."""
        return self.net.graph.nodes[self.index]

    @property
    def name(self) -> str:
        """Its name."""
        return self.node.name

    @property
    def source_name(self) -> str:
        """The name of what o comes from."""
        return self.net.graph.value_name(self.value) if self.value else "the image"

    @property
    def value(self) -> int:
        """The number of o among the network's values."""
        return self.node.reads[self.read]

    @property
    def shared(self) -> bool:
        """Whether others read o, too, and send it a part of its delta."""
        return len(self.net.graph.readers(self.value)) > 1

    @property
    def latex_name(self) -> str:
        """Its name as a superscript's text."""
        return latex_text(self.name)

    @property
    def _went(self) -> LayerPass:
        return self.done.layers[self.index]

    @property
    def o(self) -> Array:
        """What it reads, (N, C, H, W) or (N, F)."""
        return self._went.inputs[self.read]

    @property
    def x(self) -> Array:
        """The output."""
        return self._went.output

    @property
    def delta(self) -> Array:
        """dE/dx."""
        return self._went.delta

    @property
    def delta_in(self) -> Array:
        """dE/do, to which all that read o have sent a part."""
        return self.done.layers[self.value - 1].delta if self.value else self.done.input_delta

    def sent(self, at: tuple[int, ...], total: Any) -> Any:
        """Return the engine's number for what the node sent to o: where others did, its total."""
        return total if self.shared else self.delta_in[at]

    @property
    def before(self) -> Place | None:
        """The activation whose output o is, if nobody else reads that, or what it reads."""
        if not self.value or self.shared or not self.wants_factor:
            return None
        found = replace(self, index=self.value - 1, read=0)
        # The delta of what it reads is that of the activation alone.
        alone = found.node.layer.family == "activation" and not found.shared
        return found if alone else None

    @property
    def window(self) -> Window:
        """What moves over o; of a convolution or a pooling."""
        window = self.node.window
        assert window is not None
        return window

    def parameter(self, part: str) -> Array:
        """Return the layer's "weight" or "bias"."""
        return self.parameters[f"{self.name}.{part}"]

    def has(self, part: str) -> bool:
        """Whether the layer has that parameter."""
        return f"{self.name}.{part}" in self.parameters

    def gradient(self, part: str) -> Array:
        """Return dE/d(parameter)."""
        return self._went.gradients[part]

    def native(self) -> dict[str, Any]:
        """Return the layer's resolved settings."""
        return self.node.native


def check_network(net: object) -> None:
    """Refuse what is no network, such as a preset's name."""
    if not isinstance(net, Network):
        raise invalid("net", "be a Network", f"{net!r:.80}")


def layer_index(net: Network, layer: object) -> int:
    """Return the place of a layer that is given by its name, or by its place."""
    if not isinstance(layer, str):
        return check_index("layer", layer, len(net.names))
    if layer not in net.names:
        raise invalid("layer", f"be one of {', '.join(net.names)}", repr(layer))
    return net.names.index(layer)


def check_index(name: str, value: object, length: int) -> int:
    """Return an index as an int; raise InvalidInput unless it lies in 0 .. length - 1."""
    if is_integer(value, 0) and int(value) < length:
        return int(value)
    raise invalid(name, f"be an integer in 0 .. {length - 1}", f"{value!r:.80}")


def check_indices(
    names: str, values: tuple[object, ...], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the indices of an array of that shape; those beyond its axes must be None."""
    for name, value in zip(names[len(shape) :], values[len(shape) :], strict=True):
        if value is not None:
            raise invalid(name, f"be left out of an array of {len(shape)} axes", repr(value))
    return tuple(
        check_index(name, value, length)
        for name, value, length in zip(names, values, shape, strict=False)
    )


def index_text(names: str, indices: tuple[int, ...]) -> str:
    """Return indices as "k=1, i=2, j=3"."""
    return ", ".join(f"{name}={index}" for name, index in zip(names, indices, strict=False))


def subscript(indices: tuple[int, ...]) -> str:
    """Return indices as LaTeX sets them under a letter."""
    return "{" + ",".join(map(str, indices)) + "}"


def latex_text(words: str) -> str:
    """Return words as LaTeX sets them in a formula."""
    return r"\text{" + words.replace("_", r"\_") + "}"


def zero_like(array: Array) -> Any:
    """Return 0 in the array's dtype."""
    return np.asarray(array).dtype.type(0)
