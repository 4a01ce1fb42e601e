"""Receptive fields: what an output sees of the input, and what an input reaches, layer by layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convprop.arguments import checks_names
from convprop.brief import brief
from convprop.errors import invalid
from convprop.explain.place import check_index, check_network, layer_index
from convprop.geometry import is_integer
from convprop.layers import Conv, Dense, Flatten, Pool, Shape
from convprop.network import Network


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
        raise invalid("of", f"come before {_name(net, last)}", f"{of!r:.80}")
    rows, columns = _start(net.shapes[last], i, j)
    for at in range(last - 1, first - 1, -1):
        if isinstance(net.layers[at], Conv | Pool):
            rows, columns = _back(net, at, 0, rows), _back(net, at, 1, columns)
        elif isinstance(net.layers[at], Dense | Flatten):
            rows, columns = _whole(net.shapes[at])
    return Region(_name(net, first), rows, columns)


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
        raise invalid("on", f"come after {net.names[first - 1]}", f"{on!r:.80}")
    rows, columns = _start(net.shapes[first], i, j)
    for at in range(first, last):
        if isinstance(net.layers[at], Conv | Pool):
            rows, columns = _forth(net, at, 0, rows), _forth(net, at, 1, columns)
        elif isinstance(net.layers[at], Dense | Flatten):
            rows, columns = _whole(net.shapes[at + 1])
    return Region(_name(net, last), rows, columns)


def _position(net: Network, layer: str | int) -> int:
    """Return 0 for "input", and l + 1 for the output of layer l."""
    return 0 if isinstance(layer, str) and layer == "input" else layer_index(net, layer) + 1


def _start(shape: Shape, i: object, j: object) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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


def _whole(shape: Shape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    height, width = shape[1:] if len(shape) == 3 else (1, 1)
    return np.arange(height), np.arange(width)


def _name(net: Network, position: int) -> str:
    return net.names[position - 1] if position else "input"


def _taps(net: Network, at: int, axis: int) -> tuple[int, NDArray[np.int64]]:
    """Return a layer's stride and where its window's rows lie from the output's place."""
    native = net.layers[at].native(net.shapes[at])
    size = native["kernel_size" if "kernel_size" in native else "size"][axis]
    dilation = native.get("dilation", (1, 1))[axis]
    return native["stride"][axis], np.arange(size) * dilation - native["padding"][2 * axis]


def _back(net: Network, at: int, axis: int, outputs: NDArray[np.int64]) -> NDArray[np.int64]:
    stride, taps = _taps(net, at, axis)
    found = np.unique(outputs[:, np.newaxis] * stride + taps)
    return found[(found >= 0) & (found < net.shapes[at][1 + axis])]


def _forth(net: Network, at: int, axis: int, inputs: NDArray[np.int64]) -> NDArray[np.int64]:
    stride, taps = _taps(net, at, axis)
    reached = inputs[:, np.newaxis] - taps
    found = np.unique(reached[reached % stride == 0] // stride)
    return found[(found >= 0) & (found < net.shapes[at + 1][1 + axis])]
