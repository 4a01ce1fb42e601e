"""The command line's exit statuses, its options' rules, and the words that refuse wrong usage."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    Token,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from convprop import auto, presets
from convprop.checks import LARGEST_INTEGER
from convprop.cli.nearness import nearest
from convprop.errors import ConvpropError, InvalidInput, invalid
from convprop.machine.processors import MOST_THREADS
from convprop.machine.threads import set_num_threads
from convprop.shown import shortened

EXIT_FAILURE = 1
EXIT_USAGE = 2
# 128 plus the signal's number, as a shell reports a process that SIGINT or SIGPIPE ended.
# A training that SIGTERM ends leaves by the same rule.
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

# Python converts no more than some thousand.
_MOST_DIGITS = 1000
_LONGEST_FAULT = 1500


class UsageError(ConvpropError):
    """A command line that the rules of its single options do not catch."""


def count_from_one(_: Any, tokens: Sequence[Token]) -> int:
    """Read a number of epochs or images."""
    text = tokens[0].value
    if text.isdecimal() and (len(text) > _MOST_DIGITS or int(text) > LARGEST_INTEGER):
        raise ValueError(f"be at most {LARGEST_INTEGER}")
    return _whole(text, range(1, LARGEST_INTEGER + 1), "be a whole number of at least 1")


def thread_count(_: Any, tokens: Sequence[Token]) -> int:
    """Read a number of threads."""
    rule = f"be a whole number from 1 to {MOST_THREADS}"
    return _whole(tokens[0].value, range(1, MOST_THREADS + 1), rule)


def port_number(_: Any, tokens: Sequence[Token]) -> int:
    """Read where a server listens; 0 is any free port."""
    return _whole(tokens[0].value, range(65536), "be a whole number from 0 to 65535")


def seed_number(_: Any, tokens: Sequence[Token]) -> int:
    """Read a key of the engine's random streams, which has 64 bits."""
    return _whole(tokens[0].value, range(2**64), "be a whole number from 0 to 2**64 - 1")


def _whole(text: str, allowed: range, rule: str) -> int:
    if not text.isdecimal() or len(text) > _MOST_DIGITS or int(text) not in allowed:
        raise ValueError(rule)
    return int(text)


def positive_number(_: Any, tokens: Sequence[Token]) -> float:
    """Read a learning rate."""
    return _number(tokens[0].value, math.inf, "be a finite number above 0")


def not_negative_number(_: Any, tokens: Sequence[Token]) -> float:
    """Read a weight decay."""
    return _number(tokens[0].value, math.inf, "be a finite number of at least 0", zero=True)


def proper_fraction(_: Any, tokens: Sequence[Token]) -> float:
    """Read a part of the training set that is neither nothing nor all of it."""
    return _number(tokens[0].value, 1.0, "be a number above 0 and below 1")


def _number(text: str, limit: float, rule: str, zero: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if zero and value == 0:
        return 0.0  # However it is written, as 0.00 or -0.
    if not 0 < value < limit:
        raise ValueError(rule)
    return value


def smoothing(_: Any, tokens: Sequence[Token]) -> float:
    """Read a share of at least 0; any number above 0 and below 1, or 0 itself."""
    return _number(tokens[0].value, 1.0, "be a number with 0 <= value < 1", zero=True)


@dataclass(frozen=True)
class Every:
    """How often: a time in seconds, or a number of epochs."""

    text: str
    """As it was given."""
    seconds: float | None = None
    epochs: int | None = None


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def time_or_epochs(_: Any, tokens: Sequence[Token]) -> Every:
    """Read "30s", "5m", "2h" or "3epochs"."""
    text = tokens[0].value
    if match := re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)([smh])", text):
        seconds = float(match[1]) * _UNITS[match[2]]
        if seconds > 0:
            return Every(text, seconds=seconds)
    elif (match := re.fullmatch(r"([0-9]{1,6})epochs?", text)) and int(match[1]) > 0:
        return Every(text, epochs=int(match[1]))
    rule = "be a time or a number of epochs, as in 30s, 5m, 2h or 3epochs, at most 999999 of them"
    raise ValueError(rule)


def file_name(kind: Any, tokens: Sequence[Token]) -> str | Path:
    """Read the name of a file, a folder or data; an empty one would mean this folder."""
    if not tokens[0].value:
        raise CoercionError(msg="not be empty", token=tokens[0])
    value: str | Path = kind(tokens[0].value)
    return value


