"""The directive ``command-line``: what every command says with --help, asked of it."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from typing import Any
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from convprop.cli.app import COMMANDS, run


def help_of(*arguments: str) -> str:
    """Return the help of a command as a terminal of 80 columns shows it."""
    written = io.StringIO()
    with redirect_stdout(written), patch.dict(os.environ, COLUMNS="80"):
        status = run([*arguments, "--help"])
    assert status == 0, arguments
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


class CommandLineDirective(SphinxDirective):
    """A section for each command, in the order of ``convprop --help``."""

    def run(self) -> list[nodes.Node]:
        """Return the help of convprop, and a section for each of its commands."""
        shown: list[nodes.Node] = [_literal(help_of())]
        for command in COMMANDS:
            name = command.__name__.replace("_", "-")
            section = nodes.section(ids=[f"convprop-{name}"])
            section += nodes.title("", "", nodes.literal("", f"convprop {name}"))
            section += _literal(help_of(name))
            shown.append(section)
        return shown


def _literal(text: str) -> nodes.literal_block:
    return nodes.literal_block(text, text, language="none", classes=["terminal"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("command-line", CommandLineDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
