"""A fitted network's table of layers, in HTML."""

from __future__ import annotations

import math
from html import escape

from convprop.layers import shape_text
from convprop.network import Network

_NUMBER = ' style="text-align: right"'


def network_table(network: Network) -> str:
    """Return a table of layers, output shapes, parameters and multiply-adds of an image."""
    stack = network.stack
    rows = [("input", "", shape_text(stack.shapes[0]), 0, 0)]
    for layer, name, before, after in zip(
        stack.layers, stack.names, stack.shapes[:-1], stack.shapes[1:], strict=True
    ):
        parameters = sum(map(math.prod, layer.parameter_shapes(before).values()))
        adds = layer.multiply_adds(before)
        rows.append((name, repr(layer), shape_text(after), parameters, adds))
    rows.append(("total", "", "", sum(row[3] for row in rows), sum(row[4] for row in rows)))
    lines = ["".join(_cell(value) for value in row) for row in rows]
    headings = ("Layer", "", "Output", "Parameters", "Multiply-adds")
    head = "".join(f"<th scope='col'>{heading}</th>" for heading in headings)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    caption = f"The network: {escape(repr(network.loss))}, {network.dtype}"
    return (
        f"<details open><summary>{caption}</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></details>"
    )


def _cell(value: object) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f"<td{_NUMBER}>{value:,}</td>" if value else "<td></td>"