DataName = Annotated[str, Parameter(converter=file_name)]
FileName = Annotated[Path, Parameter(converter=file_name)]
# Of each of several files; a pattern may begin with a bracket, which is no list in JSON.
FileNames = Annotated[Path, Parameter(required=True, converter=file_name, json_list=False)]
Count = Annotated[int | None, Parameter(converter=count_from_one)]
PRESET_NAMES = (auto.NAME, *presets.NAMES)
"""Of the networks that a command can make for its data."""
PresetName = Annotated[str | None, Parameter(choices=PRESET_NAMES)]
Threads = Annotated[int | None, Parameter(converter=thread_count)]

# What several commands have, with the same words of --help.
SkipUnreadable = Annotated[
    bool, Parameter(help="Leave out image files that cannot be read, and list them.")
]
Stream = Annotated[
    bool,
    Parameter(
        help="Read the images of a folder as they are needed, instead of all of them first: for"
        " more than fit in memory. The result is the same."
    ),
]
AsJson = Annotated[
    bool,
    Parameter(help="Write the result as one line of JSON on stdout, and all else on stderr."),
]


@contextmanager
def written_by(option: str) -> Iterator[None]:
    """Let the error about a file that cannot be written name the option that it was given by."""
    try:
        yield
    except InvalidInput as error:
        if error.parameter != "path":
            raise
        raise invalid(option, error.rule, error.received) from None


def use_threads(threads: int | None) -> None:
    """Do what ``--threads`` says, if it was given."""
    if threads is not None:
        set_num_threads(threads)


def image_size(_: Any, tokens: Sequence[Token]) -> tuple[int, int]:
    """Read "32" or "32x48" as (rows, columns)."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})(?:x([1-9][0-9]{0,4}))?", tokens[0].value)
    if match is None:
        raise ValueError("be a number of pixels from 1 to 99999, or rows and columns as in 32x48")
    return int(match[1]), int(match[2] or match[1])


Seed = Annotated[int, Parameter(converter=seed_number)]
Size = Annotated[
    tuple[int, int] | None, Parameter(converter=image_size, n_tokens=1, metavar="SIZE")
]


def unknown_name(parameter: str, rule: str, names: Iterable[str], received: str) -> str:
    """Return the message for a name that is none of ``names``, with the nearest one."""
    names = list(names)
    near = nearest(received, names)
    hint = f"; did you mean {near}?" if near else ""
    return str(invalid(parameter, f"{rule} {', '.join(names)}", received)) + hint


def usage_message(error: CycloptsError, tried: Collection[str]) -> str:
    """Say in the package's one message form what is wrong with a command line.

    ``tried`` names what is no option of ``convprop search``, but may be given by its ``--try``.
    """
    chain = error.command_chain or ()
    command = " ".join(("convprop", *chain))
    if isinstance(error, UnknownOptionError):
        fault = _unknown_option(error, tried if tuple(chain) == ("search",) else ())
    else:
        fault = _fault(error)
    return f"{shortened(fault, _LONGEST_FAULT)}\nSee '{command} --help'."


def _unknown_option(error: UnknownOptionError, tried: Collection[str]) -> str:
    received = (error.token.keyword or error.token.value or "").partition("=")[0]
    names = (name for argument in error.argument_collection for name in argument.names)
    near = nearest(received, [*tried, *(name for name in names if name.startswith("-"))])
    if near in tried:
        near = f"--try {near}=VALUE,..."
    return f"Unknown option: {received}." + (f" Did you mean {near}?" if near else "")


def _unknown_command(error: UnknownCommandError) -> str:
    received = (error.unused_tokens or [""])[0]
    commands = [name for name in error.app or () if not name.startswith("-")]
    near = nearest(received, commands)
    hint = f" Did you mean {near}?" if near else ""
    return f"Unknown command: {received}.{hint} Commands: {', '.join(commands)}."


def _fault(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        return f"one argument too many: {(error.unused_tokens or [''])[0]}"
    if isinstance(error, UnknownCommandError):
        return _unknown_command(error)
    argument = error.argument
    if argument is None:
        return str(error).replace('"', "")
    if isinstance(error, MissingArgumentError):
        rule = "have a value" if argument.name.startswith("-") else "be given"
        return str(invalid(argument.name, rule, "none"))
    if isinstance(error, CoercionError) and error.token is not None:
        received = error.token.value or "''"
        name = token_name(error.token, argument.name)
        if isinstance(choices := argument.parameter.choices, tuple):
            return unknown_name(name, "be one of", choices, received)
        if error.msg is not None:
            return str(invalid(name, str(error.msg), received))
    return str(error)


def token_name(token: Token, option: str) -> str:
    """Return the option's name, or for a value from a settings file the key and the file."""
    return option if token.source == "cli" else f"{token.keyword} in {token.source}"
