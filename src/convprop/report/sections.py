"""The parts of a report, from what was measured to HTML."""

from __future__ import annotations

import platform
from html import escape
from pathlib import PurePath

import numpy as np

from convprop._native import engine
from convprop.data.dataset import Dataset
from convprop.network import Network
from convprop.processors import processor_name
from convprop.records import History
from convprop.report.chart import Chart, thinned
from convprop.report.charts import accuracy_chart, loss_chart, reliability_chart
from convprop.report.html import (
    Safe,
    definitions,
    details,
    figure,
    image,
    paragraph,
    scrolling,
    section,
    strong,
    table,
)
from convprop.report.kernels import first_kernels
from convprop.report.measure import BINS, Measured
from convprop.report.pictures import coarse, data_url, picture, pixels, value_range
from convprop.report.svg import svg
from convprop.report.words import counted, duration, percent, plain, setting
from convprop.threads import get_num_threads

MOST_MISTAKES = 24
MOST_CLASSES = 30
_MISTAKE_SIDE = 144


def key_figures(measured: Measured, network: Network, history: History) -> Safe:
    """Return the numbers that come first."""
    low, high = measured.accuracy_interval()
    wrong = int(measured.wrong.sum())
    figures: list[tuple[object, object]] = [
        ("accuracy", percent(measured.accuracy)),
        ("95 % interval", f"{100 * low:.2f}–{100 * high:.2f} %"),
        ("mistakes", f"{wrong:,} of {len(measured.labels):,}"),
        ("loss", plain(measured.loss)),
    ]
    if measured.probabilities:
        figures.append(("calibration error", percent(measured.calibration().error)))
    parameters = sum(array.size for array in network.parameters.values())
    figures += [
        ("parameters", f"{parameters:,}"),
        ("epochs", f"{len(history):,}"),
        ("steps", f"{history.steps:,}"),
        ("training time", duration(sum(record.seconds for record in history))),
    ]
    return definitions(figures, "figures")


def curves_section(history: History) -> Safe:
    """Return loss and accuracy over the epochs, drawn and as a table."""
    if not history:
        return section("curves", "Curves", paragraph("No epoch was finished."))
    charts = [drawn(loss_chart(history), "loss")]
    if history[-1].accuracy is not None:
        charts.append(drawn(accuracy_chart(history), "accuracy"))
    notes = ["Loss and accuracy of the training images are measured on each batch before its step"]
    if all(record.validation_loss is None for record in history):
        notes.append("; no images were held out for validation")
    if history.interrupted:
        notes.append("; the training was interrupted")
    elif history.stopped:
        notes.append("; the training was stopped early")
    if history.best_epoch is not None:
        notes.append(f"; the weights are those of epoch {history.best_epoch}")
    rows = [
        (
            record.epoch,
            plain(record.loss),
            percent(record.accuracy),
            plain(record.validation_loss),
            percent(record.validation_accuracy),
            f"{record.learning_rate:.3g}",
            duration(record.seconds),
        )
        for record in (history[place] for place in thinned(len(history)))
    ]
    some = f"{len(rows)} of {len(history)} epochs" if len(rows) < len(history) else "Every epoch"
    head = ("epoch", "loss", "accuracy", "val. loss", "val. accuracy", "learning rate", "time")
    return section(
        "curves",
        "Curves",
        f'<div class="charts">\n{"".join(charts)}\n</div>',
        paragraph(*notes, "."),
        details(f"{some} as a table", table("Epochs", head, rows)),
    )


def drawn(chart: Chart, identifier: str) -> Safe:
    """Return a chart under its title."""
    title = f'<h3 id="{identifier}">{escape(chart.title)}</h3>'
    return figure(f"{title}\n{svg(chart, identifier)}", kind="chart")


def classes_section(measured: Measured) -> Safe:
    """Return precision, recall and F1 of each class; of many, the worst ones first."""
    measures = measured.classes()
    every = list(zip(*measures.__dict__.values(), strict=True))
    rows = [
        (name, *(percent(value, "") for value in (p, r, f)), f"{int(support):,}")
        for name, (p, r, f, support) in zip(measured.class_names, every, strict=True)
    ]
    # NaN only where there is nothing to measure, not even for this mean.
    means = [float(np.nanmean(values)) for values in (measures.precision, measures.recall)]
    f1 = measures.f1[measures.support > 0]
    mean = ("mean", *(percent(value, "") for value in (*means, float(np.mean(f1)))), "")
    head = ("class", "precision", "recall", "F1", "images")
    caption = "Precision, recall and F1 of each class, in %"
    if len(rows) <= MOST_CLASSES:
        return section("classes", "Classes", table(caption, head, [*rows, mean], "last"))
    order = np.argsort(np.where(measures.support > 0, measures.f1, np.inf), kind="stable")
    worst = [rows[place] for place in order[:MOST_CLASSES]]
    return section(
        "classes",
        "Classes",
        table(
            f"The {MOST_CLASSES} classes with the lowest F1; all in %", head, [*worst, mean], "last"
        ),
        details(f"All {len(rows):,} classes", table(caption, head, rows)),
    )


