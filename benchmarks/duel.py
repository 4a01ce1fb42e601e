"""Competitors timed in turn, each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from job import Job
from machine import HERE, Limit
from report import Progress

# The losses of this many steps are compared with ours before a time counts. The first is the same
# function of the same numbers, so nothing but rounding differs. After it, training amplifies what
# rounding does: one ReLU or pool whose inputs tie to the last digit, decided otherwise, changes a
# gradient by about 1e-3 of itself. Any two float32 programs part in this way, PyTorch's default
# and channels_last layouts too; another network, optimizer or batch parts far sooner and further.
COMPARED_STEPS = 50
FIRST_TOLERANCE, EARLY_TOLERANCE, LATE_TOLERANCE = 1e-5, 5e-3, 5e-2
EARLY_STEPS = 10
# What single computations give may differ by this part of the largest number in it: some hundred
# roundings, while a float32 sum of n terms in another order differs by about sqrt(n) of them.
OUTPUT_TOLERANCE = 1e-4
# A turn lasts about this long; short enough that all competitors see the same machine.
TURN_MS = 40.0
# The machine's bandwidths are taken from this many measurements between the turns.
BANDWIDTHS = 3


@dataclass(frozen=True)
class Entrant:
    """A name for the results, a module with competitors in it, their settings, how it is run."""

    name: str
    module: str
    settings: dict[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = (sys.executable, str(HERE / "worker.py"))


OURS = Entrant("convprop", "ours")
ANOTHER = "another-convprop"
_TUNED = {"channels_last": True, "flush_denormal": True, "fused": True}
# The first is the peer's default: what a user gets who sets nothing.
PEERS = (
    Entrant("pytorch", "peer_pytorch"),
    Entrant("pytorch-channels-last", "peer_pytorch", {"channels_last": True}),
    Entrant("pytorch-flush-denormal", "peer_pytorch", {"flush_denormal": True}),
    Entrant("pytorch-fused", "peer_pytorch", {"fused": True}),
    Entrant("pytorch-tuned", "peer_pytorch", _TUNED),
    Entrant("pytorch-compile", "peer_pytorch", {"compile": True}),
    Entrant("pytorch-compile-tuned", "peer_pytorch", {"compile": True, **_TUNED}),
    Entrant("jax", "peer_jax"),
)


def another(checkout: Path) -> Entrant:
    """Return the convprop of another checkout, which is built in an environment .venv within it."""
    command = (str(checkout / ".venv/bin/python"), str(checkout / "benchmarks/worker.py"))
    return Entrant(ANOTHER, OURS.module, command=command)


Array = NDArray[Any]


@dataclass(frozen=True)
class Outcome:
    """Milliseconds of a step in each turn, by name, and the machine's limits beside them."""

    turns: dict[str, list[float]]
    limits: list[float]
    bandwidths: list[dict[str, float]]

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
            "limit_gbytes": {
                name: statistics.median(each[name] for each in self.bandwidths)
                for name in self.bandwidths[0]
            },
            "repeats": len(self.limits),
        }


