"""Dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convprop.checks import below_one
from convprop.layers.layer import Layer, Shape


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training, each value 0 with probability ``rate`` and else divided by 1 - rate.

    Parameters
    ----------
    rate : float
        0 <= rate < 1.
    """

    kind = family = "dropout"
    source = "Srivastava et al., Dropout, JMLR 15, 2014"
    positional = ("rate",)

    rate: float = 0.5

    def __post_init__(self) -> None:
        self._set(rate=below_one("rate", self.rate))

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": "dropout", "rate": self.rate}
