"""Where the time of a training step goes, by layer and pass, and what the machine could do."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convprop.about.summary import table
from convprop.brief import Brief
from convprop.checks import positive_integer
from convprop.graph import Node
from convprop.layers import Shape
from convprop.machine.native import engine
from convprop.machine.processors import affinity, cpu_quota
from convprop.machine.threads import get_num_threads
from convprop.network import Network
from convprop.optimizers import Adam, Optimizer

_Times = dict[tuple[int, str], tuple[float, float]]

STEPS = 30
WARM_UP_STEPS = 5
LIMIT_SECONDS = 0.2

_PRODUCTS = ("forward", "weight_gradient", "input_delta")
_ORDER = ("images", *_PRODUCTS, "loss", "update", "wait", "outside")


@dataclass(frozen=True)
class PassTime:
    """One pass of one layer, or a part of the step that belongs to none.

    Attributes
    ----------
    layers : tuple of str
        The layer's name, and those of the layers that are computed in its own loop.
    name : str
        "forward", "weight_gradient", "input_delta" or "update"; without layers "images" (their
        way into the lanes), "loss", "wait" (threads for one another) or "outside" (the engine:
        Python, and waking threads).
    seconds : float
        Of a step. Times of threads side by side are averaged, so that all passes together are
        the step.
    longest : float
        What rates are counted by: the time of the thread that took longest; with more threads
        than processors at least all their times over the processors.
    operations : int
        A multiply-add is two; products with padding and with zeros count.
    bytes : int or None
        What the pass has to read and write once; None where that says nothing.
    limit : float
        Operations a second of the machine.
    """

    layers: tuple[str, ...]
    name: str
    seconds: float
    longest: float
    operations: int
    bytes: int | None
    limit: float

    @property
    def rate(self) -> float | None:
        """Operations a second; None where there are no multiply-adds to count."""
        return self.operations / self.longest if self.operations else None

    @property
    def share_of_limit(self) -> float | None:
        """The rate over the machine's."""
        return None if self.rate is None else self.rate / self.limit

    def to_dict(self) -> dict[str, Any]:
        """Return what ``convprop profile --json`` writes of a pass."""
        return {
            "layers": list(self.layers),
            "pass": self.name,
            "seconds": self.seconds,
            "gflops": None if self.rate is None else self.rate / 1e9,
            "share_of_limit": self.share_of_limit,
            "bytes": self.bytes,
        }


@dataclass(frozen=True, repr=False)
class Profile(Brief):
    """What ``profile`` measured.

    Attributes
    ----------
    passes : tuple of PassTime
        In the order of the layers.
    seconds : float
        Of a step: the sum of the passes.
    limit : float
        Multiply-add operations a second of the machine, with as many threads.
    batch_size, steps, threads : int
    """

    passes: tuple[PassTime, ...]
    seconds: float
    limit: float
    batch_size: int
    steps: int
    threads: int

    @property
    def share_of_limit(self) -> float:
        """All operations of a step over what the machine could do in its time."""
        return sum(entry.operations for entry in self.passes) / self.seconds / self.limit

    def to_dict(self) -> dict[str, Any]:
        """Return what ``convprop profile --json`` writes."""
        return {
            "batch_size": self.batch_size,
            "steps": self.steps,
            "threads": self.threads,
            "seconds_per_step": self.seconds,
            "images_per_second": self.batch_size / self.seconds,
            "limit_gflops": self.limit / 1e9,
            "share_of_limit": self.share_of_limit,
            "passes": [entry.to_dict() for entry in self.passes],
        }

    def __str__(self) -> str:
        """Return the table, of at most 80 columns unless names or numbers alone take more."""
        headings = ("Layer", "Pass", "ms", "Share", "GFLOP/s", "Of limit", "MB", "GB/s")
        rows = [_cells(entry, self.seconds) for entry in self.passes]
        for above, row in zip(self.passes, rows[1:], strict=False):
            if row[0] and row[0] == "+".join(above.layers):
                row[0] = '"'
        total = ["step", "", f"{1e3 * self.seconds:.3f}", "", "", "", "", ""]
        operations = sum(entry.operations for entry in self.passes)
        total[4:6] = [f"{operations / self.seconds / 1e9:.1f}", f"{self.share_of_limit:.0%}"]
        return "\n".join(table(headings, [*rows, total], words=2, folded=0))


def _cells(entry: PassTime, total: float) -> list[str]:
    rate, share, size = entry.rate, entry.share_of_limit, entry.bytes
    return [
        "+".join(entry.layers),
        entry.name,
        f"{1e3 * entry.seconds:.3f}",
        f"{entry.seconds / total:.1%}",
        "" if rate is None else f"{rate / 1e9:.1f}",
        "" if share is None else f"{share:.0%}",
        "" if size is None else f"{size / 1e6:.2f}",
        "" if size is None else f"{size / entry.longest / 1e9:.1f}",
    ]


