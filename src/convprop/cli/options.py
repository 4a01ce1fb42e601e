"""The command line's exit statuses, its options' rules, and the words that refuse wrong usage."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnusedCliTokensError,
    ValidationError,
)

from convprop.errors import ConvpropError, invalid

EXIT_FAILURE = 1
EXIT_USAGE = 2
# 128 plus the signal's number, as a shell reports a process that SIGINT or SIGPIPE ended.
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_TYPE_RULES = {int: "be a whole number", float: "be a number"}
_SIZE = re.compile(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?")


class UsageError(ConvpropError):
    """A command line that the rules of its single options do not catch."""


def at_least(lowest: int) -> Callable[[Any, Any], None]:
    """Return the rule of an option that is a whole number from ``lowest`` up."""

    def validate(_: Any, value: int | None) -> None:
        if value is not None and value < lowest:
            raise ValueError(f"be at least {lowest}")

    return validate


def seed_range(_: Any, value: int) -> None:
    """Refuse what is no key of the engine's random streams, which have 64 bits."""
    if not 0 <= value < 2**64:
        raise ValueError("be between 0 and 2**64 - 1")


def positive(_: Any, value: float | None) -> None:
    """Refuse what is no learning rate."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ValueError("be a finite number above 0")


def proper_fraction(_: Any, value: float | None) -> None:
    """Refuse what is no part of the training set, or all of it."""
    if value is not None and not 0 < value < 1:
        raise ValueError("be above 0 and below 1")


def image_size(_: Any, text: str | None) -> None:
    """Refuse what ``parse_size`` cannot read."""
    if text is not None and not _SIZE.fullmatch(text):
        raise ValueError("be a number of pixels, or rows and columns as in 32x48")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return the (rows, columns) of "32" or "32x48"."""
    if text is None or not (match := _SIZE.fullmatch(text)):
        return None
    return int(match[1]), int(match[2] or match[1])


def unknown_name(parameter: str, rule: str, names: Iterable[str], received: str) -> str:
    """Return the message for a name that is none of ``names``, with the nearest one."""
    names = list(names)
    close = difflib.get_close_matches(received, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return str(invalid(parameter, f"{rule} {', '.join(names)}", received)) + hint


def usage_message(error: CycloptsError) -> str:
    """Say in the package's one message form what is wrong with a command line."""
    command = " ".join(("convprop", *(error.command_chain or ())))
    return f"{_fault(error)}\nSee '{command} --help'."


def _fault(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        return f"one argument too many: {(error.unused_tokens or [''])[0]}"
    argument = error.argument
    if argument is None:
        # An unknown command or option: cyclopts suggests the nearest one.
        return str(error).replace('"', "")
    if isinstance(error, ValidationError):
        return str(invalid(argument.name, error.exception_message, argument.tokens[-1].value))
    if isinstance(error, MissingArgumentError):
        rule = "have a value" if argument.name.startswith("-") else "be given"
        return str(invalid(argument.name, rule, "none"))
    if isinstance(error, CoercionError) and error.token is not None:
        received = error.token.value
        if isinstance(choices := argument.parameter.choices, tuple):
            return unknown_name(argument.name, "be one of", choices, received)
        if error.target_type in _TYPE_RULES:
            return str(invalid(argument.name, _TYPE_RULES[error.target_type], received))
    return str(error)
