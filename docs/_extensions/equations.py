"""The directive ``equation``: one of the article's equations, as convprop's own table has it."""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from convprop.equations import EQUATIONS


def row_of(key: str) -> int | str:
    """Return the table's key: a number of the article, or a name."""
    return int(key) if key.isdecimal() else key


class EquationDirective(SphinxDirective):
    """``{equation} 13`` shows Eq. 13 with its number and the function that computes it."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the formula and the line below it."""
        key = row_of(self.arguments[0])
        row = EQUATIONS[key]
        anchor = f"equation-{self.arguments[0].replace(' ', '-')}"
        formula = nodes.math_block(row.latex, row.latex, ids=[anchor])
        title = str(key)
        if isinstance(key, int):
            formula["number"] = title
            title = f"Eq. {key}"
        standard = self.env.domains.standard_domain
        standard.labels[anchor] = self.env.docname, anchor, title
        standard.anonlabels[anchor] = self.env.docname, anchor
        return [formula, *self.parse_text_to_nodes(f"Computed by {{func}}`{_name(row.function)}`.")]


class EquationTableDirective(SphinxDirective):
    """``{equation-table}`` lists all of them, with what each says."""

    option_spec: ClassVar = {}

    def run(self) -> list[nodes.Node]:
        """Return a list: number, function, sentence."""
        lines = ["| equation | function | what it says |", "|---|---|---|"]
        for key, row in EQUATIONS.items():
            shown = f"[](#equation-{str(key).replace(' ', '-')})"
            lines.append(f"| {shown} | {{func}}`{_name(row.function)}` | {row.sentence} |")
        return self.parse_text_to_nodes("\n".join(lines))


def _name(function: Any) -> str:
    return f"~convprop.equations.{function.__name__}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the two directives."""
    app.add_directive("equation", EquationDirective)
    app.add_directive("equation-table", EquationTableDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
