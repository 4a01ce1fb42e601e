"""``--lookahead "steps=5 share=0.5"``: slow weights as words of a command line."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from convprop.cli.options import UsageError, token_name
from convprop.cli.setting_words import made_of, names_of
from convprop.errors import invalid
from convprop.training.lookahead import Lookahead


def read_lookahead(text: str, parameter: str = "--lookahead") -> Lookahead:
    """Read settings separated by spaces; what is not set is as it is by itself.

    Raises
    ------
    UsageError
        Nothing, an unknown name, one that comes twice, or a value that ``Lookahead`` refuses.
    """
    words = text.split()
    if not words:
        raise UsageError(str(invalid(parameter, 'be settings as in "steps=5 share=0.5"', "''")))
    return made_of(Lookahead, words, _value, parameter, "set one of")


def _value(name: str, text: str) -> Any:
    """Return a number; what is none is refused by the setting."""
    with contextlib.suppress(ValueError):
        return int(text) if name == "steps" else float(text)
    return text


def lookahead_text(lookahead: Lookahead) -> str:
    """Return what `read_lookahead` reads as ``lookahead``."""
    return " ".join(f"{name}={getattr(lookahead, name)}" for name in names_of(lookahead))


def _setting(_: Any, tokens: Sequence[Token]) -> Lookahead:
    return read_lookahead(tokens[0].value, token_name(tokens[0], "--lookahead"))


LookaheadOption = Annotated[
    Lookahead | None,
    Parameter(converter=_setting, n_tokens=1, accepts_keys=False, metavar="SETTINGS"),
]
