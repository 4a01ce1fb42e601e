"""What explains a number: the products it sums, in order, and what happens to the sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convprop.brief import brief
from convprop.checks import is_integer
from convprop.errors import invalid
from convprop.explain import rendering

Array = NDArray[Any]


class Part(NamedTuple):
    """A run of the terms with a sum of its own.

    Attributes
    ----------
    name : str
        "image 3" where each image has its sum, "" for the only one.
    first, last : int
        terms[first:last].
    sums : ndarray
        What has been summed up after each of them.
    """

    name: str
    first: int
    last: int
    sums: Array

    def __repr__(self) -> str:
        return f"Part({self.name!r}, {self.first}, {self.last}, {brief(self.sums)})"


class Step(NamedTuple):
    """What is done after the sums: in words, as LaTeX with % for the sums, and what it gives."""

    words: str
    latex: str
    value: Any


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """A number of a network, taken apart into the products that it sums.

    Attributes
    ----------
    name : str
        Which number: "x[k=2, i=3, j=4] of conv1, image 0".
    source : str
        The equation it follows, or the section.
    symbol, formula : str
        LaTeX of the equation's two sides, in letters.
    terms : structured ndarray
        A product each, in the order in which they are added up: "value" (float64: of a float32
        network the exact product; what a pool passes back is rounded as the engine rounds it),
        its factors in the network's dtype, and its indices.
    factors : tuple of str
        The fields whose product a term is.
    start : (str, floating)
        What the sum starts from: ("b", bias), or ("", 0).
    parts : tuple of Part
        The sums. Every one begins with ``start``.
    steps : tuple of Step
        What then happens to them.
    total : floating
        What all that gives.
    value : floating
        The engine's number.
    remark : str
        What else there is to say.
    brackets : (str, str, str)
        LaTeX before, between and after the terms.
    """

    name: str
    source: str
    symbol: str
    formula: str
    terms: Array
    factors: tuple[str, ...]
    start: tuple[str, Any]
    parts: tuple[Part, ...]
    steps: tuple[Step, ...]
    total: Any
    value: Any
    remark: str = ""
    brackets: tuple[str, str, str] = ("", " + ", "")

    @property
    def exact(self) -> bool:
        """Whether the terms, summed in order, are the engine's number bit for bit.

        All NaNs count as one: which of them a sum gives the processor decides.
        """
        total, value = np.asarray(self.total), np.asarray(self.value)
        return total.tobytes() == value.tobytes() or bool(np.isnan(total) & np.isnan(value))

    @property
    def running(self) -> Array:
        """What has been summed up after each term, (T,)."""
        if not self.parts:
            return np.empty(0, np.asarray(self.value).dtype)
        return np.concatenate([part.sums for part in self.parts])

    def to_text(self, rows: int = 12) -> str:
        """Return heading, table and result as plain text of at most 80 columns.

        Parameters
        ----------
        rows : int
            How many terms to show; the others, in the middle, are counted.
        """
        return rendering.text(self, _count("rows", rows))

    def to_latex(self, terms: int = 4) -> str:
        """Return the equation as LaTeX, first in letters, then with the numbers in place.

        Parameters
        ----------
        terms : int
            How many products to write out; dots stand for the others.
        """
        return rendering.latex(self, _count("terms", terms))

    def to_html(self, rows: int = 12) -> str:
        """Return heading, equation and table as HTML."""
        return rendering.html(self, _count("rows", rows))

    def __repr__(self) -> str:
        value = rendering.exact(self.value)
        return f"Explanation({self.name} = {value}, {len(self.terms):,} terms)"

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()


def _count(name: str, value: object) -> int:
    if not is_integer(value, 1):
        raise invalid(name, "be a positive integer", f"{value!r:.80}")
    return int(value)
