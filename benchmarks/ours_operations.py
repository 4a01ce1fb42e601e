"""convprop's single operations, as convprop.ops gives them."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

import convprop as cp
from convprop import ops
from shapes import OPERATIONS, ActivationCase, Case, ConvCase, PoolCase

Call = Callable[[], np.ndarray | tuple[np.ndarray, np.ndarray]]


class Operation:
    """The computations of one case."""

    most_steps = sys.maxsize

    def __init__(self, threads: int, case: str) -> None:
        cp.set_num_threads(threads)
        self.calls = _calls(OPERATIONS[case])

    def output(self, which: str) -> np.ndarray:
        """Return what the computation gives."""
        found = self.calls[which]()
        # Max pooling gives the places of the winners too.
        return found[0] if isinstance(found, tuple) else found

    def run(self, steps: int, after: Callable[[float], None], which: str) -> None:
        """Compute so many times; there is no loss to tell `after`."""
        call = self.calls[which]
        for _ in range(steps):
            call()
            after(0.0)


def _calls(case: Case) -> dict[str, Call]:
    """Return the case's computations by name."""
    if isinstance(case, ActivationCase):
        x, delta = case.arrays(np.float32)
        o = ops.activation.forward(x, case.kind)
        return {
            "forward": lambda: ops.activation.forward(x, case.kind),
            "input_delta": lambda: ops.activation.input_delta(delta, o, case.kind),
        }
    if isinstance(case, PoolCase):
        o, delta = case.arrays(np.float32)
        return {
            "forward": lambda: ops.pool.forward(o, case.kind, **case.options),
            "input_delta": lambda: ops.pool.input_delta(delta, o, case.kind, **case.options),
        }
    o, w, b, delta = case.arrays(np.float32)
    if isinstance(case, ConvCase):
        at = {"kernel_size": case.kernel_size, **case.options}
        back = {"input_size": case.input_size, **case.input_delta_options}
        return {
            "forward": lambda: ops.conv.forward(o, w, b, **case.options),
            "weight_gradient": lambda: ops.conv.weight_gradient(o, delta, **at),
            "input_delta": lambda: ops.conv.input_delta(delta, w, **back),
        }
    return {
        "forward": lambda: ops.dense.forward(o, w, b),
        "weight_gradient": lambda: ops.dense.weight_gradient(o, delta),
        "input_delta": lambda: ops.dense.input_delta(delta, w),
    }
