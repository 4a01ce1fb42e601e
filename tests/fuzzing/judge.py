"""What an input may lead to: it is taken, or refused with the package's own error."""

from __future__ import annotations

from collections.abc import Callable

from convprop.errors import ConvpropError

LONGEST = 8000
"""Characters of a message: a file's name, a rule and a value."""


class Wrong(Exception):
    """What must not happen, by its kind and in words."""


def judged(attempt: Callable[[], None]) -> str:
    """Return "taken" or "refused"; raise Wrong for an error that is shown badly.

    Any other error is left to the caller.
    """
    try:
        attempt()
    except ConvpropError as error:
        check_shown(str(error))
        return "refused"
    return "taken"


def check_shown(text: str) -> None:
    """Raise Wrong if a terminal would take a text for more than words, or it has no end."""
    if odd := next((c for c in text if not c.isprintable() and c != "\n"), None):
        raise Wrong(f"a message with {odd!r}: {text[:200]!r}")
    if len(text) > LONGEST:
        raise Wrong(f"a message of {len(text):,} characters: {text[:200]!r}")


def must(holds: bool, what: str) -> None:
    """Raise Wrong unless it holds."""
    if not holds:
        raise Wrong(what)
