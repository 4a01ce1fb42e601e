"""How many threads the engine uses; the results do not depend on it."""

from __future__ import annotations

from convprop._native import engine
from convprop.geometry import positive_integer
from convprop.processors import MOST_THREADS, processors


def set_num_threads(threads: int) -> None:
    """Let every later call use ``threads`` threads; raise InvalidInput unless in 1 .. 1024.

    They are started when a call first needs them; TooFewThreads where the system does not.
    """
    engine.set_num_threads(positive_integer("threads", threads, MOST_THREADS), processors())


def get_num_threads() -> int:
    """Return how many threads are used; at first, ``processors.default_threads``."""
    return int(engine.get_num_threads())
