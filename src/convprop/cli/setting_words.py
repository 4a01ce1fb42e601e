"""Settings as "name=value" words of a command line, from which a description is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from convprop.cli.options import UsageError, unknown_name
from convprop.described import Described
from convprop.errors import InvalidInput, invalid

Made = TypeVar("Made", bound=Described)


def names_of(kind: type[Described] | Described) -> tuple[str, ...]:
    """Return the names of a description's settings."""
    assert dataclasses.is_dataclass(kind)
    return tuple(field.name for field in dataclasses.fields(kind))


def made_of(
    kind: type[Made],
    words: Iterable[str],
    value: Callable[[str, str], Any],
    parameter: str,
    rule: str,
) -> Made:
    """Return a description with the settings of the words.

    Parameters
    ----------
    kind : type
        ``Augment`` or a schedule.
    words : iterable of str
    value : callable
        Makes, of a name and a text, what the description is given.
    parameter : str
        What the message begins with.
    rule : str
        What the message about an unknown name says before the names there are.

    Raises
    ------
    UsageError
        An unknown name, one that comes twice, or a value that the description refuses.
    """
    values: dict[str, Any] = {}
    names = names_of(kind)
    for name, text in pairs_of(words, parameter, rule, names):
        values[name] = value(name, text)
    try:
        return kind(**values)
    except InvalidInput as error:
        raise UsageError(f"{parameter}: {error}") from None


def pairs_of(
    words: Iterable[str], parameter: str, rule: str = "", names: Iterable[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield name and value of each word, of any name or one of ``names``; as `made_of`."""
    words, seen = list(words), set()
    for word in words:
        name, _, text = word.partition("=")
        if names is not None and name not in names:
            raise UsageError(unknown_name(parameter, rule, names, name))
        if not text:
            raise UsageError(str(invalid(parameter, f"give {name} a value, {name}=...", word)))
        if name in seen:
            raise UsageError(str(invalid(parameter, f"set {name} once", " ".join(words))))
        seen.add(name)
        yield name, text
