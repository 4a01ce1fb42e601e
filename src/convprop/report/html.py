"""The few forms of HTML that a page is made of, everything given escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files

from convprop.report.svg import DARK, LIGHT, colours
from convprop.shown import escape

# What a page may load: nothing but the pictures and the style that it contains.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Safe(str):
    """Text that is HTML already."""

    __slots__ = ()


Pair = tuple[object, object]
"""A name and its value."""


def text(value: object) -> str:
    """Return ``value`` as HTML, escaped unless it is already."""
    return value if isinstance(value, Safe) else escape(str(value))


def page(title: str, body: Iterable[str]) -> str:
    """Return a whole page that needs no other file."""
    style = files("convprop.report").joinpath("style.css").read_text(encoding="utf-8")
    variables = (
        f":root {{ color-scheme: light dark; {colours(LIGHT)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {colours(DARK)} }} }}\n"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n'
        f"<style>\n{variables}{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(identifier: str, title: str, *content: str) -> Safe:
    """Return a part of the page under a heading that a link can lead to."""
    inner = "\n".join(content)
    return Safe(
        f'<section id="{identifier}" aria-labelledby="{identifier}-heading">\n'
        f'<h2 id="{identifier}-heading">{text(title)}</h2>\n{inner}\n</section>'
    )


def paragraph(*parts: object, kind: str = "") -> Safe:
    """Return a paragraph."""
    attribute = f' class="{kind}"' if kind else ""
    return Safe(f"<p{attribute}>{''.join(map(text, parts))}</p>")


def strong(value: object) -> Safe:
    """Return text that stands out."""
    return Safe(f"<strong>{text(value)}</strong>")


def scrolling(label: str, content: str, kind: str = "") -> Safe:
    """Return a box in which what is too wide is scrolled, by the keyboard too."""
    return Safe(
        f'<div class="{f"scroll {kind}".strip()}" role="region" tabindex="0"'
        f' aria-label="{escape(label)}">\n{content}\n</div>'
    )


def table(
    caption: str, head: Sequence[object], rows: Iterable[Sequence[object]], kind: str = ""
) -> Safe:
    """Return a table whose rows begin with their name."""
    columns = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    lines = "\n".join(
        f'<tr><th scope="row">{text(row[0])}</th>'
        + "".join(f"<td>{text(value)}</td>" for value in row[1:])
        + "</tr>"
        for row in rows
    )
    attribute = f' class="{kind}"' if kind else ""
    inner = (
        f"<table{attribute}>\n<caption>{text(caption)}</caption>\n"
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"
    )
    return scrolling(caption, inner)


def details(summary: str, *content: str) -> Safe:
    """Return what is shown on demand."""
    return Safe(
        f"<details>\n<summary>{text(summary)}</summary>\n" + "\n".join(content) + "\n</details>"
    )


def figure(content: str, caption: object = "", kind: str = "") -> Safe:
    """Return a picture with its caption."""
    attribute = f' class="{kind}"' if kind else ""
    words = f"\n<figcaption>{text(caption)}</figcaption>" if caption else ""
    return Safe(f"<figure{attribute}>\n{content}{words}\n</figure>")


def image(address: str, alternative: str, width: int, height: int) -> Safe:
    """Return a picture of so many pixels."""
    return Safe(
        f'<img src="{address}" alt="{escape(alternative)}" width="{width}" height="{height}">'
    )


def block(code: str) -> Safe:
    """Return lines to copy: one click takes them all."""
    words = re.sub(r"\S+", lambda word: f"<span>{escape(word[0])}</span>", code)
    return Safe(f'<pre class="copy"><code>{words}</code></pre>')


def definitions(pairs: Iterable[Pair], kind: str) -> Safe:
    """Return names with their values."""
    inner = "\n".join(f"<div><dt>{text(name)}</dt><dd>{text(v)}</dd></div>" for name, v in pairs)
    return Safe(f'<dl class="{kind}">\n{inner}\n</dl>')
