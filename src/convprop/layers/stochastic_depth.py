"""Stochastic depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convprop.checks import below_one
from convprop.layers.layer import Layer, Shape


@dataclass(frozen=True, repr=False)
class StochasticDepth(Layer):
    """In training, each image's values all 0 with probability ``rate``, else divided by 1 - rate.

    At the end of a residual branch it leaves out the branch: ``Residual(..., drop=rate)`` lays it
    there. Elsewhere it is also called DropPath. (The paper multiplies by 1 - rate in predictions
    instead, and drops a branch for a whole batch.)

    Parameters
    ----------
    rate : float
        0 <= rate < 1.
    """

    kind = family = "stochastic_depth"
    source = "Huang et al., Deep networks with stochastic depth, ECCV 2016, Section 3"
    positional = ("rate",)

    rate: float

    def __post_init__(self) -> None:
        self._set(rate=below_one("rate", self.rate))

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": "stochastic_depth", "rate": self.rate}
