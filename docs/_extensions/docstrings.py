"""Docstrings as they are written here: NumPy's sections, words, ``code`` and no other markup."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, NumpyDocstring

# Types are words ("int or (rows, columns)") and shown as such. Attributes are listed as
# parameters are.
SECTIONS = Config(
    napoleon_use_param=False,
    napoleon_use_rtype=False,
    napoleon_custom_sections=[("Attributes", "params_style")],
)

MARKUP = re.compile(r"[*|]|_(?=_*(?!\w))")
"""What reStructuredText would take for emphasis, a substitution, and at a word's end a link."""


def process(
    app: Sphinx, what: str, name: str, subject: object, options: Any, lines: list[str]
) -> None:
    """Turn a docstring into reStructuredText.

    Sphinx's own treatment takes what is before a colon in an attribute's docstring for its type.
    """
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()  # What Python says of a named tuple's field that has no words of its own.
    lines[:] = [_plain(line) for line in lines]
    if what not in ("attribute", "property", "data"):
        lines[:] = NumpyDocstring(lines, SECTIONS, app, what, name, subject, options).lines()


def _plain(line: str) -> str:
    """Return a line with `code` as ``code``, and without other markup in what is not."""
    line = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line)
    parts = re.split(r"(``.*?``)", line)
    parts[::2] = [MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect it."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
