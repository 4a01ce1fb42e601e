"""The ReLU whose slope is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convprop.checks import flag, number
from convprop.initializers import Constant
from convprop.layers.layer import Layer, Parameter, Shape, checked_name


@dataclass(frozen=True, repr=False)
class PReLU(Layer):
    """f(x) = x for x > 0 and a x elsewhere, f'(0) = a, where the slope a is learned.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015; PyTorch's PReLU and its defaults.
    As they say, a decay of weights draws the slopes to 0, that is to a ReLU.

    Parameters
    ----------
    by_channel : bool
        Whether each channel, of a row each value, has a slope of its own; else one is for all.
    initial : float
        The slopes' first value.
    name : str, optional
        In the place of "prelu1", "prelu2", ...
    """

    kind = family = "prelu"
    source = "He, Zhang, Ren and Sun, Delving deep into rectifiers, ICCV 2015, Eq. 1, 8 and 11"
    rectifies = True
    reads_input = True

    by_channel: bool = False
    initial: float = 0.25
    name: str | None = None

    def __post_init__(self) -> None:
        # What float32 has, too.
        rule = "be a number between -1e38 and 1e38"
        self._set(
            by_channel=flag("by_channel", self.by_channel),
            initial=number("initial", self.initial, rule, -1e38, 1e38),
            name=checked_name(self.name),
        )

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return slope (C,), of a row (F,); (1,) where it is one for all."""
        shape = (inputs[0][0] if self.by_channel else 1,)
        return {"slope": Parameter(shape, Constant(self.initial))}

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": "prelu", "by_channel": self.by_channel}
