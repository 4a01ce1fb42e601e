"""``--schedule "step at=0.5,0.75 decay=0.2"``: a schedule as words of a command line."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from convprop.cli.options import UsageError, token_name, unknown_name
from convprop.cli.setting_words import made_of, names_of
from convprop.schedules import SCHEDULES, Schedule

KINDS = tuple(kind.replace("_", "-") for kind in SCHEDULES)


def read_schedule(text: str, parameter: str = "--schedule") -> Schedule:
    """Read a kind, and after it "name=value" for what shall not be as it is by itself.

    Raises
    ------
    UsageError
        No kind or an unknown one, a name that the kind does not have, one that comes twice, or a
        value that it refuses.
    """
    kind, *words = text.split() or [""]
    if kind.replace("_", "-") not in KINDS:
        raise UsageError(unknown_name(parameter, "begin with one of", KINDS, kind or "''"))
    schedule = SCHEDULES[kind.replace("-", "_")]
    return made_of(schedule, words, _value, parameter, f"set of {kind} one of")


def _value(name: str, text: str) -> Any:
    """Return a number, or several where the setting is of several or commas say so."""
    numbers = tuple(map(_number, text.split(",")))
    return numbers if name == "at" or len(numbers) > 1 else numbers[0]


def _number(text: str) -> float | str:
    """Return a number; what is none is refused by the schedule."""
    with contextlib.suppress(ValueError):
        return float(text)
    return text


def schedule_text(schedule: Schedule) -> str:
    """Return what `read_schedule` reads as ``schedule``."""
    words = [schedule.kind.replace("_", "-")]
    for name in names_of(schedule):
        value = getattr(schedule, name)
        if value != getattr(type(schedule), name):
            words.append(f"{name}={','.join(map(str, value)) if name == 'at' else value}")
    return " ".join(words)


def schedule_setting(_: Any, tokens: Sequence[Token]) -> Schedule:
    """Read ``--schedule``."""
    return read_schedule(tokens[0].value, token_name(tokens[0], "--schedule"))


ScheduleOption = Annotated[
    Schedule | None,
    Parameter(converter=schedule_setting, n_tokens=1, accepts_keys=False, metavar="SCHEDULE"),
]
