"""The report's charts: curves of the training, and how certainty and accuracy go together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convprop.records import EpochRecord, History
from convprop.report.chart import (
    BOTTOM,
    Axis,
    Bar,
    Chart,
    Path,
    Plane,
    Series,
    Words,
    axis_for,
    line_chart,
    name_line,
)
from convprop.report.measure import BINS, Calibration

# From so great a ratio on a logarithmic axis shows more of a loss.
_WIDE = 30.0


def loss_chart(history: History) -> Chart:
    """Return training and validation loss over the epochs."""
    return _curves(history, "loss", "Loss")


def accuracy_chart(history: History) -> Chart:
    """Return training and validation accuracy over the epochs."""
    return _curves(history, "accuracy", "Accuracy")


def _curves(history: History, measure: str, title: str) -> Chart:
    epochs = np.array([record.epoch for record in history], dtype=np.float64)
    series = [Series("training", epochs, _column(history, measure), "first")]
    held_out = _column(history, f"validation_{measure}")
    if np.isfinite(held_out).any():
        series.append(Series("validation", epochs, held_out, "second", dashed=True))
    values = np.concatenate([line.y for line in series])
    finite = values[np.isfinite(values)]
    wide = measure == "loss" and finite.size > 0 and 0 < finite.min() * _WIDE < finite.max()
    up = axis_for(values, logarithmic=wide, percent=measure == "accuracy")
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