class Worker:
    """A worker process and the lines exchanged with it."""

    def __init__(self, entrant: Entrant, threads: int) -> None:
        self.entrant = entrant
        self.process = subprocess.Popen(
            [*entrant.command, entrant.module, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )

    def send(self, *request: Any) -> None:
        """Send a request, whose answer `receive` waits for."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `receive` says so

    def receive(self) -> dict[str, Any]:
        """Wait for the answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(
                f"benchmarks: the process of {self.entrant.name} ended, with its message above; "
                "pip install -r benchmarks/requirements.txt installs the peers, --peers picks some"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, *request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        self.send(*request)
        return self.receive()

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


class Arena:
    """Where competitors meet: their processes, the limits, and a place for their files."""

    def __init__(self, repeats: int, progress: Progress) -> None:
        self.repeats, self.progress = repeats, progress
        self.limit = Limit()
        self._workers: dict[tuple[str, str, int], Worker] = {}
        self._temporary = tempfile.TemporaryDirectory()
        self._folder = Path(self._temporary.name)

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers.values():
            worker.stop()
        self._temporary.cleanup()

    def train(
        self, job: Job, peers: list[Entrant], threads: int, compared_steps: int
    ) -> dict[str, Any]:
        """Return the record of the job trained by all whose first losses agree with ours."""
        plain = job.without_dropout()
        workers = self._build([OURS, *peers], threads, "Trainer", job=self._save(plain))
        self.progress.show("comparing losses")
        losses = [np.array(worker.ask("losses", compared_steps)["losses"]) for worker in workers]
        agreeing, comparison = _compare(workers, losses, _loss_fault, _loss_difference)
        if job.has_dropout:
            entrants = [worker.entrant for worker in agreeing]
            agreeing = self._build(entrants, threads, "Trainer", job=self._save(job))
        most = (len(job.batches()) - 1) * 4 // 5  # beside the steps that are not timed
        outcome = self.take_turns(agreeing, threads, most)
        return outcome.record(job.flops) | comparison

    def predict(self, job: Job, peers: list[Entrant], threads: int) -> dict[str, Any]:
        """Return the record of the job's images predicted by all whose outputs agree with ours."""
        workers = self._build([OURS, *peers], threads, "Predictor", job=self._save(job))
        return self._compute(workers, threads, job.flops)

    def operate(
        self, case: str, which: str, flops: float | None, entrants: list[Entrant], threads: int
    ) -> dict[str, Any]:
        """Return the record of a single operation by all whose outputs agree with the first's."""
        workers = self._build(entrants, threads, "Operation", case=case)
        return self._compute(workers, threads, flops, which)

    def _compute(
        self, workers: list[Worker], threads: int, flops: float | None, *which: str
    ) -> dict[str, Any]:
        self.progress.show("comparing outputs")
        file = self._folder / "output.npy"
        outputs = []
        for worker in workers:
            worker.ask("output", str(file), *which)
            outputs.append(np.load(file))
        agreeing, comparison = _compare(workers, outputs, _output_fault, _output_difference)
        outcome = self.take_turns(agreeing, threads, sys.maxsize, *which)
        return outcome.record(flops) | comparison

    def take_turns(
        self, workers: list[Worker], threads: int, most_steps: int, *which: str
    ) -> Outcome:
        """Let every worker compute in turn, with the limit measured before each round."""
        self.progress.show("first steps")
        steps = {worker: _steps_in_a_turn(worker, most_steps, which) for worker in workers}
        turns: dict[str, list[float]] = {worker.entrant.name: [] for worker in workers}
        limits, bandwidths = [], []
        for turn in range(self.repeats):
            self.progress.show(f"turn {turn + 1} of {self.repeats}")
            limits.append(self.limit.gflops(threads))
            if turn < BANDWIDTHS:
                bandwidths.append(self.limit.bandwidths(threads))
            # Each comes after another one every time, so that none has the better place.
            first = turn % len(workers)
            for worker in workers[first:] + workers[:first]:
                milliseconds = worker.ask("time", steps[worker], *which)["ms"]
                turns[worker.entrant.name].append(milliseconds)
        return Outcome(turns, limits, bandwidths)

    def _save(self, job: Job) -> str:
        job.save(self._folder / "job.npz")
        return str(self._folder / "job.npz")

    def _build(
        self, entrants: list[Entrant], threads: int, kind: str, **arguments: Any
    ) -> list[Worker]:
        """Have the competitors made, all at once; a process is kept for the next ones."""
        self.progress.show("starting")
        workers = []
        for entrant in entrants:
            key = (entrant.name, entrant.module, threads)
            if key not in self._workers:
                self._workers[key] = Worker(entrant, threads)
            workers.append(self._workers[key])
        for worker in workers:
            worker.send("build", kind, worker.entrant.settings | arguments)
        for worker in workers:
            worker.receive()
        return workers


def _steps_in_a_turn(worker: Worker, most: int, which: tuple[str, ...]) -> int:
    """Return how many steps fill a turn, from one of them measured after a first run."""
    worker.ask("time", 1, *which)
    return min(max(2, round(TURN_MS / worker.ask("time", 1, *which)["ms"])), most)


def _compare(
    workers: list[Worker],
    results: list[Array],
    fault: Callable[[Array, Array], str | None],
    difference: Callable[[Array, Array], Any],
) -> tuple[list[Worker], dict[str, Any]]:
    """Return the workers whose results agree with the first one's, ours, and what was found.

    A peer that computes something else is left out and the record says why: an optimizing
    compiler can be wrong. End if no peer agrees, or the default does not: then it may be us.
    """
    ours, worst = results[0], 0.0
    agreeing, left_out = workers[:1], {}
    for worker, result in zip(workers[1:], results[1:], strict=True):
        name, found = worker.entrant.name, fault(result, ours)
        if found is None:
            agreeing.append(worker)
            worst = max(worst, float(np.max(difference(result, ours))))
        elif name == PEERS[0].name:
            raise SystemExit(f"benchmarks: {name} does not compute what we do: {found}")
        else:
            left_out[name] = found
    if left_out and len(agreeing) == 1:
        raise SystemExit(f"benchmarks: no peer computes what we do: {left_out}")
    return agreeing, {"difference": worst, "left_out": left_out}


def _loss_fault(losses: Array, ours: Array) -> str | None:
    """Return where losses are not those of our network's training, None where they are."""
    allowed = np.full(len(ours), LATE_TOLERANCE)
    allowed[:EARLY_STEPS] = EARLY_TOLERANCE
    allowed[0] = FIRST_TOLERANCE
    # Written so that a loss that is not a number fails too.
    failed = np.flatnonzero(~(_loss_difference(losses, ours) <= allowed))
    if not failed.size:
        return None
    step = int(failed[0])
    return f"loss {losses[step]:.7g} at step {step + 1}, ours {ours[step]:.7g}"


def _loss_difference(losses: Array, ours: Array) -> Array:
    return np.abs(losses - ours) / np.abs(ours)


def _output_fault(output: Array, ours: Array) -> str | None:
    """Return how an output differs from ours, None where only by rounding."""
    difference = _output_difference(output, ours)
    if difference <= OUTPUT_TOLERANCE:
        return None
    return f"output off by {difference:.2g} of the largest value"


def _output_difference(output: Array, ours: Array) -> float:
    return float(np.abs(output - ours).max() / np.abs(ours).max())


def _quartiles(times: list[float]) -> list[float]:
    return [float(quartile) for quartile in np.percentile(times, [25, 75])]