def mistakes_section(measured: Measured, test: Dataset) -> Safe:
    """Return pictures of the mistakes that the network was most certain of."""
    rows = measured.mistakes(MOST_MISTAKES)
    if not len(rows):
        return section("mistakes", "Mistakes", paragraph("The network made none."))
    shown = np.stack(
        [coarse(test.images[rows[n : n + 1]][0], _MISTAKE_SIDE) for n in range(len(rows))]
    )
    low, high = value_range(shown)
    figures = [
        _mistake(measured, int(row), pixels(image, low, high), test)
        for row, image in zip(rows, shown, strict=True)
    ]
    wrong = int(measured.wrong.sum())
    number = counted(wrong, "mistake")
    some = f"All {number}" if len(rows) == wrong else f"{len(rows)} of {number}"
    return section(
        "mistakes",
        "Most confident mistakes",
        paragraph(f"{some}; of the first ones the network was most certain."),
        f'<div class="mistakes">\n{"".join(figures)}\n</div>',
    )


def _mistake(measured: Measured, row: int, shown: np.ndarray, test: Dataset) -> Safe:
    names = measured.class_names
    true, taken = names[measured.labels[row]], names[measured.predicted[row]]
    drawing = picture(shown, _MISTAKE_SIDE)
    given = percent if measured.probabilities else plain
    origin = f"image {row}" if test.image_names is None else test.image_names[row]
    lines = (("taken for", taken, measured.certainty), ("is", true, measured.given_true))
    caption = Safe(
        "".join(
            f'<div title="{escape(name)}">{what} {strong(name)}</div>'
            f"<span>{given(float(values[row]))}</span>"
            for what, name, values in lines
        )
        + f'<small title="{escape(origin)}">{escape(PurePath(origin).name)}</small>'
    )
    alternative = f"{origin}: {true}, taken for {taken}"
    return figure(image(data_url(drawing), alternative, *drawing.size), caption)


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


def layer_section(network: Network) -> Safe:
    """Return the first layer's weights as a picture."""
    kernels = first_kernels(network)
    if kernels is None:
        return section("kernels", "First layer", paragraph("No layer has weights."))
    what = "unit" if kernels.dense else "kernel"
    rows, columns = kernels.size
    number = counted(kernels.of, what)
    some = number if kernels.shown == kernels.of else f"{kernels.shown} of {number}"
    colours = (
        "red, green and blue are the weights of the three channels, grey is 0"
        if kernels.coloured
        else f"orange is above 0, blue below, full colour {kernels.largest:.3g}"
    )
    words = f"{some} of {kernels.layer}, {rows}×{columns} weights; {colours}."
    sheet = kernels.sheet
    alternative = f"The weights of {some} of the first layer, {kernels.layer}"
    shown = image(data_url(sheet), alternative, *sheet.size)
    return section("kernels", "First layer", figure(shown, words, "sheet"))


def network_section(network: Network) -> Safe:
    """Return the table of the layers."""
    lines = f"<pre>{escape(network.summary())}</pre>"
    return section("network", "Network", scrolling("Layers of the network", lines))


def settings_section(settings: dict[str, object]) -> Safe:
    """Return the settings as they were resolved."""
    rows = [(name.replace("_", " "), setting(value)) for name, value in settings.items()]
    return section("settings", "Settings", definitions(rows, "pairs"))


def origin_section(network: Network) -> Safe:
    """Return what made this: versions, machine, and the hash that a repetition must give."""
    from convprop import __version__

    rows: list[tuple[object, object]] = [
        ("weights SHA-256", Safe(f"<code>{network.weights_sha256()}</code>")),
        ("convprop", __version__),
        ("Python", platform.python_version()),
        ("NumPy", np.__version__),
        ("system", platform.system()),
        ("processor", processor_name()),
        ("instruction set", engine.isa),
        ("threads", get_num_threads()),
        ("seed", network.seed),
    ]
    return section("origin", "Weights and versions", definitions(rows, "pairs"))
