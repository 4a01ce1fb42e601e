"""The table that describes a network: shapes, parameters, multiply-adds and memory."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convprop.about.memory import training_memory
from convprop.checks import positive_integer
from convprop.errors import invalid
from convprop.graph import Graph
from convprop.layers import shape_text
from convprop.machine.threads import get_num_threads
from convprop.optimizers import Optimizer

if TYPE_CHECKING:
    from convprop.network import Network

WIDTH = 80
NARROWEST = 11
"""A column gives way no further."""
_NO_BREAK = "\N{NO-BREAK SPACE}"
_HEADINGS = ("Layer", "", "Output", "Parameters", "Multiply-adds", "Memory")


def summary(
    network: Network, batch_size: int | None, images: int | None, optimizer: Optimizer
) -> str:
    """Return what `Network.summary` does."""
    if batch_size is None and images is not None:
        raise invalid("images", "be None unless a batch_size is given", images)
    graph, itemsize = network.graph, network.dtype.itemsize
    parameters = sum(array.nbytes for array in network.parameters.values())
    shapes = f"{shape_text(graph.input)} -> {shape_text(graph.nodes[-1].output)}"
    facts = [f"{network.loss!r}", f"{network.dtype}", f"{parameters:,} B of parameters"]
    trained = sum(network.parameters[name].nbytes for name in graph.trained)
    if trained < parameters:
        facts.append(f"{trained:,} B of them trained")
    title = ", ".join([shapes, *facts])
    if len(title) > WIDTH:
        title = f"{', '.join([shapes, facts[0]])},\n{', '.join(facts[1:])}"
    lines = [title, "", *layers_table(graph, itemsize)]
    if batch_size is not None:
        size = positive_integer("batch_size", batch_size)
        count = size if images is None else positive_integer("images", images)
        lines += ["", *_training(network, optimizer, size, count)]
    return "\n".join(lines)


def layers_table(graph: Graph, itemsize: int) -> list[str]:
    """Return the lines of the first table, for numbers of ``itemsize`` bytes."""
    words = [("input", "", shape_text(graph.input))]
    numbers = [(0, 0, math.prod(graph.input) * itemsize)]
    for place, node in enumerate(graph.nodes):
        what = _whole_values(repr(node.layer)) + graph.reads_text(place)
        words.append((node.name, what, shape_text(node.output)))
        numbers.append((node.weights, node.multiply_adds, math.prod(node.output) * itemsize))
    words.append(("total", "", ""))
    parameters, adds, size = map(sum, zip(*numbers, strict=True))
    numbers.append((parameters, adds, size))
    rows = [
        (*row, _number(parameters), _number(adds), f"{size:,} B")
        for row, (parameters, adds, size) in zip(words, numbers, strict=True)
    ]
    return [line.replace(_NO_BREAK, " ") for line in table(_HEADINGS, rows, words=2, folded=1)]


def _whole_values(description: str) -> str:
    """Return a layer's description such that no line ends within a pair such as (2, 1)."""
    return re.sub(
        r"(?<=[= ])\w*\([^()]*\)", lambda found: found[0].replace(" ", _NO_BREAK), description
    )


def _training(network: Network, optimizer: Optimizer, batch_size: int, images: int) -> list[str]:
    memory = training_memory(network, optimizer, batch_size, images)
    batches = f"batches of {min(batch_size, images):,}, threads: {get_num_threads()}"
    rows = [
        ("this process before", memory.process),
        (f"images and labels ({images:,})", memory.images),
        (f"weights: copies, {optimizer.kind}", memory.weights),
        ("maps, deltas and gradients", memory.plan),
        ("at the peak", sum(memory)),
        ("to evaluate, besides", network.plan_bytes("predict")),
    ]
    width = max(len(f"{size:,} B") for _, size in rows)
    label = max(len(f"Training in {batches}"), *(len(name) for name, _ in rows))
    rule = "-" * (label + 2 + width)
    lines = [f"{name:<{label}}  {f'{size:,} B':>{width}}" for name, size in rows]
    title = f"{f'Training in {batches}':<{label}}  {'Memory':>{width}}"
    return [title, rule, *lines[:-2], rule, *lines[-2:]]


def _number(value: int) -> str:
    return f"{value:,}" if value else ""


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int, folded: int
) -> list[str]:
    """Return lines of aligned cells, with a rule below the headings and above the last row.

    The first ``words`` columns hold words, which begin together, the others numbers, which end
    together. Column ``folded`` goes on below where a line would be longer than 80, between words
    alone: one that is too long for the column has a line of its own, where there is room.
    """
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    room = WIDTH - sum(widths) + widths[folded] - 2 * (len(widths) - 1)
    widths[folded] = min(widths[folded], max(room, NARROWEST))
    blocks = []
    for row in (headings, *rows):
        lines = []
        cells = list(row)
        parts = textwrap.wrap(
            cells[folded], widths[folded], break_long_words=False, break_on_hyphens=False
        )
        if not parts or len(parts[0]) > widths[folded]:
            parts.insert(0, "")
        for part in parts:
            cells[folded] = part
            aligned = (
                f"{cell:<{width}}" if column < words else f"{cell:>{width}}"
                for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            lines.append("  ".join(aligned).rstrip())
            cells = [""] * len(cells)
        blocks.append("\n".join(lines))
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [blocks[0], rule, *blocks[1:-1], rule, blocks[-1]]
