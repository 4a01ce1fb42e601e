"""What a network's passes over images leave: measures, and every layer's arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from convprop.brief import Brief

Array = NDArray[Any]


class Evaluation(NamedTuple):
    """What ``Network.evaluate`` measures; accuracy is None for targets that are no labels."""

    loss: float
    accuracy: float | None


@dataclass(frozen=True, repr=False)
class LayerPass(Brief):
    """What went through one layer, forward and back.

    Attributes
    ----------
    name : str
    inputs : tuple of ndarray
        What the layer reads, (N, C, H, W) or (N, F); several of a join.
    output : ndarray
    delta : ndarray
        dE/d(output), the shape of output: the article's delta where the layer is a Conv.
    gradients : dict
        dE/d(parameter), by "weight", "bias" and "slope"; of those that are trained.
    """

    name: str
    inputs: tuple[Array, ...]
    output: Array
    delta: Array
    gradients: dict[str, Array]

    @property
    def input(self) -> Array:
        """The first of the inputs; all but joins have one."""
        return self.inputs[0]


@dataclass(frozen=True, repr=False)
class Backpropagation(Brief):
    """The loss, every layer's pass, dE/d(normalised images), and all gradients by name."""

    loss: float
    layers: tuple[LayerPass, ...]
    input_delta: Array
    gradients: dict[str, Array]
