"""The rows of tests/cases.py that are timed, and the activations, which have no shapes there."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

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


class ActivationArrays(NamedTuple):
    """x and delta, both (N, C, H, W)."""

    x: np.ndarray
    delta: np.ndarray


@dataclass(frozen=True)
class ActivationCase:
    """An activation of maps as large as those of the pooling cases."""

    kind: str
    channels: int = 32
    input_size: tuple[int, int] = (32, 32)
    images: int = 64

    @property
    def name(self) -> str:
        return f"{self.kind}-benchmark"

    def arrays(self, dtype: type[np.float32]) -> ActivationArrays:
        """Return the case's arrays, normally distributed."""
        random = np.random.default_rng(0)
        shape = (self.images, self.channels, *self.input_size)
        return ActivationArrays(*(random.standard_normal(shape).astype(dtype) for _ in range(2)))


Case = ConvCase | PoolCase | DenseCase | ActivationCase
CASES: dict[str, ConvCase | PoolCase | DenseCase] = {
    case.name: case for case in (*CONV_BENCHMARKS, *POOL_BENCHMARKS, *DENSE_BENCHMARKS)
}
ACTIVATIONS = tuple(ActivationCase(kind) for kind in ("relu", "sigmoid", "tanh", "softplus"))
OPERATIONS: dict[str, Case] = {**CASES, **{case.name: case for case in ACTIVATIONS}}


def passes(case: Case) -> tuple[str, ...]:
    """Return the computations that the case's operation has."""
    if isinstance(case, PoolCase | ActivationCase):
        return ("forward", "input_delta")
    return ("forward", "weight_gradient", "input_delta")
