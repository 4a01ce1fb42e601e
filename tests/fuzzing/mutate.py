"""Changes of good values: of JSON, and of bytes."""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any

RAW = "@raw@"
"""A text that begins so stands for what follows it, unquoted: what `json` would not write."""

NUMBERS = (0, 1, -1, 2, 3, 16, 255, 256, 65535, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 2**64)
FLOATS = (0.5, -0.5, 1.5, 1e-320, 1e30, 1e39, 1e308, -1e308, -0.0)
TEXTS = (
    "",
    "x",
    "none",
    "same",
    "global",
    "conv",
    "float64",
    "\x00",
    "\x1b[2J\x1b[31m",
    "\u202egnp.exe",
    "\u200b\ufeff",
    "a\nb\rc",
    "\U0001f468\u200d\U0001f469",
    "x" * 5000,
    "\x1b" * 700,
    "../../etc/passwd",
    "%s%n{0}",
    "<script>alert(1)</script>",
)
RAWS = (
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    "1" + "0" * 400,
    "-" + "9" * 400,
    "1" * 5000,
    '"\\ud800"',
    '"a\\udfffb"',
    "[" * 40 + "]" * 40,
    '{"a":' * 70 + "1" + "}" * 70,
    "[" * 3000 + "]" * 3000,
    "[" * 100_000,
    "1E400",
    "0.1e-400",
)


def odd(chance: random.Random) -> Any:
    """Return what seldom stands where it is put."""
    kind = chance.randrange(9)
    if kind < 3:
        number = chance.choice(NUMBERS) + chance.choice((0, 0, 0, 1, -1))
        return number if chance.random() < 0.8 else -number
    if kind == 3:
        return chance.choice(FLOATS)
    if kind == 4:
        return chance.choice(TEXTS)
    if kind == 5:
        return RAW + chance.choice(RAWS)
    if kind == 6:
        return chance.choice((None, True, False))
    if kind == 7:
        return [odd(chance) for _ in range(chance.randrange(5))]
    return {chance.choice(TEXTS): odd(chance) for _ in range(chance.randrange(3))}


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every member of a value."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, member in members:
        found.append((*above, key))
        if isinstance(member, dict | list):
            found += places(member, (*above, key))
    return found


def changed(chance: random.Random, value: Any, most: int = 3) -> Any:
    """Return a copy of a dict or list some of whose members are others."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, most)):
        if not (found := places(value)):
            break
        way = chance.choice(found)
        holder = value
        for key in way[:-1]:
            holder = holder[key]
        _change(chance, value, found, holder, way[-1])
    return value


def _change(
    chance: random.Random, whole: Any, found: list[tuple[Any, ...]], holder: Any, key: Any
) -> None:
    old = holder[key]
    kind = chance.randrange(10)
    if kind < 3 and isinstance(old, int | float) and not isinstance(old, bool):
        factor = chance.choice((-1, 0, 2, 0.5, 1000, 2**31, 1e300))
        holder[key] = chance.choice((old + 1, old - 1, old * factor, float(old), str(old)))
    elif kind == 3 and isinstance(holder, dict):
        del holder[key]
    elif kind == 4 and isinstance(holder, dict):
        holder[chance.choice(TEXTS)] = old
    elif kind == 5:
        other = whole
        for step in chance.choice(found):
            other = other[step]
        holder[key] = copy.deepcopy(other)
    elif kind == 6:
        holder[key] = [old]
    elif kind == 7 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(old))
    elif kind == 8 and isinstance(holder, list):
        del holder[key]
    else:
        holder[key] = odd(chance)


def text_of(value: Any) -> str:
    """Return a value as JSON, what is marked as raw as it is."""
    text = json.dumps(value)
    return re.sub(f'"{RAW}((?:[^"\\\\]|\\\\.)*)"', lambda match: json.loads(f'"{match[1]}"'), text)


def damaged(chance: random.Random, content: bytes, most: int = 4) -> bytes:
    """Return bytes some of which are others, gone or new."""
    found = bytearray(content)
    for _ in range(chance.randint(1, most)):
        place = chance.randrange(len(found) + 1)
        kind = chance.randrange(7)
        if kind == 0:
            del found[place:]
        elif kind == 1:
            del found[place : place + chance.randint(1, 8)]
        elif kind == 2:
            found[place:place] = chance.randbytes(chance.randint(1, 8))
        elif kind == 3:
            size = chance.choice((1, 2, 4, 8))
            number = (chance.choice(NUMBERS) - chance.randrange(2)) % (1 << 8 * size)
            found[place : place + size] = number.to_bytes(size, chance.choice(("little", "big")))
        elif kind == 4 and found:
            begin = chance.randrange(len(found))
            found[place:place] = found[begin : begin + chance.randint(1, 64)]
        elif found:
            found[place % len(found)] ^= 1 << chance.randrange(8)
    return bytes(found)
