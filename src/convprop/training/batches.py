"""The batches of a training: which images each step gets, and what becomes of them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convprop.brief import Brief
from convprop.data.stream import ImageStream, prefetched
from convprop.machine.native import engine
from convprop.network import Network
from convprop.training.augmentation import Augment, mixup_share
from convprop.training.course import Course

Array = NDArray[Any]
Indices = NDArray[np.int64]
Weights = NDArray[np.float64]
Read = tuple[Array, Indices | None]
"""Images that were read, and the places of a batch's among them; None: they are the batch."""

SHUFFLE_STREAM = 0x53485546 << 32
"""The engine's random stream that orders epoch 0; epoch e has the e-th after it."""


def order_of(seed: int, epoch: int, count: int) -> Indices:
    """Return the order of an epoch: that of random bits, equal ones as they were."""
    bits = engine.random_bits(seed, SHUFFLE_STREAM + epoch, count)
    return np.argsort(bits, kind="stable")


@dataclass(repr=False)
class Data(Brief):
    """Checked images and targets, and which of their rows are meant (None: all)."""

    images: Array | ImageStream
    targets: Array
    labels: bool
    weights: Weights | None = None
    rows: Indices | None = None

    @property
    def count(self) -> int:
        """How many images are meant."""
        return len(self.targets) if self.rows is None else len(self.rows)

    def fingerprint(self) -> str:
        """Return a hash of images, targets, weights and rows; of a stream some sixty images."""
        import hashlib

        images, count = self.images, len(self.targets)
        if not isinstance(images, np.ndarray):
            images = images[np.unique(np.linspace(0, count - 1, min(count, 64)).astype(np.int64))]
        digest = hashlib.sha256(f"{self.images.shape} {self.images.dtype}".encode())
        for part in (images, self.targets, self.weights, self.rows):
            digest.update(b"none" if part is None else np.ascontiguousarray(part).data)
        return digest.hexdigest()


class Batch(NamedTuple):
    """What one step of the engine takes: all images, or those in the places that are named."""

    images: Array
    places: Indices | None
    targets: Array
    weights: Weights | None


class Batches:
    """The batches of every epoch of one training, whole or in parts of at most so many images."""

    def __init__(
        self, data: Data, course: Course, network: Network, part_size: int | None = None
    ) -> None:
        self.data = data
        self.course = course
        self.network = network
        self.normalisation = network.lane_normalisation()
        self.rows = np.arange(len(data.targets)) if data.rows is None else data.rows
        # What is drawn for an image goes by its number among those that weigh something.
        self.numbers = None if data.weights is None else np.cumsum(data.weights > 0) - 1
        self.size = min(course.batch_size, len(self.rows))
        self.part_size = self.size if part_size is None else min(part_size, self.size)
        self.per_epoch = -(-len(self.rows) // course.batch_size)
        # A mixed image has no label of its own.
        mixes = course.augment is not None and course.augment.mixup > 0
        # The label of a single output is its target, of which the engine counts none as right.
        self.labels = data.labels and not mixes and network.outputs > 1

    def rows_of(self, epoch: int) -> list[Indices]:
        """Return the rows of each batch of an epoch."""
        order, size = self._order(epoch), self.course.batch_size
        return [order[n : n + size] for n in range(0, len(order), size)]

    def _order(self, epoch: int) -> Indices:
        """Return an epoch's rows, by the order of random bits; equal ones as they were."""
        if not self.course.shuffle:
            return self.rows
        shuffled = self.rows[order_of(self.course.seed, epoch, len(self.rows))]
        return _balanced(shuffled, self.data.targets) if self.course.balanced else shuffled

    def weight(self, rows: Indices) -> float:
        """Return the sum of the weights of rows."""
        weights = self.data.weights
        return float(len(rows)) if weights is None else float(weights[rows].sum())

    def parts(self, rows: Indices) -> list[slice]:
        """Return the parts of a batch in its order; one, where it comes as a whole."""
        count, size = len(rows), self.part_size
        return [slice(n, min(n + size, count)) for n in range(0, count, size)]

    def _rows_of_part(self, rows: Indices, part: slice) -> Indices:
        """Return the rows that a part needs: behind its own those that a mixup mixes them with."""
        count, augment = len(rows), self.course.augment
        if part.stop - part.start == count or augment is None or not augment.mixup:
            return rows[part]
        return np.concatenate([rows[part], rows[count - part.stop : count - part.start]])

    def read(self, batches: list[Indices]) -> Generator[Read, None, None]:
        """Yield, for each part of batches of rows, an array and which of its images are meant."""
        images = self.data.images
        parts = [self._rows_of_part(rows, part) for rows in batches for part in self.parts(rows)]
        if isinstance(images, np.ndarray):
            for rows in parts:
                yield images, rows
        else:
            for pixels in prefetched(images, parts):
                yield pixels, None

    def batch(
        self,
        images: Array,
        index: Indices | None,
        rows: Indices,
        epoch: int,
        step: int,
        part: slice | None = None,
    ) -> Batch:
        """Return what a step takes of images that were read, changed by chance where asked for.

        Of a batch in parts, ``rows`` are the whole one's, and so are the weights, in its order.
        """
        part = slice(0, len(rows)) if part is None else part
        here, count = self._rows_of_part(rows, part), part.stop - part.start
        targets, weights, augment = self.data.targets, self.data.weights, self.course.augment
        in_parts = count < len(rows)
        if index is None or augment is not None:
            targets = targets[here]
        if weights is not None and (index is None or augment is not None or in_parts):
            weights = weights[rows]
        if augment is None:
            return Batch(images, index, targets, weights)
        changed = Batch(
            self._augmented(augment, images, index, here, epoch), None, targets, weights
        )
        if not augment.mixup:
            return changed
        return self._mixed(mixup_share(augment.mixup, self.course.seed, step), changed, count)

    def _augmented(
        self, augment: Augment, images: Array, index: Indices | None, rows: Indices, epoch: int
    ) -> Array:
        places = np.arange(len(rows)) if index is None else index
        mean, scale = self.normalisation
        deviation = (1.0 / scale).astype(self.network.dtype)
        numbers = rows if self.numbers is None else self.numbers[rows]
        seed = self.course.seed
        return engine.augment(
            augment.settings(), images, places, numbers, mean, deviation, seed, epoch
        )

    def _mixed(self, share: float, batch: Batch, count: int) -> Batch:
        """Return a part of ``count`` images, each averaged with the one that mirrors it."""
        images, _, targets, weights = batch
        if targets.ndim == 1:
            targets = np.eye(self.network.outputs, dtype=self.network.dtype)[targets]
        one, other = (self.network.dtype.type(part) for part in (share, 1.0 - share))
        images, targets = (
            one * part[:count] + other * part[-count:][::-1] for part in (images, targets)
        )
        if weights is not None:
            weights = share * weights + (1.0 - share) * weights[::-1]
        return Batch(images, None, targets, weights)


def _balanced(order: Indices, targets: Array) -> Indices:
    """Return as many rows, every class as often as the others, each class in the given order.

    A class's rows come again, in the same order, when all have been taken.
    """
    classes = [order[targets[order] == label] for label in np.unique(targets[order])]
    turns = -(-len(order) // len(classes))
    columns = [np.resize(rows, turns) for rows in classes]
    return np.stack(columns, axis=1).reshape(-1)[: len(order)]
