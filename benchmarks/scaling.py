"""How a step's time depends on the number of threads: the model of docs/explanation/growth.md.

Everything here is arithmetic on a network's description and on quantities measured elsewhere; the
constants and the division of work are those of kernels/plan/plan.cc.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import convprop as cp
from convprop.graph import Node

LANES = 16
MOST_GROUPS = 8
# A map is written, which first reads its place, and read on the way back; the next layer finds it
# in a nearer cache. A weight, its gradient and two of the optimizer's values are read, and all but
# the gradient written, which was written before.
TRIPS_OF_A_MAP, TRIPS_OF_A_WEIGHT = 3, 8


@dataclass(frozen=True)
class Machine:
    """What was measured of the machine, per number of threads: 1 and as many as it has."""

    gflops: dict[int, float]
    """Multiply-adds in registers, all threads together."""
    bandwidth: dict[int, float]
    """GB/s between memory and processor, all threads together."""
    meeting: float
    """Seconds that a meeting of two threads takes."""
    fixed: float
    """Seconds of a step that computes almost nothing, on one thread."""
    cache: int
    """Bytes of the last level."""

    @property
    def threads(self) -> int:
        """As many threads as were measured at most."""
        return max(self.gflops)

    def slowdown(self, threads: int) -> float:
        """Return how much slower one of so many threads multiplies than one alone."""
        known = self.gflops[min(threads, self.threads)]
        return self.gflops[1] * min(threads, self.threads) / known

    def bytes_per_second(self, threads: int, shared: bool) -> float:
        """Return the bandwidth of so many threads: what was measured, beyond it what is assumed.

        Shared: more processors reach no more memory than those measured. Else each brings as much
        as those have on average.
        """
        known = self.bandwidth[min(threads, self.threads)]
        grown = 1.0 if shared else max(1.0, threads / self.threads)
        return 1e9 * known * grown


@dataclass(frozen=True)
class Division:
    """How threads divide a batch's blocks of sixteen images."""

    blocks: int
    units: int
    """Runs of groups, one for each thread or for each team of threads."""
    parts: int
    """Threads in a team, which split the maps of every layer."""
    most_blocks: int
    """Of any unit."""

    @classmethod
    def of(cls, batch: int, threads: int) -> Division:
        """Return the division of a batch."""
        blocks = -(-batch // LANES)
        groups = min(blocks, MOST_GROUPS)
        units = min(groups, threads)
        # Shares are as even as rounding down their borders makes them.
        bounds = [blocks * group // groups for group in range(groups + 1)]
        edges = [bounds[groups * unit // units] for unit in range(units + 1)]
        most = max(after - before for before, after in itertools.pairwise(edges))
        return cls(blocks, units, threads // units, most)


def longest_share(net: cp.Network, batch: int, threads: int) -> float:
    """Return the part of a step's multiply-adds that the busiest thread computes."""
    division = Division.of(batch, threads)
    in_blocks = in_rows = total = 0.0
    for node in _weighted(net):
        count, kernels = node.multiply_adds, node.output[0]
        dense = node.layer.family == "dense"
        # Forward and weight gradient, and the input's delta unless nobody needs it; a dense
        # layer's weight gradient is divided among all threads once the blocks are done.
        passes = 3 if total else 2
        total += passes * count
        in_blocks += (passes - dense) * count * _rounded_share(kernels, division.parts)
        in_rows += dense * count * _rounded_share(kernels, threads)
    return (in_blocks * division.most_blocks / division.blocks + in_rows) / total


def multiply_adds(net: cp.Network) -> int:
    """Return those of a training step of one image."""
    counts = [node.multiply_adds for node in _weighted(net)]
    return 3 * sum(counts) - counts[0]


def meetings_of_all(net: cp.Network) -> int:
    """Return how often all threads meet: a step's start, the backward pass's end, the step's end.

    And, for Winograd's algorithm, once its weights are transformed.
    """
    return 3 + any(node.native.get("algorithm") == "winograd" for node in net.graph.nodes)


def meetings(net: cp.Network, batch: int, threads: int) -> int:
    """Return how often the threads of a team meet in a step, those of all threads left out."""
    division = Division.of(batch, threads)
    if division.parts == 1:
        return 0
    operations = [node.layer.family for node in _operations(net)]
    first = operations.index("dense") if "dense" in operations else len(operations)
    # One after an operation forward and one back, one more inside the way back of what has weights;
    # one after the images of each block, one after the loss.
    each_block, at_once = (
        1 + sum(3 if family in ("conv", "dense") else 2 for family in part)
        for part in (operations[:first], operations[first:])
    )
    return division.most_blocks * each_block + at_once


def traffic(net: cp.Network, batch: int, cache: int) -> float:
    """Return the bytes that a step moves to and from memory: none if they fit into a cache."""
    images = LANES * -(-batch // LANES)
    pixels = math.prod(net.input_shape) + sum(math.prod(node.output) for node in _operations(net))
    maps = net.dtype.itemsize * images * pixels
    weights = sum(array.nbytes for array in net.parameters.values())
    # Beside each weight lie its gradient and two of the optimizer's values.
    if maps + 4 * weights <= cache:
        return 0.0
    return TRIPS_OF_A_MAP * maps + TRIPS_OF_A_WEIGHT * weights


def predict(
    machine: Machine, net: cp.Network, batch: int, threads: int, alone: float, shared: bool = False
) -> float:
    """Return the seconds of a step with so many threads, from those it takes `alone` with one."""
    if threads == 1:
        return alone
    computing = (alone - machine.fixed) * longest_share(net, batch, threads)
    computing *= machine.slowdown(threads)
    moving = traffic(net, batch, machine.cache) / machine.bytes_per_second(threads, shared)
    division = Division.of(batch, threads)
    met = meetings_of_all(net) * threads + meetings(net, batch, threads) * division.parts
    return machine.fixed + max(computing, moving) + met * machine.meeting / 2


def _weighted(net: cp.Network) -> list[Node]:
    return [node for node in net.graph.nodes if node.parameters]


def _operations(net: cp.Network) -> list[Node]:
    """Return the nodes that leave maps of their own."""
    found = []
    for node in net.graph.nodes:
        before = net.graph.nodes[node.reads[0] - 1] if node.reads[0] else None
        # An activation behind weights is computed in their place.
        fused = node.layer.family == "activation" and before is not None and before.parameters
        if not fused and node.layer.family != "flatten":
            found.append(node)
    return found


def _rounded_share(count: int, parts: int) -> float:
    return -(-count // parts) / count
