"""Mathematics as MathML, made while the site is built: no script, nothing from elsewhere."""

from __future__ import annotations

import html
from typing import Any
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert_to_element
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxTranslator

PRIME, DEGREE, RING, SUM = "\u2032", "\u00b0", "\u2218", "\u2211"
ABOVE_AND_BELOW = {"msub": "munder", "msubsup": "munderover"}


def mathml(latex: str, display: str = "inline") -> str:
    """Return a formula as MathML that is legible in a font without mathematics, too.

    Primes and the ring of a degree are raised in every font; made exponents they vanish. A
    displayed sum has its limits above and below in braces as well.
    """
    formula = convert_to_element(latex, display=display)
    for part in formula.iter():
        if part.tag == "msup" and _text(part[1]) == PRIME:
            _replace_raised(part, PRIME)
        elif part.tag == "msup" and _text(part[1]) == RING:
            _replace_raised(part, DEGREE)
        elif display == "block" and part.tag in ABOVE_AND_BELOW and _text(part[0]) == SUM:
            part.tag = ABOVE_AND_BELOW[part.tag]
    # The converter's elements hold characters by their numbers, "&#x2211;".
    return ElementTree.tostring(formula, encoding="unicode").replace("&amp;#", "&#")


def _text(part: ElementTree.Element) -> str:
    return html.unescape("".join(part.itertext()))


def _replace_raised(part: ElementTree.Element, sign: str) -> None:
    """Put a sign that is raised by itself behind what it was the exponent of."""
    part.tag = "mrow"
    part.remove(part[1])
    mark = ElementTree.SubElement(part, "mo", lspace="0", rspace="0.06em", form="postfix")
    mark.text = sign


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
