"""Receptive fields: what an output sees of the input, and what an input reaches, layer by layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convprop.arguments import checks_names
from convprop.brief import brief
from convprop.checks import is_integer
from convprop.errors import invalid
from convprop.explain.place import check_index, check_network, layer_index
from convprop.graph import Node
from convprop.layers import Shape
from convprop.network import Network

Crossing = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows and columns."""

_NOTHING: Crossing = np.array([], np.int64), np.array([], np.int64)


class Region(NamedTuple):
    """The rows and the columns of a map: all their crossings, and no other pixel.

    Attributes
    ----------
    layer : str
        Whose output the map is; "input" for the image.
    rows, columns : ndarray
        Ascending; not a range where a dilation or a stride leaves gaps. Padding is left out.
    """

    layer: str
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def __repr__(self) -> str:
        return f"Region({self.layer!r}, {brief(self.rows)}, {brief(self.columns)})"


@checks_names
def receptive_field(
    net: Network,
    layer: str | int,
    i: int | None = None,
    j: int | None = None,
    *,
    of: str | int = "input",
) -> Region:
    """Return what an output pixel depends on.

    Parameters
    ----------
    net : Network
    layer : str or int
        A layer's name, or its place from 0; "input" for a pixel of the image, which depends on
        itself. (A layer that is called "input" is meant by its place.)
    i, j : int
        The pixel of the layer's output; left out where it is a row of values.
    of : str or int
        An earlier layer, of whose output the region is; "input": of the image.
    """
    check_network(net)
    last, first = _position(net, layer), _position(net, of)
    if first > last:
        raise invalid("of", f"come before {net.graph.value_name(last)}", f"{of!r:.80}")
    regions = {last: _start(net.graph.shapes[last], i, j)}
    for value in range(last, first, -1):
        if value in regions:
            node = net.graph.nodes[value - 1]
            for read, shape in zip(node.reads, node.inputs, strict=True):
                _join(regions, read, _back(node, shape, regions[value]))
    return Region(net.graph.value_name(first), *regions.get(first, _NOTHING))


@checks_names
def projective_field(
    net: Network,
    layer: str | int,
    i: int | None = None,
    j: int | None = None,
    *,
    on: str | int,
) -> Region:
    """Return what a pixel reaches: over one convolution, the region Q of Eq. 16.

    Parameters
    ----------
    net : Network
    layer : str or int
        The layer of whose output the pixel is; "input": of the image.
    i, j : int
        The pixel.
    on : str or int
        A later layer, of whose output the region is.
    """
    check_network(net)
    first, last = _position(net, layer), layer_index(net, on) + 1
    if first > last:
        raise invalid("on", f"come after {net.graph.value_name(first)}", f"{on!r:.80}")
    regions = {first: _start(net.graph.shapes[first], i, j)}
    for value in range(first + 1, last + 1):
        node = net.graph.nodes[value - 1]
        for read in node.reads:
            if read in regions:
                _join(regions, value, _forth(node, net.graph.shapes[read], regions[read]))
    return Region(net.graph.value_name(last), *regions.get(last, _NOTHING))


def _position(net: Network, layer: str | int) -> int:
    """Return 0 for "input", and l + 1 for the output of layer l."""
    return 0 if isinstance(layer, str) and layer == "input" else layer_index(net, layer) + 1


def _start(shape: Shape, i: object, j: object) -> Crossing:
    height, width = shape[1:] if len(shape) == 3 else (1, 1)
    if len(shape) == 1 and not all(
        at is None or (is_integer(at, 0) and int(at) == 0) for at in (i, j)
    ):
        raise invalid(
            "i and j", "be left out of a layer without rows and columns", f"{i!r:.40}, {j!r:.40}"
        )
    row = 0 if i is None and len(shape) == 1 else check_index("i", i, height)
    column = 0 if j is None and len(shape) == 1 else check_index("j", j, width)
    return np.array([row]), np.array([column])


def _join(regions: dict[int, Crossing], value: int, other: Crossing) -> None:
    """Add rows and columns to a value's: several ways may lead to it."""
    rows, columns = regions.get(value, _NOTHING)
    regions[value] = np.union1d(rows, other[0]), np.union1d(columns, other[1])


def _whole(shape: Shape) -> Crossing:
    height, width = shape[1:] if len(shape) == 3 else (1, 1)
    return np.arange(height), np.arange(width)


def _same_places(shape: Shape, node: Node) -> bool:
    """Whether a pixel of a value goes into the same one of the output alone.

    Where they are no maps, or the value is one number a channel, all go into all.
    """
    if node.layer.sees_all_pixels:
        return False
    return len(node.output) > 1 and shape[1:] == node.output[1:]


def _back(node: Node, shape: Shape, region: Crossing) -> Crossing:
    """Return what a region of a node's output depends on, of a value of a shape that it reads."""
    window = node.window
    if window is None:
        return region if _same_places(shape, node) else _whole(shape)
    found = []
    for axis, outputs in enumerate(region):
        inputs = np.unique(window.seen(axis, outputs[:, np.newaxis], window.taps(axis)))
        found.append(inputs[(inputs >= 0) & (inputs < shape[1 + axis])])
    return found[0], found[1]


def _forth(node: Node, shape: Shape, region: Crossing) -> Crossing:
    """Return what a region of a value of that shape reaches of the output of a node."""
    window = node.window
    if window is None:
        return region if _same_places(shape, node) else _whole(node.output)
    found = []
    for axis, inputs in enumerate(region):
        size = node.output[1 + axis]
        outputs, there = window.seeing(axis, inputs[:, np.newaxis], window.taps(axis), size)
        found.append(np.unique(outputs[there]))
    return found[0], found[1]
