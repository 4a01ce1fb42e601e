"""Slow weights, which follow the fast ones that an optimizer moves."""

from __future__ import annotations

from dataclasses import dataclass

from convprop.checks import number, positive_integer
from convprop.described import Described


@dataclass(frozen=True, repr=False)
class Lookahead(Described):
    """Every few steps, go a part of the way from where the last such steps began.

    Beside the weights w that the optimizer moves there are slow ones, s: after each ``steps``
    steps s <- s + share (w - s), and w <- s. What the optimizer has gathered stays. The slow
    weights are what is measured after an epoch, and what the network has in the end; `train`'s
    ``average``, where it is given, is of w, and in their place.

    Zhang, Lucas, Hinton and Ba, "Lookahead optimizer: k steps forward, 1 step back", NeurIPS
    2019, Algorithm 1.

    Parameters
    ----------
    steps : int
        The paper's k.
    share : float
        Its alpha, above 0 and at most 1.
    """

    kind = "lookahead"

    steps: int = 5
    share: float = 0.5

    def __post_init__(self) -> None:
        share = 1.0
        if self.share != 1:
            rule = "be a number above 0 and at most 1"
            share = number("share", self.share, rule, 5e-324, 1.0)
        self._set(steps=positive_integer("steps", self.steps), share=share)
