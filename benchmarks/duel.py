"""Competitors run in turn, each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from job import Job
from machine import HERE, Limit
from worker import WARM_UP

# The losses of this many steps are compared with ours before a time counts. The first is the same
# function of the same numbers, so nothing but rounding differs. After it, training amplifies what
# rounding does: one ReLU or pool whose inputs tie to the last digit, decided otherwise, changes a
# gradient by about 1e-3 of itself. Any two float32 programs part in this way, PyTorch's default
# and channels_last layouts too; another network, optimizer or batch parts far sooner and further.
COMPARED_STEPS = 50
FIRST_TOLERANCE, EARLY_TOLERANCE, LATE_TOLERANCE = 1e-5, 5e-3, 5e-2
EARLY_STEPS = 10
# A turn lasts about this long; short enough that all competitors see the same machine.
TURN_MS = 150.0


@dataclass(frozen=True)
class Entrant:
    """A name for the results, a module with a `Competitor` in it, and that one's settings."""

    name: str
    module: str
    settings: dict[str, Any] = field(default_factory=dict)


OURS = Entrant("convprop", "ours")
# The first is the peer's default: what a user gets who sets nothing.
PEERS = (
    Entrant("pytorch", "peer_pytorch"),
    Entrant("pytorch-channels-last", "peer_pytorch", {"channels_last": True}),
    Entrant("pytorch-flush-denormal", "peer_pytorch", {"flush_denormal": True}),
    Entrant("pytorch-fused", "peer_pytorch", {"fused": True}),
    Entrant("jax", "peer_jax"),
)


@dataclass(frozen=True)
class Outcome:
    """Milliseconds of a step in each turn, by name, and the limit in GFLOP/s beside them."""

    turns: dict[str, list[float]]
    limits: list[float]

    def record(self, flops: float | None) -> dict[str, Any]:
        """Return the figures of a line of results, for steps of so many operations."""
        medians = {name: statistics.median(turns) for name, turns in self.turns.items()}
        ours = medians.pop(OURS.name)
        limit = statistics.median(self.limits)
        gflops = None if flops is None else flops / ours / 1e6
        default = medians.get(PEERS[0].name)
        return {
            "ours_ms": ours,
            "peers": medians,
            "ratio_default": None if default is None else default / ours,
            "ratio_best": min(medians.values()) / ours if medians else None,
            "fraction_of_peak": None if gflops is None else gflops / limit,
            "ours_quartiles": _quartiles(self.turns[OURS.name]),
            "peer_quartiles": {name: _quartiles(self.turns[name]) for name in medians},
            "gflops": gflops,
            "limit_gflops": limit,
            "repeats": len(self.limits),
        }


class Worker:
    """A worker process and the lines exchanged with it."""

    def __init__(self, entrant: Entrant, threads: int, arguments: dict[str, Any]) -> None:
        self.name = entrant.name
        given = json.dumps(entrant.settings | arguments)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), entrant.module, str(threads), given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )

    def run(self, steps: int) -> dict[str, Any]:
        """Have the competitor run from the beginning, and wait for its answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(
                f"benchmarks: the process of {self.name} ended, with its message above; "
                "pip install -r benchmarks/requirements.txt installs the peers, --peers picks some"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def competitors(
    entrants: list[Entrant], threads: int, arguments: dict[str, Any]
) -> Iterator[list[Worker]]:
    """Start a worker for each entrant, and end them all."""
    workers: list[Worker] = []
    try:
        for entrant in entrants:
            workers.append(Worker(entrant, threads, arguments))
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def train_in_turn(
    job: Job, peers: list[Entrant], threads: int, repeats: int, limit: Limit
) -> dict[str, Any]:
    """Return the record of the job trained by all, after their losses have agreed."""
    entrants = [OURS, *peers]
    with tempfile.TemporaryDirectory() as folder:
        file, plain = Path(folder, "job.npz"), Path(folder, "plain.npz")
        job.save(file)
        job.without_dropout().save(plain)
        with competitors(entrants, threads, {"job": str(plain)}) as workers:
            difference = _compare_losses(workers)
        with competitors(entrants, threads, {"job": str(file)}) as workers:
            most = len(job.batches()) - WARM_UP
            outcome = take_turns(workers, threads, repeats, limit, most)
    return outcome.record(job.flops) | {"loss_difference": difference}


def take_turns(
    workers: list[Worker], threads: int, repeats: int, limit: Limit, most_steps: int
) -> Outcome:
    """Let every worker run in turn, `repeats` times, with the limit measured before each round."""
    steps = {worker.name: _steps_in_a_turn(worker, most_steps) for worker in workers}
    turns: dict[str, list[float]] = {worker.name: [] for worker in workers}
    limits = []
    for turn in range(repeats):
        limits.append(limit.gflops(threads))
        # Each comes after another one every time, so that none has the better place.
        first = turn % len(workers)
        for worker in workers[first:] + workers[:first]:
            turns[worker.name].append(worker.run(steps[worker.name])["ms"])
    return Outcome(turns, limits)


def _steps_in_a_turn(worker: Worker, most: int) -> int:
    """Return how many timed steps fill a turn, from two of them measured after a first run."""
    worker.run(2)
    return min(max(2, round(TURN_MS / worker.run(2)["ms"])), most)


def _compare_losses(workers: list[Worker]) -> float:
    """Return the largest relative difference of a peer's loss from ours; end if it is too large."""
    ours, *others = [np.array(w.run(COMPARED_STEPS - WARM_UP)["losses"]) for w in workers]
    allowed = np.full(COMPARED_STEPS, LATE_TOLERANCE)
    allowed[:EARLY_STEPS] = EARLY_TOLERANCE
    allowed[0] = FIRST_TOLERANCE
    worst = 0.0
    for worker, losses in zip(workers[1:], others, strict=True):
        differences = np.abs(losses - ours) / np.abs(ours)
        # Written so that a loss that is not a number fails too.
        failed = np.flatnonzero(~(differences <= allowed))
        if failed.size:
            step = int(failed[0])
            raise SystemExit(
                f"benchmarks: {worker.name} does not train the same network: its loss at "
                f"step {step + 1} is {losses[step]:.7g}, ours {ours[step]:.7g}"
            )
        worst = max(worst, float(differences.max()))
    return worst


def _quartiles(times: list[float]) -> list[float]:
    return [float(quartile) for quartile in np.percentile(times, [25, 75])]
