"""What training a network will take of memory."""

from __future__ import annotations

import math
from typing import NamedTuple

from convprop.machine.memory import resident_memory
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
    network: Network,
    optimizer: Optimizer,
    batch_size: int,
    images: int,
    micro_batch: int | None = None,
) -> TrainingMemory:
    """Return what training ``images`` images will take in a process that has trained nothing yet.

    Measuring a held-out part takes ``network.plan_bytes("predict")`` more.
    """
    parameters = sum(array.nbytes for array in network.parameters.values())
    trained = sum(network.parameters[name].nbytes for name in network.graph.trained)
    batch = min(batch_size, images)
    part = micro_batch or batch
    return TrainingMemory(
        process=resident_memory(),
        images=images * (math.prod(network.input_shape) + _BYTES_PER_LABEL),
        weights=2 * parameters + optimizer.slots * trained,
        plan=network.plan_bytes("train", batch, 0 if part >= batch else part),
    )
