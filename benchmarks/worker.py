"""One process that computes for one competitor whenever the driver says so.

    python worker.py MODULE THREADS

Each line on standard input is a JSON list, answered by one line of JSON:

    ["build", CLASS, ARGUMENTS]     make MODULE's CLASS with the threads and these arguments
    ["losses", STEPS]               {"losses": ...} of so many steps from the beginning
    ["output", FILE, WHICH...]      write what is computed as an .npy file
    ["time", STEPS, WHICH...]       {"ms": ...}, the milliseconds of a step

A competitor's run(steps, after, *which) begins from the beginning and calls after(loss) when a
step is done; a loss that is not there yet is waited for when it is made a float. Between two
turns it rests in `after`: a turn goes on where the last one ended, and begins again from the
beginning only when the competitor has no more steps.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

Request = list[Any]


class _Interrupted(Exception):
    """A request came that a run's steps do not answer."""

    def __init__(self, request: Request) -> None:
        self.request = request


class Server:
    """Answers requests with the competitor that was built last."""

    def __init__(self, module: str, threads: int, requests: Iterator[Request]) -> None:
        self.module, self.threads, self.requests = module, threads, requests
        self.competitor: Any = None

    def serve(self) -> None:
        """Answer until the requests end."""
        for request in self.requests:
            remaining: Request | None = request
            while remaining is not None:
                remaining = self._answer(remaining)

    def _answer(self, request: Request) -> Request | None:
        """Answer a request; return one that came meanwhile and is not answered yet."""
        match request:
            case ["build", name, arguments]:
                self.competitor = None  # its memory goes before the next one takes some
                module = importlib.import_module(self.module)
                self.competitor = getattr(module, name)(self.threads, **arguments)
                _reply({})
            case ["losses", int(steps)]:
                losses: list[Any] = []
                self.competitor.run(steps, losses.append)
                _reply({"losses": [float(loss) for loss in losses]})
            case ["output", file, *which]:
                np.save(file, self.competitor.output(*which))
                _reply({})
            case ["time", int(steps), *which]:
                try:
                    self._time(steps, which)
                except _Interrupted as interruption:
                    return interruption.request
        return None

    def _time(self, steps: int, which: list[str]) -> None:
        """Answer this request to time and those that follow, within one run if it can be."""
        # A turn's first steps are not timed: others have had the processors' caches meanwhile, and
        # the threads are asleep. (The very first one also allocates and compiles.)
        done, begin, start = 0, _untimed(steps), 0.0

        def after(loss: Any) -> None:
            nonlocal done, begin, steps, start
            done += 1
            if done == begin:
                float(loss)
                start = perf_counter()
            elif done == begin + steps:
                float(loss)
                _reply({"ms": 1e3 * (perf_counter() - start) / steps})
                following = next(self.requests, None)
                if following is None:
                    sys.exit()
                room = self.competitor.most_steps - done
                if following[0] != "time" or following[2:] != which:
                    raise _Interrupted(following)
                steps = following[1]
                if _untimed(steps) + steps > room:
                    raise _Interrupted(following)
                begin = done + _untimed(steps)

        self.competitor.run(self.competitor.most_steps, after, *which)


def _untimed(steps: int) -> int:
    return 1 + steps // 4


def _reply(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Serve until standard input ends."""
    module, threads = sys.argv[1], int(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):
        # Before the libraries start their threads: JAX takes as many as it may use processors.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    Server(module, threads, map(json.loads, sys.stdin)).serve()


if __name__ == "__main__":
    main()
