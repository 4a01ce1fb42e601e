"""Short texts of values that hold arrays, lists and names by the thousand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

MOST = 3
"""How many elements of a list or a mapping are shown."""
LONGEST = 80
"""How many characters of a text."""


class Brief:
    """Base of dataclasses whose repr shows arrays by dtype and shape, and lists by a few elements.

    The dataclass is made with ``repr=False``.
    """

    def __repr__(self) -> str:
        assert dataclasses.is_dataclass(self)
        pairs = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        fields = ", ".join(f"{name}={brief(value)}" for name, value in pairs)
        return f"{type(self).__name__}({fields})"


def brief(value: Any) -> str:
    """Return a value in less than a line, or what it is made of."""
    if isinstance(getattr(value, "dtype", None), np.dtype) and hasattr(value, "shape"):
        return repr(value) if value.shape == () else f"{value.dtype.name} {value.shape}"
    if isinstance(value, Mapping):
        shown = [f"{brief(key)}: {brief(inner)}" for key, inner in islice(value.items(), MOST)]
        return f"{{{_joined(shown, len(value))}}}"
    if isinstance(value, list | tuple) and type(value).__repr__ in (list.__repr__, tuple.__repr__):
        shown = [brief(inner) for inner in value[:MOST]]
        text = _joined(shown, len(value))
        if isinstance(value, list):
            return f"[{text}]"
        return f"({text},)" if len(value) == 1 else f"({text})"
    text = repr(value)
    return text if isinstance(value, Brief) else cut(text)


def cut(text: str) -> str:
    """Return a text of one line and at most ``LONGEST`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 4]} ..."


def _joined(shown: list[str], count: int) -> str:
    return ", ".join([*shown, *([f"... {count - MOST:,} more"] if count > MOST else [])])
