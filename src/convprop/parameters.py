"""A network's parameters: their first values, and the live arrays by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convprop.errors import invalid
from convprop.graph import Graph
from convprop.initializers import GlorotUniform, HeUniform, Initializer, LeCunUniform

Array = NDArray[Any]

# Of more a repr tells how many.
MOST_SHOWN = 16


class Parameters(Mapping[str, Array]):
    """The live parameters by name: the arrays that training updates in place.

    ``parameters["conv1.weight"] = values`` copies values into the array, which must have
    its shape.
    """

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays

    def __setstate__(self, state: dict[str, dict[str, Array]]) -> None:
        # joblib maps the arrays of a file that it is asked to, read-only as a rule.
        arrays = state["_arrays"].items()
        self._arrays = {n: a if a.flags.writeable else np.array(a) for n, a in arrays}

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        if name not in self._arrays:
            raise invalid("parameter name", f"be one of {', '.join(self._arrays)}", repr(name))
        array, given = self._arrays[name], np.asarray(values)
        if given.shape != array.shape:
            raise invalid(name, f"have shape {array.shape}", f"shape {given.shape}")
        array[...] = given

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        shapes = [f"{name} {array.shape}" for name, array in self.items()]
        if len(shapes) > MOST_SHOWN:
            shapes[MOST_SHOWN - 1 :] = [f"... {len(shapes) - MOST_SHOWN + 1} more"]
        return f"Parameters({', '.join(shapes)})"


def first_values(graph: Graph, seed: int, dtype: np.dtype[Any]) -> dict[str, Array]:
    """Return every parameter's first values by name."""
    arrays: dict[str, Array] = {}
    for place, node in enumerate(graph.nodes):
        for part, parameter in node.parameters.items():
            initializer = parameter.initializer or _customary(graph, place)
            values = initializer.values(parameter.shape, seed, len(arrays))
            arrays[f"{node.name}.{part}"] = values.astype(dtype)
    return arrays


def _customary(graph: Graph, place: int) -> Initializer:
    """Return He's initialiser where a ReLU comes before the next sum of products, LeCun's where a
    SELU does, else Glorot's.
    """
    waiting, seen = [place], {place}
    while waiting:
        for reader in graph.readers(waiting.pop() + 1):
            node = graph.nodes[reader]
            if node.layer.rectifies:
                return HeUniform()
            if node.layer.keeps_variance:
                return LeCunUniform()
            if node.layer.rectifies is None and not node.multiply_adds and reader not in seen:
                seen.add(reader)
                waiting.append(reader)
    return GlorotUniform()
