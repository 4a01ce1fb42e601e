"""``--augment "shift=2 rotation=10 flip=horizontal"``: augmentation as words of a command line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any

from cyclopts import Parameter, Token

from convprop.cli.options import UsageError, token_name, unknown_name
from convprop.cli.setting_words import made_of, names_of
from convprop.errors import invalid
from convprop.training.augmentation import FLIPS, Augment

NAMES = names_of(Augment)


def read_augment(text: str, parameter: str = "--augment") -> Augment:
    """Read settings separated by spaces or commas.

    Parameters
    ----------
    text : str
        "name=value" for fields of ``Augment``; "shift=2x3" is two rows and three columns.
    parameter : str
        What the message begins with.

    Raises
    ------
    UsageError
        Nothing set, an unknown name, one that comes twice, or a value that ``Augment`` refuses.
    """
    words = text.replace(",", " ").split()
    if not words:
        rule = 'be settings as in "shift=2 rotation=10"'
        raise UsageError(str(invalid(parameter, rule, text or "''")))

    def value(name: str, word: str) -> Any:
        if name == "flip" and word not in FLIPS:
            raise UsageError(f"{parameter}: {unknown_name(name, 'be one of', FLIPS, word)}")
        return _value(name, word)

    return made_of(Augment, words, value, parameter, "set one of")


def _value(name: str, text: str) -> Any:
    """Return a number, a pair of numbers or a word; what is none of them stays as it is."""
    if name == "shift" and (match := re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text)):
        return int(match[1]), int(match[2] or match[1])
    if name not in ("shift", "flip"):
        with contextlib.suppress(ValueError):
            return float(text)
    return text


def augment_text(augment: Augment) -> str:
    """Return what `read_augment` reads as ``augment``; "" where nothing is set."""
    words = []
    for field in fields(augment):
        value = getattr(augment, field.name)
        if field.name == "shift":
            rows, columns = value
            if rows or columns:
                words.append(f"shift={rows}" if rows == columns else f"shift={rows}x{columns}")
        elif value != field.default:
            shown = f"{value:.0f}" if isinstance(value, float) and value.is_integer() else value
            words.append(f"{field.name}={shown}")
    return " ".join(words)


def augment_setting(_: Any, tokens: Sequence[Token]) -> Augment:
    """Read ``--augment``."""
    return read_augment(tokens[0].value, token_name(tokens[0], "--augment"))


AugmentOption = Annotated[
    Augment | None,
    Parameter(converter=augment_setting, n_tokens=1, accepts_keys=False, metavar="SETTINGS"),
]
