"""The package's warnings and errors in the words of a command line."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from convprop.cli.terminal import Terminal
from convprop.errors import ConvpropWarning, InvalidInput, RangeWarning, invalid


def flag_name(name: str) -> str:
    """Return "--batch-size" for "batch_size"."""
    return "--" + name.replace("_", "-")


def in_options(text: str, names: Collection[str]) -> str:
    """Return a text of ours with --clip-norm for clip_norm, if that is among the names.

    Names of one word stay: "average" may be no more than a word.
    """

    def option(word: re.Match[str]) -> str:
        return flag_name(word[0]) if word[0] in names else word[0]

    return re.sub(r"(?<![\w./-])[a-z]+(?:_[a-z]+)+(?![\w./-])", option, text)


def error_in_options(error: InvalidInput, names: Collection[str]) -> InvalidInput:
    """Return an error about a parameter as one about the option; what was received stays."""
    if not error.parameter:
        return error
    parameter = flag_name(error.parameter) if error.parameter in names else error.parameter
    told = invalid(parameter, in_options(error.rule, names), error.received)
    told.resizable = error.resizable
    return told


@contextmanager
def as_lines(terminal: Terminal, names: Collection[str] = ()) -> Iterator[list[str]]:
    """Print each warning of the package as a line, and yield the list that they are gathered in.

    Of pixels in another range the first is enough, however many images are read. ``names`` are
    parameters that are options of the command.
    """
    said: list[str] = []
    kinds: list[type[Warning]] = []
    show_others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, ConvpropWarning):
            show_others(message, category, *place, **more)
        elif category is not RangeWarning or category not in kinds:
            kinds.append(category)
            said.append(in_options(str(message), names))
            terminal.warn(said[-1])

    with warnings.catch_warnings():
        warnings.simplefilter("always", ConvpropWarning)
        warnings.showwarning = show
        yield said
