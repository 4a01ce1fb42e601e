"""Joins: what several branches give becomes one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convprop.layers.layer import Layer, Shape, checked_name
from convprop.ops import join


@dataclass(frozen=True, repr=False)
class Join(Layer):
    """Base of the joins.

    Parameters
    ----------
    name : str, optional
        In the place of "add1", "add2", ...
    """

    joins = True

    name: str | None = None

    def __post_init__(self) -> None:
        self._set(name=checked_name(self.name))

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": self.kind}


class Add(Join):
    """The sum of values of one shape, in the order in which they are read.

    Its delta goes to each of them as it is. Parameters as in Join.
    """

    kind = family = "add"
    source = "He, Zhang, Ren and Sun, Deep residual learning, CVPR 2016, Eq. 1"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the inputs; raise InvalidInput unless all have one."""
        return join.output_shape("add", inputs)


class Multiply(Join):
    """The product of two values of one shape, or of maps and one number a channel (C, 1, 1).

    The delta of each is the product's delta times the other value, summed over the map where it
    is one number. Parameters as in Join.
    """

    kind = family = "multiply"
    source = "Hu, Shen and Sun, Squeeze-and-excitation networks, CVPR 2018, Eq. 4"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the first input; raise InvalidInput unless the second one fits."""
        return join.output_shape("multiply", inputs)


class Concat(Join):
    """The channels of all values, or the values of all rows, in the order in which they are read.

    Each gets its own part of the delta. Parameters as in Join.
    """

    kind = family = "concat"
    source = "Szegedy et al., Going deeper with convolutions, CVPR 2015, Section 4"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (sum of C, H, W); raise InvalidInput unless rows and columns are as many."""
        return join.output_shape("concat", inputs)
