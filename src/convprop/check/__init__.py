"""The proof that the formulas are right on this machine, as rows of a table.

`check_machine` compares the article's equations with one another, with derivatives by complex
steps, and with the engine's operations in both dtypes; `check_network` does the same for the
layers and weights of one network. Nothing is printed; a row says whether it passed.
"""

from __future__ import annotations

from convprop.check.engine import check_engine
from convprop.check.equations import check_equations
from convprop.check.network import check_network
from convprop.check.rows import Row

__all__ = ["Row", "check_engine", "check_equations", "check_machine", "check_network"]


def check_machine() -> list[Row]:
    """Return the rows of the equations, then those of the engine."""
    return check_equations() + check_engine()
