"""The single operations of tests/cases.py: ours on NCHW arrays, and PyTorch's beside them.

Ours are timed as convprop.ops gives them, so bringing the arrays into the lanes and back is
counted; inside a network they stay there from layer to layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from duel import OURS, Entrant, competitors, take_turns
from machine import Limit
from shapes import CASES, passes

MOST_STEPS = 200
# The peers that have single operations, and where those are.
_MODULES = {
    "convprop": "ours_operations",
    "pytorch": "peer_pytorch_operations",
    "pytorch-channels-last": "peer_pytorch_operations",
    "pytorch-flush-denormal": "peer_pytorch_operations",
}


def names() -> list[str]:
    """Return the names that --only takes."""
    return list(CASES)


def measure(
    only: list[str], threads: list[int], peers: list[Entrant], repeats: int
) -> Iterator[dict[str, Any]]:
    """Yield one record per case, pass and number of threads."""
    limit = Limit()
    entrants = [
        replace(entrant, module=_MODULES[entrant.name])
        for entrant in (OURS, *peers)
        if entrant.name in _MODULES
    ]
    for name in only or CASES:
        case = CASES[name]
        for which in passes(case):
            flops = 2.0 * case.multiply_adds if hasattr(case, "multiply_adds") else None
            for count in threads:
                arguments = {"case": name, "which": which}
                with competitors(entrants, count, arguments) as workers:
                    outcome = take_turns(workers, count, repeats, limit, MOST_STEPS)
                setting = {"workload": f"{name} {which}", "batch": case.images, "threads": count}
                yield setting | outcome.record(flops)
