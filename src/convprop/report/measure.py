"""What a report says of a test set, measured batch by batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convprop.brief import Brief
from convprop.data.dataset import Dataset
from convprop.errors import invalid
from convprop.losses import SquaredError
from convprop.network import Network
from convprop.shown import class_shown

Array = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BINS = 10
"""How many bins of equal width a calibration has."""


class Confusion(NamedTuple):
    """How many images of a class were taken for another one."""

    true: int
    predicted: int
    images: int


class Classes(NamedTuple):
    """Measures of each class, (K,); NaN where there is nothing to divide by."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: Integers


@dataclass(frozen=True)
class Calibration:
    """Images in bins of their predicted class's probability, (BINS,).

    ``error`` is the expected calibration error: the mean over images of their bin's distance
    between accuracy and mean probability. Guo, Pleiss, Sun and Weinberger, "On calibration of
    modern neural networks", ICML 2017, Eq. 3.
    """

    count: Integers
    probability: Floats
    """The mean of each bin, NaN where it is empty; likewise the accuracy."""
    accuracy: Floats
    error: float


@dataclass(frozen=True, repr=False)
class Measured(Brief):
    """What a network says of labelled images.

    Attributes
    ----------
    labels, predicted : ndarray
        (N,), indices into ``class_names``.
    certainty : ndarray
        (N,), what the network gave the predicted class: a probability, if ``probabilities``.
    given_true : ndarray
        (N,), what it gave the true one.
    """

    class_names: tuple[str, ...]
    labels: Integers
    predicted: Integers
    certainty: Floats
    given_true: Floats
    loss: float
    probabilities: bool

    def name(self, place: int) -> str:
        """Return a class's name as a page shows it."""
        return class_shown(self.class_names[place])

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which images were taken for another class."""
        different: NDArray[np.bool_] = self.predicted != self.labels
        return different

    @property
    def accuracy(self) -> float:
        """The share of images that were not."""
        return float(np.mean(~self.wrong))

    def accuracy_interval(self) -> tuple[float, float]:
        """Return the accuracy's 95 % confidence interval.

        Wilson, "Probable inference, the law of succession, and statistical inference", Journal
        of the American Statistical Association, 1927.
        """
        n, p, z = len(self.labels), self.accuracy, 1.959964
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(middle - reach, 0.0), min(middle + reach, 1.0)

    def mistakes(self, most: int) -> Integers:
        """Return the mistaken images that the network was most certain of, in that order."""
        wrong = np.flatnonzero(self.wrong)
        return wrong[np.argsort(-self.certainty[wrong], kind="stable")[:most]]

    def cells(self) -> list[Confusion]:
        """Return the cells of the confusion matrix that are not 0, in order of their counts."""
        classes = len(self.class_names)
        cells, counts = np.unique(self.labels * classes + self.predicted, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return [
            Confusion(*divmod(int(cells[place]), classes), int(counts[place])) for place in order
        ]

    def matrix(self) -> Integers:
        """Return the confusion matrix: true classes in rows, predicted ones in columns."""
        matrix = np.zeros((len(self.class_names),) * 2, dtype=np.int64)
        np.add.at(matrix, (self.labels, self.predicted), 1)
        return matrix

    def classes(self) -> Classes:
        """Return what scikit-learn measures of each class."""
        from sklearn.metrics import precision_recall_fscore_support

        every = np.arange(len(self.class_names))
        measures = precision_recall_fscore_support(
            self.labels, self.predicted, labels=every, zero_division=np.nan
        )
        return Classes(*measures)

    def calibration(self) -> Calibration:
        """Return how often the network is right, beside how certain it is."""
        place = np.minimum((self.certainty * BINS).astype(np.int64), BINS - 1)
        count = np.bincount(place, minlength=BINS)
        filled = np.where(count > 0, count, np.nan)
        probability = np.bincount(place, self.certainty, minlength=BINS) / filled
        accuracy = np.bincount(place, ~self.wrong, minlength=BINS) / filled
        share = count / count.sum()
        error = float(np.nansum(share * np.abs(accuracy - probability)))
        return Calibration(count, probability, accuracy, error)


def measure(network: Network, test: Dataset) -> Measured:
    """Carry the images through the network, some at a time.

    Raises
    ------
    InvalidInput
        Labels that are no class indices, no images, ones that do not fit the network, or
        outputs that are NaN.
    DataError
        Classes that the network does not know, or a file that cannot be read.
    """
    if network.target_scaling is not None:
        rule = "tell classes apart (write_regression_report is for numbers)"
        raise invalid("network", rule, "one with a target_scaling")
    labels = np.asarray(test.labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        rule = "be the classes of images, integers of shape (N,)"
        raise invalid("test.labels", rule, f"dtype {labels.dtype} and shape {labels.shape}")
    if len(labels) != test.images.shape[0]:
        rule = f"hold a label for each of the {test.images.shape[0]} images"
        raise invalid("test.labels", rule, len(labels))
    if not len(labels):
        raise invalid("test", "hold at least one image", "none")
    names = network.class_names
    if names is not None and tuple(test.class_names) != names:
        test = test.with_classes(names)
    elif names is None:
        names = tuple(test.class_names)
    classes = test.labels.astype(np.int64)
    images = network.as_source(test.images, "test.images")
    targets = network.as_targets(classes, len(classes), "test.labels")
    network.warn_of_range(images, "test.images")
    parts = []
    for part, outputs in network.forward_batches(images):
        losses = network.losses_of(outputs, targets[part])
        given = network.loss.prediction(outputs)
        if network.outputs == 1:
            given = given.astype(np.float64)
            given = np.hstack([1 - given, given])
        predicted = network.classes_of(outputs)
        every = np.arange(len(outputs))
        of_both = given[every, predicted], given[every, classes[part]]
        parts.append((predicted, *(values.astype(np.float64) for values in of_both), losses))
    predicted, certainty, given_true, losses = map(np.concatenate, zip(*parts, strict=True))
    if not np.isfinite(certainty).all():
        raise invalid("network", "have finite outputs for the test images", "NaN or infinity")
    return Measured(
        names,
        classes,
        predicted,
        certainty,
        given_true,
        float(np.average(losses)),
        not isinstance(network.loss, SquaredError),
    )


def together(parts: Sequence[Measured]) -> Measured:
    """Return what was measured of several parts' images as of one."""
    counts = [len(part.labels) for part in parts]
    return replace(
        parts[0],
        labels=np.concatenate([part.labels for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        certainty=np.concatenate([part.certainty for part in parts]),
        given_true=np.concatenate([part.given_true for part in parts]),
        loss=float(np.average([part.loss for part in parts], weights=counts)),
    )
