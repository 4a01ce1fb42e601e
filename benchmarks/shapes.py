"""The rows of tests/cases.py that are timed."""

from __future__ import annotations

import sys
from pathlib import Path

# tests/ is no package: its table of shapes is shared by being on the path.
sys.path.append(str(Path(__file__).parents[1] / "tests"))
from cases import (
    CONV_BENCHMARKS,
    DENSE_BENCHMARKS,
    POOL_BENCHMARKS,
    ConvCase,
    DenseCase,
    PoolCase,
)

Case = ConvCase | PoolCase | DenseCase
CASES: dict[str, Case] = {
    case.name: case for case in (*CONV_BENCHMARKS, *POOL_BENCHMARKS, *DENSE_BENCHMARKS)
}


def passes(case: Case) -> tuple[str, ...]:
    """Return the computations that the case's operation has."""
    if isinstance(case, PoolCase):
        return ("forward", "input_delta")
    return ("forward", "weight_gradient", "input_delta")
