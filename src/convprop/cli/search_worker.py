"""One training of a search: in a process of its own, as a rule."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from convprop.cli.search_settings import DIVERGED, SETTINGS, word
from convprop.errors import TrainingDiverged, invalid
from convprop.estimators import ConvNetClassifier
from convprop.machine.threads import starting_threads
from convprop.training.symptoms import unremarked

_WATCH_SECONDS = 1.0


@cache
def _end_with_the_search() -> None:
    """Let a worker process end soon after the search that started it, however that ended."""
    search = multiprocessing.parent_process()
    if search is None:  # This process is the search itself.
        return

    def watch() -> None:
        while os.getppid() == search.pid:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    with starting_threads():
        threading.Thread(target=watch, daemon=True).start()


class TimedClassifier(ConvNetClassifier):
    """A preset trained as by ``convprop train``, with how long it took and whether it failed."""

    seconds_: float
    diverged_: bool

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train as ``ConvNetClassifier`` does; a loss that is no number is no error."""
        _end_with_the_search()
        started = time.perf_counter()
        try:
            with unremarked():
                super().fit(X, y, sample_weight)
            self.diverged_ = False
        except TrainingDiverged:
            self.diverged_ = True
        self.seconds_ = time.perf_counter() - started
        return self


@dataclass(frozen=True)
class Scorer:
    """Measures the accuracy on held-out images, and writes a line about it into a file."""

    records: Path
    tried: tuple[str, ...]

    def __call__(self, trained: TimedClassifier, X: Any, y: Any) -> float:
        """Return the accuracy, or ``DIVERGED``."""
        score = DIVERGED if trained.diverged_ else float(trained.score(X, y))
        parameters = trained.get_params(deep=False)
        record = {
            "words": [word(parameters[SETTINGS[name].parameter]) for name in self.tried],
            "epochs": parameters["epochs"],
            "score": score,
            "seconds": trained.seconds_,
        }
        try:
            # One write of a short line at the end of a file is whole, whoever else writes.
            with open(self.records, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            received = f"{self.records.parent} ({(error.strerror or str(error)).lower()})"
            raise invalid("TMPDIR", "name a folder that has room", received) from None
        return score
