"""What is received, made fit to be shown: on one line, without commands, of bounded length."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

MOST = 500
"""Characters of a received value: six lines of a terminal."""
MOST_OF_NAME = 80
"""Of a class's name, of which there are many."""
_TAIL = 80
"""Of those, so many of its end, where the reason stands in "FILE (no such file)"."""


def printable(text: str) -> str:
    """Return a text on one line, without what would command the terminal that shows it.

    Escaped are control and format characters (those that turn the direction of writing among
    them), separators other than the space, and halves of surrogate pairs.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """Return a text of our own, which has lines, with what it quotes made ``printable``."""
    return "\n".join(map(printable, text.split("\n")))


def escape(text: str) -> str:
    """Return text as HTML, in which a file's name can neither be markup nor turn what is around."""
    return html.escape(printable_lines(text))


def is_unicode(text: str) -> bool:
    """Whether there is no half of a surrogate pair in a text, which no encoding can write."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def shortened(text: str, most: int = MOST, tail: int | None = None) -> str:
    """Return ``printable(text)``; of one longer than ``most`` its ends, and what lies between.

    Of its end so many characters as ``tail`` says, fewer than ``most``.
    """
    if len(text) <= most and len(shown := printable(text)) <= most:
        return shown
    tail = min(_TAIL, most // 4) if tail is None else tail
    begin, end = _fitting(text, most - tail), _fitting(text[::-1], tail)[::-1]
    left_out = len(text) - len(begin) - len(end)
    return f"{printable(begin)}... ({left_out:,} more characters) ...{printable(end)}"


def class_shown(name: str) -> str:
    """Return the name of a class as texts and pages show it: JSON and files have it whole."""
    return shortened(name, MOST_OF_NAME)


def first_of(words: Sequence[str], most: int) -> list[str]:
    """Return the first words, and how many there are in all where that leaves some out."""
    if len(words) <= most:
        return list(words)
    return [*words[:most], f"... ({len(words):,} in all)"]


def _fitting(text: str, room: int) -> str:
    """Return as much of the beginning as takes no more than ``room`` once it is printable."""
    length = min(len(text), room)
    while (taken := len(printable(text[:length]))) > room:
        length = length * room // taken
    return text[:length]


def brief(value: object, most: int = 80) -> str:
    """Return ``repr(value)``, fit to be shown in the middle of a sentence."""
    return shortened(written(value, repr), most)


def written(value: object, how: Callable[[object], str] = str) -> str:
    """Return what ``how``, str or repr, makes of a value; Python writes no integer that is huge."""
    try:
        return how(value)
    except ValueError:
        size = value.bit_length() if isinstance(value, int) else 0
        return f"an integer of {size:,} bits" if size else f"a {type(value).__name__}"
