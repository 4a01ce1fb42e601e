"""An explanation as plain text, LaTeX and HTML."""

from __future__ import annotations

import textwrap
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from convprop.dtypes import is_float
from convprop.explain.mathml import mathml

if TYPE_CHECKING:
    from convprop.explain.explanation import Explanation

WIDTH = 80
DIGITS = 9  # enough to tell one float32 from all others


def text(explanation: Explanation, rows: int) -> str:
    """Return heading, table and result as text."""
    title = f"{explanation.name} = {exact(explanation.value)}   ({explanation.source})"
    lines = _wrapped(title)
    for digits in (DIGITS, 7, 5, 4, 3):
        header, cells = _table(explanation, rows, digits)
        columns = zip(header, *filter(None, cells), strict=True)
        widths = [max(map(len, column)) for column in columns]
        if sum(widths) + 2 * (len(widths) - 1) <= WIDTH:
            break
    lines.append("")
    for row in (header, *cells):
        if row is None:
            lines.append(f"... {_hidden(explanation, rows)} more ...".center(sum(widths)).rstrip())
            continue
        line = "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        lines.append(line.rstrip())
    lines.append("")
    for sentence in _sentences(explanation):
        lines += _wrapped(sentence)
    return "\n".join(lines)


def latex(explanation: Explanation, terms: int) -> str:
    """Return the equation as one aligned block."""
    left, *right = latex_lines(explanation, terms)
    lines = r" \\ ".join(f"&= {line}" for line in right)
    return rf"\begin{{aligned}} {left} {lines} \end{{aligned}}"


def latex_lines(explanation: Explanation, terms: int) -> list[str]:
    """Return the equation's left side, and its right side in letters, in numbers, and as one."""
    numbers = _numbers(explanation, terms)
    for step in explanation.steps:
        numbers = step.latex.replace("%", numbers)
    return [explanation.symbol, explanation.formula, numbers, power(explanation.value)]


def mathml_lines(explanation: Explanation, terms: int) -> list[str]:
    """Return the equation as MathML, a line each: in letters, in numbers, and as one number."""
    left, letters, *numbers = latex_lines(explanation, terms)
    lines = (f"{left} = {letters}", *(f"= {line}" for line in numbers))
    return [mathml(line, "block") for line in lines]


def html(explanation: Explanation, rows: int) -> str:
    """Return heading, equation, table and result as HTML, without style or script of its own."""
    header, cells = _table(explanation, rows, DIGITS)
    body = []
    for row in cells:
        if row is None:
            more = f"... {_hidden(explanation, rows)} more ..."
            body.append(f'<tr><td colspan="{len(header)}">{more}</td></tr>')
        else:
            body.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
    return "".join(
        [
            '<div class="convprop-explanation">',
            f"<p><b>{escape(explanation.name)} = {exact(explanation.value)}</b> ",
            f"({escape(explanation.source)})</p>",
            *mathml_lines(explanation, 3),
            "<table><thead><tr>",
            *(f"<th>{escape(name)}</th>" for name in header),
            "</tr></thead><tbody>",
            *body,
            "</tbody></table>",
            *(f"<p>{escape(sentence)}</p>" for sentence in _sentences(explanation)),
            "</div>",
        ]
    )


def _table(
    explanation: Explanation, rows: int, digits: int
) -> tuple[list[str], list[list[str] | None]]:
    """Return the column names and the rows' cells; None stands for the terms left out."""
    terms = explanation.terms
    # The second of two factors that are the same says nothing new.
    names = [
        name for name in terms.dtype.names or () if name != "value" and not name.endswith(" again")
    ]
    names.sort(key=lambda name: is_float(terms.dtype[name]))
    running = explanation.running
    products = len(explanation.factors) > 1
    header = [*names, *(["product"] if products else []), *(["sum"] if len(running) else [])]
    cells: list[list[str] | None] = []
    start, value = explanation.start
    if start:
        blank = [""] * (len(header) - 2)
        cells.append(
            [f"bias {start}", *blank, number(value, digits)] if len(header) > 1 else [start]
        )
    head, tail = _shown(len(terms), rows)
    for place in (*range(head), None, *range(len(terms) - tail, len(terms))):
        if place is None:
            if head + tail < len(terms):
                cells.append(None)
            continue
        row = [number(terms[name][place], digits) for name in names]
        row += [number(terms["value"][place], digits)] * products
        cells.append(row + ([number(running[place], digits)] if len(running) else []))
    return header, cells


def _shown(count: int, rows: int) -> tuple[int, int]:
    """Return how many terms are shown at the beginning and at the end."""
    if count <= rows:
        return count, 0
    return rows - rows // 3, rows // 3


def _hidden(explanation: Explanation, rows: int) -> int:
    return len(explanation.terms) - sum(_shown(len(explanation.terms), rows))


def _sentences(explanation: Explanation) -> list[str]:
    sentences = []
    if len(explanation.parts) > 1:
        sums = ", ".join(f"{part.name}: {exact(part.sums[-1])}" for part in explanation.parts[:4])
        more = f" and {len(explanation.parts) - 4} more" if len(explanation.parts) > 4 else ""
        whose = "row" if ", row" in explanation.parts[0].name else "image"
        sentences.append(f"Each {whose}'s sum: {sums}{more}.")
    for step in explanation.steps:
        sentences.append(f"Then {step.words}: {exact(step.value)}.")
    if explanation.exact:
        sentences.append(f"{exact(explanation.total)}: the engine's number, bit for bit.")
    else:
        sentences.append(
            f"{exact(explanation.total)}; the engine's number: {exact(explanation.value)}."
        )
    if explanation.remark:
        sentences.append(explanation.remark)
    return sentences


def _numbers(explanation: Explanation, count: int) -> str:
    """Return the sum with its numbers in place, dots in the place of all but ``count`` terms."""
    start, value = explanation.start
    opening, between, closing = explanation.brackets
    parts = [power(value)] if start else []
    # Products that are 0 show nothing.
    shown = np.flatnonzero(explanation.terms["value"]) if "+" in between else None
    if shown is None or not len(shown):
        shown = np.arange(len(explanation.terms))
    head, tail = _shown(len(shown), count)
    places = [
        *shown[:head],
        *([] if head + tail == len(shown) else [-1]),
        *shown[len(shown) - tail :],
    ]
    for place in places:
        if place < 0:
            parts.append(r"\cdots")
            continue
        term = explanation.terms[place]
        factors = [power(term[name]) for name in explanation.factors]
        if len(factors) > 1 or "+" in between:
            factors = [f"({factor})" if factor.startswith("-") else factor for factor in factors]
        parts.append(r" \cdot ".join(factors))
    return opening + (between.join(parts) or "0") + closing


def power(value: Any) -> str:
    """Return a number as LaTeX."""
    mantissa, exponent, power = number(value).partition("e")
    if mantissa.lstrip("-") in ("inf", "nan"):
        return mantissa.replace("inf", r"\infty").replace("nan", r"\text{NaN}")
    return rf"{mantissa} \cdot 10^{{{int(power)}}}" if exponent else mantissa


def number(value: Any, digits: int = DIGITS) -> str:
    """Return an integer as it is, another number with so many digits or as few as tell it."""
    if isinstance(value, np.float32) and digits == DIGITS:
        return exact(value).removesuffix(".0")
    if isinstance(value, np.floating):
        return f"{value:z.{digits}g}"
    return str(value)


def exact(value: Any) -> str:
    """Return a number with all its digits; -0, which a product with 0 can be, is 0 to a reader."""
    return str(abs(value) if value == 0 else value)


def _wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, WIDTH)
