"""The weights of a network's first layer as one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convprop.layers import Shape
from convprop.network import Network
from convprop.report.pictures import Array, picture, pixels, signed_pixels

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_TILES = 64
_GAP = 5
# Columns, and the pixels of a tile's side, where tiles are many and where they are few.
_MANY, _FEW = (8, 40), (4, 80)


@dataclass(frozen=True)
class Kernels:
    """What the picture shows."""

    layer: str
    sheet: Image
    shown: int
    """How many kernels, or units of a dense layer."""
    of: int
    coloured: bool
    """Whether a tile has the colours red, green and blue of the weights of three channels."""
    dense: bool
    largest: float
    """The greatest absolute weight, which has the full colour."""
    size: tuple[int, int]
    """Rows and columns of a tile's weights."""


def first_kernels(network: Network) -> Kernels | None:
    """Return the first layer that has weights, None where none has."""
    image: Shape = network.input_shape
    for node in network.graph.nodes:
        if len(node.inputs[0]) == 3:
            image = node.inputs[0]
        if "weight" in node.parameters:
            weight = network.parameters[f"{node.name}.weight"]
            dense = weight.ndim == 2
            # A dense layer's weights lie in the order of the maps that it flattens.
            kernels = weight.reshape(-1, *image) if dense else weight
            return _kernels(node.name, kernels, dense)
    return None


def _kernels(name: str, weight: Array, dense: bool) -> Kernels:
    count, channels, rows, columns = weight.shape
    coloured = channels == 3
    largest = float(np.abs(weight).max())
    each = 1 if coloured else channels
    shown = max(min(count, MOST_TILES // each), 1)
    in_row, side = _FEW if shown * each <= 16 else _MANY
    # The channels of a kernel side by side, if they fit.
    in_row = each if 1 < each <= 8 else in_row
    tiles = [
        picture(tile, side)
        for kernel in weight[:shown]
        for tile in _tiles(kernel, coloured, largest)[:MOST_TILES]
    ]
    # As many in each row as the rows need, so that the last one is not left nearly empty.
    sheet = _sheet(tiles, math.ceil(len(tiles) / math.ceil(len(tiles) / in_row)))
    return Kernels(name, sheet, shown, count, coloured, dense, largest, (rows, columns))


def _tiles(kernel: Array, coloured: bool, largest: float) -> list[Array]:
    """Return a kernel (C, rows, columns) as one coloured tile or as a tile for each channel."""
    if coloured:
        return [pixels(kernel, -largest, largest)]
    return [signed_pixels(channel, largest) for channel in kernel]


def _sheet(tiles: list[Image], columns: int) -> Image:
    """Put tiles side by side, the room between them transparent."""
    from PIL import Image

    width, height = (max(sizes) + _GAP for sizes in zip(*(t.size for t in tiles), strict=True))
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGBA", (columns * width - _GAP, rows * height - _GAP))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * width, number // columns * height))
    return sheet
