"""Mathematics as MathML, made while the site is built: no script, nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxTranslator

from convprop.explain.mathml import mathml


def visit_inline(translator: SphinxTranslator, node: nodes.math) -> None:
    """Write an inline formula."""
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def visit_display(translator: SphinxTranslator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, with its number where it has one."""
    body = translator.body
    body.append(translator.starttag(node, "div", CLASS="math-display"))
    body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    if number := node.get("number"):
        anchor = node["ids"][0]
        body.append(f'<a class="number" href="#{anchor}">({number})</a>')
    body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Make this the renderer "mathml"."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
