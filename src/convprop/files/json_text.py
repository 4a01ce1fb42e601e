"""JSON from a file: parsed, and known to be harmless before anything is made of it.

Python's own reader takes what no program of ours writes: numbers beyond any float, halves of
surrogate pairs, nesting down to the end of the stack. What comes from here has none of them, so
that it can be compared, shown, computed with and written again.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from convprop.errors import invalid
from convprop.shown import brief, is_unicode

DEEPEST = 32
"""Our files nest five deep; a user's settings in one may nest somewhat more."""
_TOO_DEEP = f"nested more than {DEEPEST} levels deep"
_BITS = 64
"""Of an integer: no number that a file holds is larger than a seed."""


def parse(text: str, *, infinite: bool = False) -> Any:
    """Return the value that a text describes.

    Parameters
    ----------
    infinite : bool
        Whether NaN and Infinity may stand for floats.

    Raises
    ------
    ValueError
        Not JSON, or what `check` refuses: the reason, to be said of whatever holds the text.
    """
    try:
        value = json.loads(text, parse_constant=float if infinite else _no_constant)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    check(value, infinite=infinite)
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def check(value: object, *, infinite: bool = False) -> None:
    """Raise ValueError, with the reason, unless `parse` could have returned a value.

    It may hold dicts, lists, texts, integers of 64 bits, finite floats, True, False and None, no
    more than ``DEEPEST`` levels of them.
    """
    level = [value]
    for _ in range(DEEPEST):
        inner: list[object] = []
        for member in level:
            _check_one(member, infinite)
            if isinstance(member, dict):
                inner += [*member.keys(), *member.values()]
            elif isinstance(member, list | tuple):
                inner += member
        if not inner:
            return
        level = inner
    raise ValueError(_TOO_DEEP)


def _check_one(value: object, infinite: bool) -> None:
    if isinstance(value, str):
        if not is_unicode(value):
            raise ValueError(f"half of a surrogate pair in {brief(value)}")
    elif isinstance(value, float):
        if not (infinite or math.isfinite(value)):
            raise ValueError(f"{value} is not a JSON number")
    elif isinstance(value, int):
        if value.bit_length() > _BITS:
            raise ValueError(f"an integer of more than {_BITS} bits, {brief(value)}")
    elif isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise ValueError(f"a name that is no text, {brief(name)}")
    elif value is not None and not isinstance(value, list | tuple):
        raise ValueError(f"a {type(value).__name__}, which JSON does not have")


T = TypeVar("T")


def numbers(cls: type[T], value: object, what: str) -> T:
    """Build a dataclass or a NamedTuple whose members are all int, float or None, as it says.

    Raises
    ------
    InvalidInput
        Not an object with just these members, or one that is of another type.
    """
    hints = get_type_hints(cls)
    if dataclasses.is_dataclass(cls):
        hints = {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    if not isinstance(value, Mapping) or value.keys() != hints.keys():
        raise invalid(what, f"hold {', '.join(hints)}", brief(value))
    return cls(**{n: _number(f"{what}'s {n}", value[n], hint) for n, hint in hints.items()})


def _number(what: str, value: object, hint: object) -> int | float | None:
    """Return a number of the type that a class's member has."""
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and types.NoneType in kinds:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        if float in kinds:
            return float(value)
        if isinstance(value, int):
            return value
    raise invalid(what, f"be {'a number' if float in kinds else 'an integer'}", brief(value))
