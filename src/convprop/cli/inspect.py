"""``convprop inspect``: what is in a model file, told from its header."""

from __future__ import annotations

from typing import Any

from convprop.about import inspection, summary
from convprop.about.inspection import Inspection
from convprop.cli.options import EXIT_FAILURE, FileName
from convprop.cli.terminal import (
    Terminal,
    loss_text,
    percent,
    print_json,
    settings_text,
)
from convprop.described import from_dict
from convprop.layers import shape_text
from convprop.losses import LOSSES
from convprop.report.words import counted
from convprop.shown import class_shown, first_of, shortened

_MOST_NAMES = 20
_MOST_FAULTS = 5
_KINDS = {
    "model": "a model file",
    "checkpoint": "a checkpoint of a training",
    "safetensors": "a safetensors file of another program",
}


def inspect(model: FileName, /, *, json: bool = False) -> int:
    """Show what is in a model file or a checkpoint, without loading it.

    Only the header is read and, for their hash, the bytes of the weights; so a damaged file can
    be looked at too. The exit status is 0 for a file that can be loaded, as far as that tells.

    Parameters
    ----------
    model
        A file that convprop train --out wrote, or one of its checkpoints.
    json
        Write it as one line of JSON.
    """
    found = inspection.inspect_file(model)
    if json:
        print_json({"file": str(model), **_record(found)})
    else:
        _show(Terminal(), str(model), found)
    return EXIT_FAILURE if found.faults else 0


def _record(found: Inspection) -> dict[str, Any]:
    layers = found.graph and inspection.layer_rows(found.graph)
    return {
        "kind": found.kind,
        "bytes": found.header.size,
        "faults": found.faults,
        "description": found.description,
        "layers": layers,
        "parameters": layers and sum(row["parameters"] for row in layers),
        "weights_sha256": found.weights_sha256,
        "tensors": [
            {"name": name, "dtype": t.dtype, "shape": list(t.shape), "bytes": t.size}
            for name, t in found.header.tensors.items()
        ],
    }


def _show(terminal: Terminal, file: str, found: Inspection) -> None:
    description = found.description
    terminal.copied("file", file)
    terminal.labelled("kind", _KINDS[found.kind], f"{found.header.size:,} B")
    for fault in first_of(found.faults, _MOST_FAULTS):
        terminal.labelled("fault", fault)
    if found.kind == "model" and description:
        writer = f"by convprop {shortened(description['package_version'], 40)}"
        terminal.labelled("written", writer, f"format version {description['format_version']}")
    if found.kind == "checkpoint" and description:
        _show_progress(terminal, description)
    if found.graph is not None:
        _show_network(terminal, found, found.network)
        if settings := found.settings:
            parts = settings_text(settings).split(", ")
            terminal.labelled("training", *first_of(parts, 3 * _MOST_NAMES))
    if found.weights_sha256 is not None:
        terminal.labelled("weights", found.weights_sha256)
    if found.graph is not None:
        itemsize = 8 if found.network["dtype"] == "float64" else 4
        _print_table(terminal, summary.layers_table(found.graph, itemsize))
    if found.header.tensors:
        _print_table(terminal, _tensors(found))


def _show_progress(terminal: Terminal, description: dict[str, Any]) -> None:
    """Say how far the training had come."""
    position, history = description.get("position"), description.get("history")
    epoch = position.get("epoch") if isinstance(position, dict) else None
    parts = [f"after {counted(description['steps'], 'step')}", f"in epoch {epoch}"]
    last = history[-1] if isinstance(history, list) and history else None
    if isinstance(last, list) and len(last) > 2 and isinstance(last[1], float):
        accuracy = last[2] if isinstance(last[2], float) else None
        parts.append(f"last epoch: loss {loss_text(last[1])}, accuracy {percent(accuracy)}")
    terminal.labelled("written", *parts)


def _show_network(terminal: Terminal, found: Inspection, network: dict[str, Any]) -> None:
    assert found.graph is not None
    shapes = found.graph.shapes
    rows = inspection.layer_rows(found.graph)
    terminal.labelled(
        "network",
        f"{shape_text(shapes[0])} -> {shape_text(shapes[-1])}",
        repr(from_dict(network["loss"], LOSSES, "loss")),
        str(network["dtype"]),
        counted(sum(row["parameters"] for row in rows), "parameter"),
    )
    if (pixels := _offset_and_scale(network.get("normalisation"))) is None:
        terminal.labelled("pixels", "as they are")
    else:
        terminal.labelled("pixels", f"less {pixels[0]}", f"times {pixels[1]}")
    if (numbers := _offset_and_scale(network.get("target_scaling"))) is not None:
        terminal.labelled("outputs", f"times {numbers[1]}", f"plus {numbers[0]}: the numbers")
    if names := network.get("class_names"):
        terminal.labelled("classes", *first_of([class_shown(name) for name in names], _MOST_NAMES))
    if "seed" in network:
        terminal.labelled("seed", str(network["seed"]))


def _offset_and_scale(value: object) -> tuple[str, str] | None:
    """Return both as text, from a model's description or a checkpoint's; None for none."""
    if isinstance(value, dict):
        value = value.get("offset"), value.get("scale")
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    return _numbers(value[0]), _numbers(value[1])


def _numbers(values: object) -> str:
    """Return "(1.5 2.25)", or one number alone."""
    if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
        return "?"
    words = [f"{value:.7g}" for value in values]
    return words[0] if len(words) == 1 else f"({' '.join(first_of(words, _MOST_NAMES))})"


def _tensors(found: Inspection) -> list[str]:
    tensors = found.header.tensors.items()
    rows = [
        (shortened(name, 80), shortened(t.dtype, 20), shape_text(t.shape) or "-", f"{t.size:,} B")
        for name, t in tensors
    ]
    rows.append(("total", "", "", f"{sum(tensor.size for _, tensor in tensors):,} B"))
    return summary.table(("Tensor", "", "Shape", "Size"), rows, words=2, folded=0)


def _print_table(terminal: Terminal, lines: list[str]) -> None:
    terminal.print()
    terminal.print("\n".join(lines), soft_wrap=True)
