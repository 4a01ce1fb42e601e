"""The parts that every report has, from a network and its history to HTML."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from itertools import compress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convprop.machine.native import engine
from convprop.machine.processors import processor_name
from convprop.machine.threads import get_num_threads
from convprop.network import Network
from convprop.report.chart import Chart, thinned
from convprop.report.charts import curve_chart
from convprop.report.html import (
    Pair,
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
from convprop.report.pictures import coarse, data_url, picture, pixels, value_range
from convprop.report.svg import svg
from convprop.report.words import counted, duration, percent, plain, setting
from convprop.shown import escape
from convprop.training.records import History
from convprop.version import version

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE_SIDE = 144
"""About how many pixels the longer side of an image's picture has."""


def training_figures(network: Network, history: History, test_images: int) -> list[Pair]:
    """Return the numbers of a training that come after those of what it came to."""
    # That of the interrupted training before it is not known.
    time = "time since it went on" if history.resumed else "training time"
    figures: list[Pair] = [
        ("parameters", f"{sum(array.size for array in network.parameters.values()):,}"),
        ("epochs", f"{len(history):,}"),
        ("steps", f"{history.steps:,}"),
        (time, duration(history.seconds)),
    ]
    if history.images:
        figures.append(("training images", f"{history.images:,}"))
        figures.append(("validation images", f"{history.held_out:,}" if history.held_out else "–"))
    figures.append(("test images", f"{test_images:,}"))
    return figures


def course_words(network: Network, history: History) -> Safe:
    """Say how the training went, where it did not go to its last epoch in one run."""
    planned = (network.training_settings or {}).get("epochs", 0)
    # A network can have been trained once more since.
    of = f"{len(history):,} of " if planned >= len(history) else ""
    after = f"after {of}{counted(max(planned, len(history)), 'epoch')}"
    sentences = []
    if history.resumed:
        steps = counted(history.resumed, "step")
        sentences.append(
            f"The training had been interrupted, and went on after {steps}, from a checkpoint."
        )
    if history.interrupted:
        sentences.append(f"The training was interrupted {after}.")
    elif history.stopped_by_hook:
        sentences.append(f"The training was ended by a hook {after}.")
    elif history.stopped:
        sentences.append(f"The training was ended by early stopping {after}.")
    if history.best_epoch is not None:
        sentences.append(f"The weights are those of epoch {history.best_epoch}, the best one.")
    return paragraph(" ".join(sentences), kind="course") if sentences else Safe()


def curves_section(history: History) -> Safe:
    """Return loss and accuracy over the epochs, drawn and as a table."""
    if not history:
        return section("curves", "Curves", paragraph("No epoch was finished."))
    charts = [drawn(curve_chart(history, "loss"), "loss")]
    with_accuracy = any(
        accuracy is not None
        for record in history
        for accuracy in (record.accuracy, record.validation_accuracy)
    )
    if with_accuracy:
        charts.append(drawn(curve_chart(history, "accuracy"), "accuracy"))
    measured = "Loss and accuracy of the training images are" if with_accuracy else "The loss is"
    notes = [f"{measured} measured on each batch before its step"]
    if all(record.validation_loss is None for record in history):
        notes.append("; no images were held out for validation")
    every = [
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
    some = f"{len(every)} of {len(history)} epochs" if len(every) < len(history) else "Every epoch"
    names = ("epoch", "loss", "accuracy", "val. loss", "val. accuracy", "learning rate", "time")
    shown = [with_accuracy or "accuracy" not in name for name in names]
    head, *rows = (list(compress(line, shown)) for line in (names, *every))
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


def gallery(images: Any, rows: NDArray[np.int64]) -> list[Image]:
    """Return pictures of some images, which may come from a stream, in one range of values."""
    shown = [coarse(images[rows[n : n + 1]][0], PICTURE_SIDE) for n in range(len(rows))]
    low, high = value_range(np.stack(shown))
    return [picture(pixels(one, low, high), PICTURE_SIDE) for one in shown]


def answered(
    drawing: Image, alternative: str, origin: str, lines: Sequence[tuple[str, str, str]]
) -> Safe:
    """Return an image's picture over lines of what is said of it: words, an answer, a number."""
    caption = Safe(
        "".join(
            f'<div title="{escape(answer)}">{what} {strong(answer)}</div>'
            f"<span>{escape(number)}</span>"
            for what, answer, number in lines
        )
        + f'<small title="{escape(origin)}">{escape(PurePath(origin).name)}</small>'
    )
    return figure(image(data_url(drawing), alternative, *drawing.size), caption)


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


def origin_section(network: Network, settings: dict[str, object]) -> Safe:
    """Return what made this: versions, machine, and the hash that a repetition must give.

    The network's seed is among them where the settings do not tell one.
    """
    rows: list[Pair] = [
        ("weights SHA-256", Safe(f"<code>{network.weights_sha256()}</code>")),
        ("convprop", version()),
        ("Python", platform.python_version()),
        ("NumPy", np.__version__),
        ("system", platform.system()),
        ("processor", processor_name()),
        ("instruction set", engine.isa),
        ("threads", get_num_threads()),
        *([] if "seed" in settings else [("seed", network.seed)]),
    ]
    return section("origin", "Weights and versions", definitions(rows, "pairs"))
