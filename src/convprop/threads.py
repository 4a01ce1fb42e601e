"""How many threads the engine uses; the results do not depend on it."""

from __future__ import annotations

from convprop._native import engine
from convprop.geometry import positive_integer


def set_num_threads(threads: int) -> None:
    """Let every later call use ``threads`` threads; raise InvalidInput unless it is at least 1."""
    engine.set_num_threads(positive_integer("threads", threads))


def get_num_threads() -> int:
    """Return how many threads are used; at first, as many as the process may run on."""
    return int(engine.get_num_threads())
