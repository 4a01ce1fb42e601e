"""What a notebook shows of a network, a set of images, a training and a backward pass.

Tables without a script: colours are the notebook's own, light or dark, and rules are a grey that
is seen on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convprop.brief import cut
from convprop.layers import shape_text
from convprop.shown import escape

if TYPE_CHECKING:
    from convprop.data.dataset import Dataset, Split
    from convprop.network import Network
    from convprop.passes import Backpropagation
    from convprop.training.records import History

HEAD, TAIL = 6, 6
"""How many rows of a long table are shown at its beginning and at its end."""

# Stronger than the rules that notebooks have for all tables.
_STYLE = """
table.convprop-table { border-collapse: collapse; border: 0; color: inherit; font-size: inherit;
  margin: 0.3em 0 0.6em; }
table.convprop-table td, table.convprop-table th { padding: 0.15em 0.8em; border: 0;
  border-bottom: 1px solid rgba(128, 128, 128, 0.35); text-align: left; }
"""
_RIGHT = ' style="text-align: right"'

Cell = str | int | float | None


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]], words: int) -> str:
    """Return a table that can be folded; of many rows the first and the last ones.

    Parameters
    ----------
    caption : str
    headings : sequence of str
    rows : sequence of sequences
        None is left empty.
    words : int
        How many columns, from the first, are set to the left; numbers stand to the right.
    """
    lines = [_row("td", [_text(value) for value in row], words) for row in rows]
    hidden = len(rows) - HEAD - TAIL
    if hidden > 1:
        more = f'<td colspan="{len(headings)}">... {hidden:,} more ...</td>'
        lines[HEAD:-TAIL] = [f"<tr>{more}</tr>"]
    head = _row("th scope='col'", headings, words)
    return (
        f"<details open><summary>{escape(caption)}</summary><style>{_STYLE}</style>"
        f'<table class="convprop-table"><thead>{head}</thead>'
        f"<tbody>{''.join(lines)}</tbody></table></details>"
    )


def _row(tag: str, texts: Sequence[str], words: int) -> str:
    cells = (
        f"<{tag}{_RIGHT if text and place >= words else ''}>{escape(cut(text))}</{tag[:2]}>"
        for place, text in enumerate(texts)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _text(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:z#.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return value or ""


def network(net: Network) -> str:
    """Return a table of layers, output shapes, parameters and multiply-adds of an image."""
    nodes = net.graph.nodes
    rows: list[list[Cell]] = [["input", "", shape_text(net.graph.input), None, None]]
    for place, node in enumerate(nodes):
        counts = node.weights or None, node.multiply_adds or None
        what = f"{node.layer!r}{net.graph.reads_text(place)}"
        rows.append([node.name, what, shape_text(node.output), *counts])
    totals = sum(node.weights for node in nodes), sum(node.multiply_adds for node in nodes)
    rows.append(["total", "", "", *totals])
    headings = ("Layer", "", "Output", "Parameters", "Multiply-adds")
    return table(f"Network: {net.loss!r}, {net.dtype}", headings, rows, 3)


def dataset(data: Dataset) -> str:
    """Return a table of the classes and of how many images each has."""
    counts = np.bincount(data.labels, minlength=len(data.class_names)).tolist()
    shares = (f"{100 * count / max(len(data), 1):.1f} %" for count in counts)
    rows = list(zip(data.class_names, counts, shares, strict=True))
    what = f"{len(data):,} images of {shape_text(data.image_shape)}, {data.images.dtype}"
    return table(f"{what}, in {cut(data.name)}", ("Class", "Images", "Share"), rows, 1)


def split(parts: Split) -> str:
    """Return the tables of both parts."""
    return dataset(parts.train) + dataset(parts.test)


def history(records: History) -> str:
    """Return a table of the epochs, without what was not measured."""
    columns: dict[str, list[Cell]] = {
        "Epoch": [record.epoch for record in records],
        "Loss": [record.loss for record in records],
        "Accuracy": [_percent(record.accuracy) for record in records],
        "Validation loss": [record.validation_loss for record in records],
        "Validation accuracy": [_percent(record.validation_accuracy) for record in records],
        "Learning rate": [f"{record.learning_rate:.4g}" for record in records],
        "Seconds": [f"{record.seconds:.2f}" for record in records],
    }
    measured = {name: values for name, values in columns.items() if set(values) != {None}}
    rows = list(zip(*measured.values(), strict=True))
    caption = f"Training: {len(records):,} epochs, {records.steps:,} steps"
    if records.best_epoch is not None:
        caption += f"; the weights are those of epoch {records.best_epoch:,}"
    return table(caption, list(measured), rows, 0)


def _percent(part: float | None) -> str | None:
    return None if part is None else f"{100 * part:.2f} %"


def backpropagation(done: Backpropagation) -> str:
    """Return a table of the layers: shapes, and how large their numbers are."""
    parts = list(dict.fromkeys(part for went in done.layers for part in went.gradients))
    headings = (
        "Layer",
        "Output",
        "RMS of output",
        "RMS of delta",
        *(f"RMS of {part}'s gradient" for part in parts),
    )
    rows = [
        [
            went.name,
            shape_text(went.output.shape[1:]),
            _rms(went.output),
            _rms(went.delta),
            *(_rms(went.gradients.get(part)) for part in parts),
        ]
        for went in done.layers
    ]
    count = len(done.input_delta)
    caption = f"Backpropagation: loss {done.loss:.6g}, {count:,} images"
    return table(caption, headings, rows, 2)


def _rms(array: Any) -> float | None:
    if array is None:
        return None
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
