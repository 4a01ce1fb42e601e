"""The single operations: ours on NCHW arrays, PyTorch's beside them, and the kernel alone.

Ours are timed as convprop.ops gives them, so bringing the arrays into the lanes and back is
counted; inside a network they stay there from layer to layer, which is what kernels.cc times.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from duel import ANOTHER, OURS, Arena, Entrant
from machine import Limit, build, second_level_bytes
from shapes import OPERATIONS, ActivationCase, Case, ConvCase, PoolCase, passes

# The peers that have single operations, and where those are.
_MODULES = {
    OURS.name: "ours_operations",
    ANOTHER: "ours_operations",
    "pytorch": "peer_pytorch_operations",
    "pytorch-channels-last": "peer_pytorch_operations",
    "pytorch-flush-denormal": "peer_pytorch_operations",
}


def measure(
    arena: Arena, only: list[str], threads: list[int], peers: list[Entrant]
) -> Iterator[dict[str, Any]]:
    """Yield one record per case, pass and number of threads."""
    kernels = Kernels(arena.repeats)
    entrants = [
        replace(entrant, module=_MODULES[entrant.name])
        for entrant in (OURS, *peers)
        if entrant.name in _MODULES
    ]
    for name in only or OPERATIONS:
        case = OPERATIONS[name]
        alone = {count: kernels.measure(case, count) for count in threads}
        for which in passes(case):
            flops = 2.0 * case.multiply_adds if hasattr(case, "multiply_adds") else None
            for count in threads:
                workload = f"{name} {which}"
                setting = {"mode": "operation", "workload": workload}
                setting |= {"batch": case.images, "threads": count}
                arena.progress.heading(setting)
                record = arena.operate(name, which, flops, entrants, count)
                yield setting | record | {"kernel": alone[count].get(which, {})}


class Kernels:
    """The program of kernels.cc: the kernels alone, in their own layout."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats
        self._folder = tempfile.TemporaryDirectory()
        others = ("ops/activation.cc", "ops/tiles.cc")
        self._program = build(Path(self._folder.name), "kernels.cc", *others)

    def measure(self, case: Case, threads: int) -> dict[str, dict[str, Any]]:
        """Return by pass and bound: milliseconds, quartiles, rate, limit and share of a case.

        The bound is "multiply_adds" (GFLOP/s), or "memory", "l2" and "l1" (GB/s); milliseconds are
        those of sixteen images (of fewer channels or rows within caches) in each of the threads.
        """
        arguments = _arguments(case)
        if not arguments:
            return {}
        numbers = (threads, self.repeats, Limit.MEMORY_BYTES, second_level_bytes() // 2)
        command = [str(self._program), *map(str, (*numbers, *arguments))]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found: dict[str, dict[str, Any]] = {}
        for line in text.splitlines():
            which, bound, *rest = line.split()
            ms, low, high, rate, limit = map(float, rest)
            found.setdefault(which, {})[bound] = {
                "block_ms": ms,
                "quartiles": [low, high],
                "rate": rate,
                "limit": limit,
                "share": rate / limit,
            }
        return found


def _arguments(case: Case) -> tuple[Any, ...]:
    """Return the case as kernels.cc takes it; nothing for dense layers, which it does not time."""
    if isinstance(case, ActivationCase):
        return ("activation", case.kind, case.channels, *case.input_size)
    if isinstance(case, PoolCase):
        return ("pool", case.kind, case.channels, *case.input_size)
    if isinstance(case, ConvCase):
        at = (case.stride, case.dilation, case.padding, case.groups, -(-case.images // 16))
        return ("conv", case.channels, case.kernels, *case.kernel_size, *case.input_size, *at)
    return ()
