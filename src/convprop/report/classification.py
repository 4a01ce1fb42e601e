"""What a report says of a classifier, from what was measured to HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convprop.data.dataset import Dataset
from convprop.network import Network
from convprop.report.charts import reliability_chart
from convprop.report.html import (
    Pair,
    Safe,
    definitions,
    details,
    paragraph,
    section,
    strong,
    table,
)
from convprop.report.measure import BINS, Measured
from convprop.report.sections import answered, drawn, gallery, training_figures
from convprop.report.words import counted, percent, plain
from convprop.training.records import History

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_MISTAKES = 24
MOST_CLASSES = 30
MOST_LISTED = 1000


def key_figures(measured: Measured, network: Network, history: History) -> Safe:
    """Return the numbers that come first."""
    low, high = measured.accuracy_interval()
    wrong = int(measured.wrong.sum())
    figures: list[Pair] = [
        ("accuracy", percent(measured.accuracy)),
        ("95 % interval", f"{100 * low:.2f}–{100 * high:.2f} %"),
        ("mistakes", f"{wrong:,} of {len(measured.labels):,}"),
        ("loss", plain(measured.loss)),
    ]
    if measured.probabilities:
        figures.append(("calibration error", percent(measured.calibration().error)))
    figures += training_figures(network, history, len(measured.labels))
    return definitions(figures, "figures")


def classes_section(measured: Measured) -> Safe:
    """Return precision, recall and F1 of each class; of many, the worst ones first."""
    measures = measured.classes()
    classes = len(measured.class_names)

    def row(place: int) -> tuple[str, ...]:
        values = (percent(float(each[place]), "") for each in measures[:3])
        return measured.name(place), *values, f"{int(measures.support[place]):,}"

    # NaN only where there is nothing to measure, not even for this mean.
    means = [float(np.nanmean(values)) for values in (measures.precision, measures.recall)]
    f1 = measures.f1[measures.support > 0]
    mean = ("mean", *(percent(value, "") for value in (*means, float(np.mean(f1)))), "")
    head = ("class", "precision", "recall", "F1", "images")
    caption = "Precision, recall and F1 of each class, in %"
    if classes <= MOST_CLASSES:
        rows = [*map(row, range(classes)), mean]
        return section("classes", "Classes", table(caption, head, rows, "last"))
    order = np.argsort(np.where(measures.support > 0, measures.f1, np.inf), kind="stable")
    worst = list(map(row, order[:MOST_CLASSES].tolist()))
    # Of classes that neither an image nor an answer is of there is nothing to say.
    found = np.union1d(measured.labels, measured.predicted).tolist()
    listed = range(classes) if classes <= MOST_LISTED else found[:MOST_LISTED]
    which = f"All {classes:,} classes"
    if classes > MOST_LISTED:
        which = f"{len(listed):,} of the {len(found):,} classes that occur, of {classes:,}"
    return section(
        "classes",
        "Classes",
        table(
            f"The {MOST_CLASSES} classes with the lowest F1; all in %", head, [*worst, mean], "last"
        ),
        details(which, table(caption, head, map(row, listed))),
    )


def mistakes_section(measured: Measured, test: Dataset) -> Safe:
    """Return pictures of the mistakes that the network was most certain of."""
    rows = measured.mistakes(MOST_MISTAKES)
    if not len(rows):
        return section("mistakes", "Mistakes", paragraph("The network made none."))
    figures = [
        _mistake(measured, int(row), drawing, test)
        for row, drawing in zip(rows, gallery(test.images, rows), strict=True)
    ]
    wrong = int(measured.wrong.sum())
    some = f"{len(rows)} of " if len(rows) < wrong else ""
    order = ", the one first that the network was most certain of" if wrong > 1 else ""
    return section(
        "mistakes",
        "Most confident mistakes",
        paragraph(f"{some}{counted(wrong, 'mistake')}{order}."),
        f'<div class="mistakes">\n{"".join(figures)}\n</div>',
    )


def _mistake(measured: Measured, row: int, drawing: Image, test: Dataset) -> Safe:
    true, taken = measured.name(measured.labels[row]), measured.name(measured.predicted[row])
    given = percent if measured.probabilities else plain
    origin = f"image {row}" if test.image_names is None else test.image_names[row]
    lines = (
        ("taken for", taken, given(float(measured.certainty[row]))),
        ("is", true, given(float(measured.given_true[row]))),
    )
    return answered(drawing, f"{origin}: {true}, taken for {taken}", origin, lines)


def calibration_section(measured: Measured) -> Safe:
    """Return how often the network is right where it says how probable that is."""
    if not measured.probabilities:
        why = "The network's loss is the squared error: its outputs are no probabilities."
        return section("calibration", "Calibration", paragraph(why))
    calibration = measured.calibration()
    rows = [
        (
            f"{100 * number // BINS} to {100 * (number + 1) // BINS} %",
            f"{calibration.count[number]:,}",
            percent(float(calibration.probability[number])),
            percent(float(calibration.accuracy[number])),
        )
        for number in range(BINS)
    ]
    head = ("probability", "images", "mean probability", "accuracy")
    return section(
        "calibration",
        "Calibration",
        paragraph(
            "Expected calibration error: ",
            strong(percent(calibration.error)),
            ", the mean distance between how probable the network called its answers and how"
            " often they were right. Bars below the line: too certain; above: not certain"
            " enough. The numbers are images.",
        ),
        drawn(reliability_chart(calibration), "reliability"),
        details("The bins as a table", table("Bins of probability", head, rows)),
    )
