"""LaTeX as MathML that is legible in a font without mathematics, too."""

from __future__ import annotations

import html
from xml.etree import ElementTree

PRIME, DEGREE, RING, SUM = "\u2032", "\u00b0", "\u2218", "\u2211"
ABOVE_AND_BELOW = {"msub": "munder", "msubsup": "munderover"}


def mathml(latex: str, display: str = "inline") -> str:
    """Return a formula as MathML, without styles, which a page's policy may keep out.

    Primes and the ring of a degree are raised in every font; made exponents they vanish. A
    displayed sum has its limits above and below in braces as well.

    Parameters
    ----------
    latex : str
    display : str
        "inline" or "block".
    """
    # Not at the top: `import convprop` need not load it.
    from latex2mathml.converter import convert_to_element

    formula = convert_to_element(latex, display=display)
    for part in formula.iter():
        part.attrib.pop("style", None)
        if part.tag == "msup" and _text(part[1]) == PRIME:
            _replace_raised(part, PRIME)
        elif part.tag == "msup" and _text(part[1]) == RING:
            _replace_raised(part, DEGREE)
        elif display == "block" and part.tag in ABOVE_AND_BELOW and _text(part[0]) == SUM:
            part.tag = ABOVE_AND_BELOW[part.tag]
        elif part.tag == "mtext" and part.text:
            # The converter leaves LaTeX's "\_" in a text as it is.
            part.text = part.text.replace(r"\_", "_")
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
