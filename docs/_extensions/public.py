"""The directive ``public``: the reference of all that a module's ``__all__`` names."""

from __future__ import annotations

from importlib import import_module
from inspect import isclass, isfunction
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class PublicDirective(SphinxDirective):
    """``{public} convprop.layers.pool convprop``: the names of the one, as the other has them."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """Return the entries in the order in which the module defines them."""
        defined, shown = self.arguments
        module = import_module(defined)
        names = sorted(module.__all__, key=list(vars(module)).index)
        lines: list[str] = ["```{eval-rst}"]
        for name in names:
            value = getattr(module, name)
            kind = "class" if isclass(value) else "function" if isfunction(value) else "data"
            lines += [f".. auto{kind}:: {shown}.{name}", ""]
        return self.parse_text_to_nodes("\n".join([*lines, "```"]))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("public", PublicDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
