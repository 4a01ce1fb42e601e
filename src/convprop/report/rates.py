"""A sweep of learning rates as a chart, and as lines of text."""

from __future__ import annotations

import numpy as np

from convprop.report.chart import Chart, Floats, Series, axis_for, line_chart
from convprop.training.rate_finder import RateCurve

# Of the smoothed loss before its smallest value: a loss that grows without end would press the
# rest flat.
_TALLEST = 1.3

_ROWS, _LABEL = 12, 9

FEWEST_COLUMNS = 30
"""Of the lines of text: so much the numbers below the plot need."""


def rate_chart(curve: RateCurve) -> Chart:
    """Return the loss of each step, their smooth course, and the rate that is suggested."""
    losses, smoothed = _visible(curve)
    series = [
        Series("loss", curve.rates, losses, "faint", width=1.0),
        Series("smoothed", curve.rates, smoothed, "first"),
    ]
    marked, words = None, "No rate is suggested."
    if curve.suggestion is not None:
        marked = (curve.suggestion, f"suggested: {curve.suggestion:g}")
        words = f"The suggested rate is {curve.suggestion:g}."
    lowest = curve.rates[np.argmin(curve.smoothed)]
    description = (
        f"The loss at learning rates from {curve.rates[0]:.3g} to {curve.rates[-1]:.3g};"
        f" smoothed it is smallest at {lowest:.3g}. {words}"
    )
    return line_chart(
        "Loss by learning rate",
        description,
        series,
        axis_for(curve.rates, logarithmic=True, exact=True),
        axis_for(np.concatenate([losses, smoothed])),
        "learning rate",
        marked,
    )


def _visible(curve: RateCurve) -> tuple[Floats, Floats]:
    """Return losses, each step's and smoothed, NaN in the place of those far above the rest."""
    before = curve.smoothed[: np.argmin(curve.smoothed) + 1]
    limit = before.min() + _TALLEST * max(float(np.ptp(before)), float(curve.losses.std()) * 0.01)
    losses, smoothed = (
        np.where(values <= limit, values, np.nan) for values in (curve.losses, curve.smoothed)
    )
    return losses, smoothed


def rate_text(curve: RateCurve, columns: int) -> list[str]:
    """Return a plot of the smoothed loss in lines of so many characters, FEWEST_COLUMNS or more."""
    _, smoothed = _visible(curve)
    across = axis_for(curve.rates, logarithmic=True, exact=True)
    up = axis_for(smoothed)
    width = columns - _LABEL - 1
    rows = [[" "] * width for _ in range(_ROWS)]
    marked = None
    if curve.suggestion is not None:
        marked = round(float(across.place(curve.suggestion)) * (width - 1))
        for row in rows:
            row[marked] = ":"
    # Between two steps too, so that the line has no gaps.
    places = np.linspace(0, len(smoothed) - 1, 4 * width)
    between = np.interp(places, np.arange(len(smoothed)), smoothed)
    rates = np.interp(places, np.arange(len(smoothed)), across.place(curve.rates))
    for x, loss in zip(rates, between, strict=True):
        if np.isfinite(loss):
            down = round((1 - float(up.place(loss))) * (_ROWS - 1))
            rows[down][round(float(x) * (width - 1))] = "*"
    ticks = {round((1 - float(up.place(v))) * (_ROWS - 1)): text for v, text in up.ticks()}
    lines = [
        f"{ticks.get(number, ''):>{_LABEL - 1}} |{''.join(row)}".rstrip()
        for number, row in enumerate(rows)
    ]
    lines.append(" " * _LABEL + "+" + "-" * width)
    numbers = [" "] * (width + 1)
    for value, text in across.ticks():
        start = round(float(across.place(value)) * (width - 1)) - len(text) // 2 + 1
        start = min(max(start, 0), width - len(text) + 1)
        room = slice(max(start - 1, 0), start + len(text) + 1)
        if not "".join(numbers[room]).strip():
            numbers[start : start + len(text)] = text
    lines.append((" " * _LABEL + "".join(numbers)).rstrip())
    return lines
