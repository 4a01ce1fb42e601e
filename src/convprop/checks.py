"""The values that a user gives, checked: numbers, integers, pairs of them, truths and seeds.

Each function takes the parameter's name and the value, returns the value as a plain Python one, and
raises InvalidInput for what the parameter may not be.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import TypeGuard

import numpy as np

from convprop.errors import invalid
from convprop.shown import brief

Pair = tuple[int, int]

# Large enough for any image, small enough that no size computed from it leaves 64 bits.
LARGEST_INTEGER = 2**31 - 1

# The engine counts what one map of an image holds, and one parameter, in 32 bits, rounded up to
# whole lanes (LARGEST_SIZE of kernels/maps/geometry.h).
MOST_VALUES = 2**31 - 64

# Made once: a union made anew costs more than the question.
_INTEGER = int | np.integer


def is_integer(value: object, smallest: int) -> TypeGuard[int]:
    """Whether value is a Python or NumPy integer (not a bool) in smallest .. 2**31 - 1."""
    return (
        isinstance(value, _INTEGER)
        and not isinstance(value, bool)
        and smallest <= int(value) <= LARGEST_INTEGER
    )


def positive_integer(parameter: str, value: object, largest: int = LARGEST_INTEGER) -> int:
    """Return value as an int; raise InvalidInput unless it is an integer in 1 .. largest."""
    check_at_most(parameter, [value], largest)
    if not is_integer(value, 1):
        raise invalid(parameter, "be a positive integer", repr(value))
    return int(value)


def check_at_most(parameter: str, values: Iterable[object], largest: int = LARGEST_INTEGER) -> None:
    """Raise InvalidInput for the first integer above ``largest``."""
    for value in values:
        if isinstance(value, _INTEGER) and value > largest:
            raise invalid(parameter, f"be at most {largest}", value)


def pair(parameter: str, value: object) -> Pair:
    """Return an int or a pair of ints as (rows, columns), both at least 1."""
    members = integers(parameter, value, smallest=1)
    if len(members) != 2:
        raise invalid(parameter, "be a positive integer or a pair of them", repr(value))
    return members[0], members[1]


def integers(parameter: str, value: object, smallest: int) -> list[int]:
    """Return an integer twice, a sequence of integers as a list, and [] for anything else.

    Raise InvalidInput for an integer that is too large.
    """
    if is_integer(value, smallest):
        return [int(value), int(value)]
    if not isinstance(value, tuple | list | np.ndarray):
        check_at_most(parameter, [value])
        return []
    check_at_most(parameter, value)
    members = [int(member) for member in value if is_integer(member, smallest)]
    return members if len(members) == len(value) else []


def check_values(parameter: str, shape: Sequence[int]) -> None:
    """Raise InvalidInput if an array of this shape has more values than the engine can count."""
    if math.prod(shape) > MOST_VALUES:
        raise invalid(parameter, f"have at most {MOST_VALUES} values", "x".join(map(str, shape)))


def number(parameter: str, value: object, rule: str, low: float, high: float = math.inf) -> float:
    """Return value as a float in ``low <= value < high``; the message says ``rule``."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            converted = float(value)
        except OverflowError:
            converted = math.nan
        if low <= converted < high:
            return converted
    raise invalid(parameter, rule, brief(value))


def positive(parameter: str, value: object) -> float:
    """Return value as a finite float above 0."""
    return number(parameter, value, "be a positive number", math.ulp(0.0))


def non_negative(parameter: str, value: object) -> float:
    """Return value as a finite float of at least 0."""
    return number(parameter, value, "be a number of at least 0", 0.0)


def below_one(parameter: str, value: object) -> float:
    """Return value as a float in 0 <= value < 1."""
    return number(parameter, value, "be a number with 0 <= value < 1", 0.0, 1.0)


def flag(parameter: str, value: object) -> bool:
    """Return value, which must be True or False."""
    if not isinstance(value, bool):
        raise invalid(parameter, "be True or False", repr(value))
    return value


def seed_number(seed: object) -> int:
    """Return seed as an int in 0 .. 2**64 - 1, what the engine's random streams are keyed by."""
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and 0 <= seed < 1 << 64:
        return int(seed)
    raise invalid("seed", "be an integer in 0..2**64 - 1", brief(seed))
