"""Which known name somebody meant: only one that is near is worth a suggestion."""

from __future__ import annotations

from collections.abc import Iterable

_SHORTEST = 3
"""Letters that a name must share from the beginning to be its abbreviation."""


def nearest(received: str, names: Iterable[str]) -> str | None:
    """Return the name that ``received`` may have been meant for, or None.

    It is one with a letter wrong in every four or so; one that is abbreviated or gone on with
    (--valid for --validation, --output for --out); or one of several words, of which it is one.
    """
    word, words = _plain(received), {_plain(name): name for name in names}
    near = [(steps, plain) for plain in words if (steps := _steps(word, plain)) is not None]
    if near:
        return words[min(near)[1]]
    longer = (
        plain
        for plain in words
        if min(len(word), len(plain)) >= _SHORTEST
        and (plain.startswith(word) or word.startswith(plain))
    )
    of_several = (plain for plain in words if word in plain.split("_"))
    found = next(longer, None) or next(of_several, None)
    return None if found is None else words[found]


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_").lower()


def _steps(one: str, other: str) -> int | None:
    """Return how many letters are wrong, missing, added or exchanged; None where too many are.

    Optimal string alignment, row by row.
    """
    most = (max(len(one), len(other)) + 1) // 4
    if abs(len(one) - len(other)) > most:
        return None
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, above, row = row, before, [i]
        for j, wanted in enumerate(other, start=1):
            steps = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                steps = min(steps, above[j - 2] + 1)
            row.append(steps)
    return row[-1] if row[-1] <= most else None
