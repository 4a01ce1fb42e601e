"""The report's charts: curves of the training, and how predictions and the truth go together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from convprop.report.chart import (
    BOTTOM,
    LEFT,
    TOP,
    Axis,
    Bar,
    Chart,
    Dot,
    Floats,
    Path,
    Plane,
    Series,
    Words,
    axis_for,
    line_chart,
    name_line,
    thinned,
)
from convprop.report.measure import BINS, Calibration
from convprop.report.words import magnitude, told_apart
from convprop.training.records import EpochRecord, History

# From so great a ratio on a logarithmic axis shows more of a loss.
_WIDE = 30.0

# A range so many times as near to 0 as it is wide is drawn about a number near to it.
_MUCH_ALIKE = 2e4

_ERROR_BINS = 21
"""An odd number, so that one bin is about 0."""


def curve_chart(history: History, measure: Literal["loss", "accuracy"]) -> Chart:
    """Return what was measured in training and validation over the epochs."""
    epochs = np.array([record.epoch for record in history], dtype=np.float64)
    series = [Series("training", epochs, _column(history, measure), "first")]
    held_out = _column(history, f"validation_{measure}")
    if np.isfinite(held_out).any():
        series.append(Series("validation", epochs, held_out, "second", dashed=True))
    values = np.concatenate([line.y for line in series])
    finite = values[np.isfinite(values)]
    wide = measure == "loss" and finite.size > 0 and 0 < finite.min() * _WIDE < finite.max()
    up = axis_for(values, logarithmic=wide, percent=measure == "accuracy")
    title = f"{measure.capitalize()}{' (logarithmic axis)' if wide else ''}"
    best = history.best_epoch
    return line_chart(
        title,
        _in_words(series, percent=measure == "accuracy"),
        series,
        axis_for(epochs, whole=True, exact=True),
        up,
        "epoch",
        None if best is None else (float(best), "kept"),
    )


def _column(history: Sequence[EpochRecord], name: str) -> np.ndarray:
    values = (getattr(record, name) for record in history)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _in_words(series: list[Series], percent: bool) -> str:
    """Say where each line begins and ends."""
    parts = []
    for line in series:
        finite = line.y[np.isfinite(line.y)]
        if finite.size:
            first, last = (f"{v:.1%}" if percent else f"{v:.4g}" for v in finite[[0, -1]])
            parts.append(f"{line.name} from {first} to {last}")
    return f"Over {len(series[0].x)} epochs: {', '.join(parts)}."


def reliability_chart(calibration: Calibration) -> Chart:
    """Return the accuracy in each bin of probability, beside the diagonal where they agree."""
    chart = Chart("Reliability diagram", _bins_in_words(calibration), height=300.0)
    part = Axis(0.0, 1.0, percent=True)
    plane = Plane(chart, part, part, "probability of the predicted class")
    bottom = chart.height - BOTTOM
    for bin_, accuracy in enumerate(calibration.accuracy):
        if math.isfinite(accuracy):
            left, right = (plane.x(edge / BINS) for edge in (bin_, bin_ + 1))
            top = plane.y(float(accuracy))
            chart.marks.append(Bar(left + 1, top, right - left - 2, bottom - top, "faint"))
            chart.marks.append(Path([(left + 1, top), (right - 1, top)], "first", width=3))
            images = _short(int(calibration.count[bin_]))
            chart.marks.append(Words((left + right) / 2, bottom - 6, images, "middle", "ink"))
    ends = [(plane.x(end), plane.y(end)) for end in (0.0, 1.0)]
    chart.marks.append(Path(ends, "second", dashed=True, width=1.5))
    name_line(chart, plane.x(0), "accuracy", "first", dashed=False)
    name_line(chart, plane.x(0) + 100, "where both agree", "second", dashed=True)
    return chart


def agreement_chart(title: str, true: Floats, predicted: Floats) -> Chart:
    """Return a dot for each image, true value across and prediction up, and where both agree."""
    shown = thinned(len(true))
    spread = float(true.std())
    ends_in_words = [told_apart(float(n), spread) for n in _range(true) + _range(predicted)]
    # The axes have room for six digits, in which 1.7e9 + 10 and + 20 are the same.
    base, label = _base(true, predicted), "true value"
    if base:
        true, predicted = true - base, predicted - base
        label += f" {'−' if base > 0 else '+'} {abs(base):,.17g}"
    axis = axis_for(np.concatenate([true, predicted]))
    some = "" if len(shown) == len(true) else f" {len(shown)} of them are drawn."
    description = (
        f"{len(true):,} images with true values from {ends_in_words[0]} to {ends_in_words[1]} and"
        f" predictions from {ends_in_words[2]} to {ends_in_words[3]}.{some}"
    )
    chart = Chart(title, description, height=300.0)
    plane = Plane(chart, axis, axis, label)
    ends = [(plane.x(end), plane.y(end)) for end in (axis.low, axis.high)]
    chart.marks.extend(
        Dot(plane.x(x), plane.y(y), "first", 2.0)
        for x, y in zip(true[shown], predicted[shown], strict=True)
    )
    chart.marks.append(Path(ends, "second", dashed=True, width=1.5))
    chart.marks.append(Dot(LEFT + 4, 12, "first"))
    chart.marks.append(Words(LEFT + 12, 16, "predicted", "start", "ink"))
    name_line(chart, LEFT + 100, "where both agree", "second", dashed=True)
    return chart


def _range(values: Floats) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _base(*values: Floats) -> float:
    """Return a round number to count from where numbers are much alike, else 0."""
    low, high = _range(np.concatenate(values))
    if not 0 < high - low < (abs(low) + abs(high)) / _MUCH_ALIKE:
        return 0.0
    step = 10.0 ** (magnitude(high - low) + 1)
    return round((low + high) / 2 / step) * step


def error_chart(title: str, errors: Floats) -> Chart:
    """Return how many images have which error, predicted less true."""
    reach = float(np.abs(errors).max()) or 1.0
    count, edges = np.histogram(errors, _ERROR_BINS, (-reach, reach))
    low, high = np.quantile(errors, [0.25, 0.75])
    description = (
        f"Half of the errors of {len(errors):,} images lie between {low:.4g} and {high:.4g}, all"
        f" between {errors.min():.4g} and {errors.max():.4g}."
    )
    chart = Chart(title, description)
    across = Axis(-reach, reach)
    plane = Plane(
        chart, across, axis_for(np.array([0.0, count.max()]), whole=True), "predicted − true"
    )
    bottom = chart.height - BOTTOM
    for images, left, right in zip(count, edges[:-1], edges[1:], strict=True):
        if images:
            top, start = plane.y(images), plane.x(left)
            width = plane.x(right) - start - 1
            chart.marks.append(Bar(start + 0.5, top, width, bottom - top, "first"))
    middle = plane.x(0.0)
    chart.marks.append(Path([(middle, TOP), (middle, bottom)], "ink", dashed=True))
    chart.marks.append(Words(LEFT, 16, "images", "start", "ink"))
    return chart


def _short(count: int) -> str:
    """Return a count in at most four characters."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if count >= 10 * size:
            return f"{count // size}{letter}"
    return str(count)


def _bins_in_words(calibration: Calibration) -> str:
    bins = [
        f"{number * 100 // BINS} to {(number + 1) * 100 // BINS} percent: right"
        f" {accuracy:.1%} of {images}"
        for number, (accuracy, images) in enumerate(
            zip(calibration.accuracy, calibration.count, strict=True)
        )
        if images
    ]
    return f"Accuracy by the predicted class's probability. {'; '.join(bins)}."
