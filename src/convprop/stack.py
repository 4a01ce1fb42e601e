"""Layers in order: their names, the shapes between them, and the one error of a wrong stack."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convprop.errors import InvalidInput, invalid
from convprop.geometry import check_size, check_values, is_integer
from convprop.layers import Layer, Shape, shape_text


@dataclass(frozen=True)
class Stack:
    """Layers that fit one another.

    Attributes
    ----------
    layers : tuple of Layer
    names : tuple of str
        A layer's own name, or its kind and its number among the layers of that kind.
    shapes : tuple of shapes
        The input's shape, then every layer's output shape, one longer than ``layers``.
    """

    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]

    @property
    def outputs(self) -> int:
        """How many values the last layer gives for an image."""
        return math.prod(self.shapes[-1])

    def parameter_shapes(self) -> dict[str, Shape]:
        """Return every parameter's shape, by "layer.weight" and "layer.bias", in layer order."""
        return {
            f"{name}.{part}": shape
            for layer, name, input_shape in zip(
                self.layers, self.names, self.shapes[:-1], strict=True
            )
            for part, shape in layer.parameter_shapes(input_shape).items()
        }

    def native(self) -> list[dict[str, Any]]:
        """Return the layers as the engine's Plan takes them."""
        pairs = zip(self.layers, self.shapes[:-1], strict=True)
        return [layer.native(input_shape) for layer, input_shape in pairs]

    def trace(self) -> str:
        """Return the shapes from layer to layer on one line."""
        return _trace(self.names, self.shapes)


def stack(layers: Iterable[Layer], input_shape: Sequence[int]) -> Stack:
    """Name the layers and follow the shapes through them.

    Raises
    ------
    InvalidInput
        No layers, something that is no layer, a name twice, an input that is not (C, H, W), or
        a layer that what comes before it does not fit; the message then traces the shapes.
    """
    checked = _layers(layers)
    names = _names(checked)
    shapes = [image_shape(input_shape)]
    for layer, name in zip(checked, names, strict=True):
        try:
            shape = layer.output_shape(shapes[-1])
            check_values("output", shape)
            for part, size in layer.parameter_shapes(shapes[-1]).items():
                check_values(part, size)
        except InvalidInput as error:
            trace = f"{_trace(names, shapes)} -> {name}"
            raise InvalidInput(f"{error}, at {name} = {layer!r}: {trace}") from None
        shapes.append(shape)
    return Stack(checked, names, tuple(shapes))


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


def _trace(names: Sequence[str], shapes: Sequence[Shape]) -> str:
    return " -> ".join(
        f"{name} {shape_text(shape)}"
        for name, shape in zip(("input", *names), shapes, strict=False)
    )
