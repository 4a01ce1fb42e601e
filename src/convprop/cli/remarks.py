"""The package's warnings as lines of a command."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

from convprop.cli.terminal import LABEL_WIDTH, Terminal
from convprop.errors import ConvpropWarning, RangeWarning


@contextmanager
def as_lines(terminal: Terminal) -> Iterator[list[str]]:
    """Print each warning of the package as a line, and yield the list that they are gathered in.

    Of pixels in another range the first is enough, however many images are read.
    """
    said: list[str] = []
    kinds: list[type[Warning]] = []
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, ConvpropWarning):
            show_others(message, category, *place, **more)
        elif category is not RangeWarning or category not in kinds:
            kinds.append(category)
            said.append(str(message))
            lines = textwrap.wrap(str(message), max(terminal.width - LABEL_WIDTH, 20))
            for label, line in zip_longest(["warning"], lines, fillvalue=""):
                terminal.labelled(label, line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", ConvpropWarning)
        warnings.showwarning = show
        yield said
