"""Memory: what this process has taken, and what training a network will take."""

from __future__ import annotations

import math
import resource
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from convprop.network import Network
    from convprop.optimizers import Optimizer

# A label given (int64) and taken (int32); the rows, random bits, order and batches of an epoch.
_BYTES_PER_LABEL = 8 + 4 + 4 * 8


class TrainingMemory(NamedTuple):
    """What training will take, in bytes. The sum is the peak of the whole process."""

    process: int
    """In use already: the interpreter, its modules, the network."""
    images: int
    """The training images as uint8, with what an epoch's order takes."""
    weights: int
    """The optimizer's state, and the copies to go back to if the loss fails."""
    plan: int
    """The engine's maps, deltas and gradients of a batch."""


def training_memory(
    network: Network, optimizer: Optimizer, batch_size: int, images: int
) -> TrainingMemory:
    """Return what training ``images`` images will take in a process that has trained nothing yet.

    Measuring a held-out part takes ``network.plan_bytes("predict")`` more.
    """
    parameters = sum(array.nbytes for array in network.parameters.values())
    return TrainingMemory(
        process=resident_memory(),
        images=images * (math.prod(network.input_shape) + _BYTES_PER_LABEL),
        weights=parameters * (2 + optimizer.slots),
        plan=network.plan_bytes("train", min(batch_size, images)),
    )


def resident_memory() -> int:
    """Return the resident size of this process, in bytes."""
    return _status("VmRSS") or peak_memory()


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    # On Linux ru_maxrss begins with that of the process which started this one.
    if peak := _status("VmHWM"):
        return peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def free_memory() -> int:
    """Return what this process may still take, in bytes; 0 where the system does not tell.

    That is what Linux takes to be available, as far as a limit of the process allows it.
    """
    free = _size("/proc/meminfo", "MemAvailable")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return free
    left = max(limit - _status("VmSize"), 0)
    return min(free, left) if free else left


def _status(name: str) -> int:
    """Return a size that Linux tells of this process, in bytes; 0 where it does not."""
    return _size("/proc/self/status", name)


def _size(file: str, name: str) -> int:
    with suppress(OSError), open(file, encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return 0
