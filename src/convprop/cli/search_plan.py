"""What a search is to do, and what the records of its trainings say.

The records are on the disk, and so there whatever ends the search and whichever process trained.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.cli import signals
from convprop.cli.search_settings import SETTINGS, Choices, combinations, word
from convprop.data.arrays import Array
from convprop.errors import invalid

FACTOR = 3
"""A round leaves one candidate in so many, and gives it so many times the epochs."""


@dataclass
class Candidate:
    """One combination of values, with what is known of it."""

    words: tuple[str, ...]
    values: tuple[Any, ...]
    epochs: int = 0
    """Of its last round."""
    scores: list[float] = field(default_factory=list)
    """Of its last round, one for each part that was held out."""
    seconds: float = 0.0
    """Of all its trainings."""

    @property
    def mean(self) -> float:
        """The mean of the scores."""
        return math.fsum(self.scores) / len(self.scores)

    @property
    def spread(self) -> float:
        """Their standard deviation."""
        return math.sqrt(math.fsum((s - self.mean) ** 2 for s in self.scores) / len(self.scores))


@dataclass
class Search:
    """What is searched, and how.

    Attributes
    ----------
    choices : Choices
    preset : str
        The network, where it is none of the choices.
    epochs : int
        The most that a candidate gets.
    most : int
        Of so many candidates at most; of more combinations some are drawn.
    folds : int
        Parts of the images, of which each is held out once.
    seed : int
    jobs : int
        How many processes train at once.
    records : Path
        The file with a line of JSON for each training that is done.
    """

    choices: Choices
    preset: str
    epochs: int
    most: int
    folds: int
    seed: int
    jobs: int
    records: Path

    @property
    def candidates(self) -> int:
        """How many there are in the first round."""
        return min(combinations(self.choices), self.most)

    @property
    def rounds(self) -> list[tuple[int, int]]:
        """Candidates and epochs of each round, as scikit-learn makes them."""
        needed, left = 1, self.candidates
        while left >= FACTOR:
            needed, left = needed + 1, left // FACTOR
        first = max(self.epochs // FACTOR ** (needed - 1), 1)
        left, epochs = self.candidates, first
        rounds: list[tuple[int, int]] = []
        while len(rounds) < needed and epochs <= self.epochs:
            rounds.append((left, epochs))
            left, epochs = -(-left // FACTOR), epochs * FACTOR
        return rounds

    def run(self, images: Array, labels: NDArray[np.int32]) -> None:
        """Train and measure; what comes of it is in the records."""
        # Without this import the two searches cannot be imported.
        from sklearn.experimental import enable_halving_search_cv  # noqa: F401
        from sklearn.model_selection import (
            HalvingGridSearchCV,
            HalvingRandomSearchCV,
            StratifiedKFold,
        )

        from convprop.cli.search_guard import whole_or_ended
        from convprop.cli.search_worker import Scorer, TimedClassifier

        seed = self.seed % 2**32  # scikit-learn's seeds are shorter.
        grid = {SETTINGS[name].parameter: values for name, values in self.choices.items()}
        common: dict[str, Any] = {
            "resource": "epochs",
            "min_resources": self.rounds[0][1],
            "max_resources": self.epochs,
            "factor": FACTOR,
            "cv": StratifiedKFold(self.folds, shuffle=True, random_state=seed),
            "scoring": Scorer(self.records, tuple(self.choices)),
            "refit": False,
            "error_score": "raise",
            "return_train_score": False,
            "n_jobs": self.jobs,
            "random_state": seed,
        }
        classifier = TimedClassifier(self.preset, data_format="NCHW", random_state=seed)
        if combinations(self.choices) > self.most:
            search = HalvingRandomSearchCV(classifier, grid, n_candidates=self.most, **common)
        else:
            search = HalvingGridSearchCV(classifier, grid, **common)
        guarded = whole_or_ended(self.jobs) if self.jobs > 1 else nullcontext()
        try:
            with guarded:
                if self.jobs > 1:
                    _start_cleaner()
                search.fit(images, labels)
        except BrokenExecutor:  # As where the system, short of memory, kills one.
            rule = "leave each process the memory it needs: one of them has been killed"
            raise invalid("--jobs", rule, self.jobs) from None

    def finished(self) -> list[dict[str, Any]]:
        """Return a record of each training that is done."""
        if not self.records.exists():
            return []
        lines = self.records.read_text(encoding="utf-8").splitlines()
        # On a full disk one may have been cut off.
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def ranked(self) -> list[Candidate]:
        """Return what was tried, the best first: those that came furthest before the others."""
        found: dict[tuple[str, ...], Candidate] = {}
        # Records come in the order in which processes end, and a sum depends on its order.
        for record in sorted(self.finished(), key=lambda r: (r["epochs"], r["score"])):
            words = tuple(record["words"])
            candidate = found.setdefault(words, Candidate(words, self._values(words)))
            if record["epochs"] > candidate.epochs:
                candidate.epochs, candidate.scores = record["epochs"], []
            candidate.scores.append(record["score"])
            candidate.seconds += record["seconds"]
        order = [[word(value) for value in values] for values in self.choices.values()]
        return sorted(
            found.values(),
            key=lambda c: (-c.epochs, -c.mean, _places(c.words, order)),
        )

    def _values(self, words: tuple[str, ...]) -> tuple[Any, ...]:
        return tuple(
            next(value for value in values if word(value) == written)
            for written, values in zip(words, self.choices.values(), strict=True)
        )


def _start_cleaner() -> None:
    """Start the process that removes what joblib's leave, deaf to what ends all the others.

    Started by joblib it hears some of what is sent to a whole group, and joblib then complains.
    """
    from joblib.externals.loky.backend.resource_tracker import ensure_running

    # What is blocked stays so in a process that is started.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.NAMES)
    try:
        ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _places(words: Sequence[str], order: Sequence[Sequence[str]]) -> list[int]:
    return [row.index(written) for written, row in zip(words, order, strict=True)]
