"""``--try learning_rate=0.001,0.003``: which settings a search may vary, and between what."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cyclopts import CoercionError, Token

from convprop.cli import options
from convprop.cli.augment_option import augment_text, read_augment
from convprop.cli.options import UsageError, unknown_name
from convprop.errors import invalid
from convprop.optimizers import OPTIMIZERS
from convprop.training.augmentation import Augment

NONE = "none"
"""The word for a setting that is left out."""

DIVERGED = -1.0
"""The score of a training whose loss was no number any more: below all others."""

Choices = dict[str, list[Any]]

MANY_BATCHES = 20
"""Of an epoch: with fewer, `usual` tries smaller ones."""
"""What each setting may be, by its name as an option of ``convprop train``."""


@dataclass(frozen=True)
class Setting:
    """One that may be varied: the estimators' parameter, and how a word of it is read."""

    parameter: str
    read: Callable[[str], Any]
    optional: bool = False


def _by(converter: Callable[[Any, Sequence[Token]], Any]) -> Callable[[str], Any]:
    return lambda text: converter(None, [Token(value=text)])


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"be one of {', '.join(names)}")
        return text

    return read


def _augment(text: str) -> Augment:
    return read_augment(text, "--try augment")


SETTINGS = {
    "learning_rate": Setting("learning_rate_init", _by(options.positive_number)),
    "batch_size": Setting("batch_size", _by(options.count_from_one)),
    "optimizer": Setting("optimizer", _one_of(tuple(OPTIMIZERS))),
    "preset": Setting("network", _one_of(options.PRESET_NAMES)),
    "augment": Setting("augment", _augment, optional=True),
    "label_smoothing": Setting("label_smoothing", _by(options.smoothing)),
    "clip_norm": Setting("clip_norm", _by(options.positive_number), optional=True),
    "average": Setting("average", _by(options.proper_fraction), optional=True),
    "class_weight": Setting("class_weight", _one_of(("balanced",)), optional=True),
}
"""By the names of ``convprop train``'s options."""


def read_tries(texts: Sequence[str]) -> Choices:
    """Read "name=value,value,..." for each setting.

    Raises
    ------
    UsageError
        An unknown name, one that comes twice, no value, one that comes twice, or a value that
        the option of that name refuses.
    """
    choices: Choices = {}
    for text in texts:
        name, _, values = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if name == "epochs":
            rule = "leave epochs to --epochs, the most that any candidate gets"
            raise UsageError(str(invalid("--try", rule, text)))
        if name not in SETTINGS:
            raise UsageError(unknown_name("--try", "name one of", SETTINGS, name or "''"))
        if name in choices:
            raise UsageError(str(invalid("--try", f"name {name} once", "it again")))
        chosen = choices[name] = [_value(name, word.strip()) for word in values.split(",")]
        if any(chosen.count(value) > 1 for value in chosen):
            raise UsageError(str(invalid(f"--try {name}", "hold each value once", values)))
    return choices


def _value(name: str, word: str) -> Any:
    setting = SETTINGS[name]
    if setting.optional and word == NONE:
        return None
    try:
        return setting.read(word)
    except CoercionError as error:
        rule = str(error.msg)
    except ValueError as error:
        rule = str(error)
    more = f", or {NONE}" if setting.optional else ""
    raise UsageError(str(invalid(f"--try {name}", f"{rule}{more}", word or "''")))


def usual(learning_rate: float, batch_size: int, images: int) -> Choices:
    """Return what to try where nothing is named: rates around a preset's, and other batches.

    Larger ones, or where an epoch would have few of them smaller ones.
    """
    rates = [float(f"{learning_rate * factor:.2g}") for factor in (1 / 3, 1, 3)]
    many = images >= MANY_BATCHES * batch_size
    sizes = [batch_size, 2 * batch_size] if many else [max(batch_size // 4, 1), batch_size]
    return {"learning_rate": rates, "batch_size": sizes}


def combinations(choices: Choices) -> int:
    """Return how many there are."""
    return math.prod(len(values) for values in choices.values())


def word(value: Any) -> str:
    """Return how a value is written on the command line."""
    if value is None:
        return NONE
    if isinstance(value, Augment):
        return augment_text(value) or NONE
    return str(value)