def profile(
    network: Network,
    images: ArrayLike,
    targets: ArrayLike,
    *,
    optimizer: Optimizer = Adam(1e-3),
    batch_size: int = 64,
    steps: int = STEPS,
) -> Profile:
    """Measure training steps of a copy of ``network``; its weights do not change.

    Bytes are those of the arrays that a pass reads and writes, each counted once, sixteen
    images to a block as the engine holds them: forward, the input, the parameters and the
    output (with a max pooling's winners); weight_gradient, the input, the delta and the
    gradients; input_delta, the delta, the parameters, the output where f' needs it, and the
    input's delta; update, gradients once, parameters and optimizer state twice. Layers that are
    computed in one loop count as one. It is what must move where no cache holds it.

    Parameters
    ----------
    network : Network
    images, targets : array_like
        As for ``evaluate``; steps take them in order, again and again.
    optimizer : Optimizer
    batch_size, steps : int
        No more than ``images`` are taken at a time. A pass's time is the mean of its faster
        half.

    Raises
    ------
    InvalidInput
    """
    checked = network.as_images(images)
    wanted = network.as_targets(targets, len(checked))
    batch = min(positive_integer("batch_size", batch_size), len(checked))
    positive_integer("steps", steps)
    measured = copy.deepcopy(network)
    trained = [measured.parameters[name] for name in measured.graph.trained]
    plan = measured.plan("train", batch)
    state = [np.zeros_like(array) for array in trained for _ in range(optimizer.slots)]
    factors = optimizer.factors(network.graph.parameters)
    plan.bind_optimizer(optimizer.kind, optimizer.settings(), state, factors)
    threads = get_num_threads()
    processors = min(affinity(), cpu_quota(), threads)
    limit = engine.multiply_add_limit(network.dtype.name, LIMIT_SECONDS) * 1e9
    limit *= processors / threads  # which is each thread's times the threads
    records: list[dict[tuple[int, str], float]] = []
    longest: list[dict[tuple[int, str], float]] = []
    for step in range(1, WARM_UP_STEPS + steps + 1):
        rows = np.arange(step * batch, (step + 1) * batch) % len(checked)
        plan.start_profile()
        started = time.perf_counter()
        # A learning rate of 0 keeps the loss finite, without which there would be no update.
        plan.train_step(
            checked, rows, wanted, None, *measured.lane_normalisation(), 0.0, step, network.seed
        )
        seconds = time.perf_counter() - started
        if step > WARM_UP_STEPS:
            measurements = plan.profile()
            passes = {row[:2]: row[2] / threads for row in measurements}
            longest.append({row[:2]: max(row[3], row[2] / processors) for row in measurements})
            records.append(passes | {(-1, "outside"): max(seconds - sum(passes.values()), 0.0)})
    times = {
        key: (_faster_half(records, key), _faster_half(longest, key))
        for key in set().union(*records)
    }
    costs = _Costs(network, optimizer, batch, checked.dtype.itemsize)
    return Profile(
        tuple(costs.entry(layer, name, times, limit) for layer, name in _sorted(times)),
        sum(seconds for seconds, _ in times.values()),
        limit,
        batch,
        steps,
        threads,
    )


def _faster_half(records: Sequence[Mapping[tuple[int, str], float]], key: tuple[int, str]) -> float:
    """Return the mean of a pass over the steps where it was fast: others use the machine too."""
    seconds = sorted(record.get(key, 0.0) for record in records)
    half = seconds[: -(-len(seconds) // 2)]
    return sum(half) / len(half)


def _sorted(times: _Times) -> list[tuple[int, str]]:
    """Return images, the layers in order, the loss, and what belongs to nothing."""
    after = {"images": -1, "loss": len(times), "wait": len(times) + 1, "outside": len(times) + 2}
    return sorted(times, key=lambda key: (after.get(key[1], key[0]), _ORDER.index(key[1])))


class _Costs:
    """What each pass of a network computes and moves for a batch."""

    def __init__(
        self, network: Network, optimizer: Optimizer, batch_size: int, pixel_bytes: int
    ) -> None:
        self.graph = network.graph
        self.batch_size = batch_size
        self.pixel_bytes = pixel_bytes
        self.value_bytes = network.dtype.itemsize
        self.slots = optimizer.slots

    def entry(self, layer: int, name: str, times: _Times, limit: float) -> PassTime:
        seconds = times[layer, name]
        if layer < 0:
            return PassTime((), name, *seconds, 0, self._bytes_of_none(name), limit)
        timed = {position for position, _ in times}
        fused = self._fused(layer, timed)
        operations = 0
        if name in _PRODUCTS:
            operations = 2 * fused[0].multiply_adds * self.batch_size
        names = tuple(node.name for node in fused)
        return PassTime(names, name, *seconds, operations, self._bytes(fused, name), limit)

    def _fused(self, place: int, timed: set[int]) -> list[Node]:
        """Return a node and, in a row behind it, those that have no time of their own.

        Of a Flatten, which computes nothing, nothing is told.
        """
        fused = [self.graph.nodes[place]]
        while len(readers := self.graph.readers(place + 1)) == 1 and readers[0] not in timed:
            (place,) = readers
            fused += [node for node in [self.graph.nodes[place]] if node.layer.family != "flatten"]
        return fused

    def _maps(self, shape: Shape) -> int:
        """Return the bytes of a batch's values of a shape."""
        lanes = -(-self.batch_size // 16) * 16
        return lanes * math.prod(shape) * self.value_bytes

    def _bytes_of_none(self, name: str) -> int | None:
        if name == "images":
            pixels = self.batch_size * math.prod(self.graph.input)
            return pixels * self.pixel_bytes + self._maps(self.graph.input)
        return 2 * self._maps(self.graph.nodes[-1].output) if name == "loss" else None

    def _bytes(self, fused: Sequence[Node], name: str) -> int:
        before = sum(map(self._maps, fused[0].inputs))
        after = self._maps(fused[-1].output)
        parameters = fused[0].weights * self.value_bytes
        trained = fused[0].trained_weights * self.value_bytes
        if name == "forward":
            winners = sum(self._maps(n.output) for n in fused if n.native.get("pool") == "max")
            return before + parameters + after + winners
        if name == "weight_gradient":
            return before + after + trained
        if name == "input_delta":
            reads = any(node.layer.reads_output for node in fused)
            return after + parameters + after * reads + before * (1 + fused[0].layer.reads_input)
        return trained * (3 + 2 * self.slots)
