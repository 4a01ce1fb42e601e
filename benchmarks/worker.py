"""One process that runs one competitor whenever the driver says so.

    python worker.py MODULE THREADS ARGUMENTS

MODULE holds a `Competitor`, built with the number of threads and with ARGUMENTS, a JSON object.
Its run(steps, after) begins from the beginning and calls after(loss) when a step is done; a loss
that is not there yet is waited for when it is made a float. Each line on standard input is a
number of steps; the answer is one line of JSON with the losses and the milliseconds of a step.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from time import perf_counter
from typing import Any

# Steps before the clock starts: they allocate, compile and bring the weights into the caches.
WARM_UP = 3


def run(competitor: Any, steps: int) -> dict[str, Any]:
    """Take the warm-up's steps and `steps` more, with all work done when the clock is read."""
    losses: list[Any] = []
    times: list[float] = []

    def after(loss: Any) -> None:
        losses.append(loss)
        if len(losses) in (WARM_UP, WARM_UP + steps):
            float(loss)
            times.append(perf_counter())

    competitor.run(WARM_UP + steps, after)
    return {"losses": [float(loss) for loss in losses], "ms": 1e3 * (times[1] - times[0]) / steps}


def main() -> None:
    """Serve until standard input ends."""
    module, threads, arguments = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        # Before the libraries start their threads: JAX takes as many as it may use processors.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(threads)])
    competitor_class = importlib.import_module(module).Competitor
    competitor = competitor_class(int(threads), **json.loads(arguments))
    for line in sys.stdin:
        print(json.dumps(run(competitor, int(line))), flush=True)


if __name__ == "__main__":
    main()
