"""How many threads the engine uses; the results do not depend on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from convprop.checks import positive_integer
from convprop.errors import ConvpropError, TooFewThreads
from convprop.machine.native import engine
from convprop.machine.processors import MOST_THREADS, processors


def set_num_threads(threads: int) -> None:
    """Let every later call use ``threads`` threads; raise InvalidInput unless in 1 .. 1024.

    They are started when a call first needs them; TooFewThreads where the system does not.
    """
    engine.set_num_threads(positive_integer("threads", threads, MOST_THREADS), processors())


def get_num_threads() -> int:
    """Return how many threads are used; at first, ``processors.default_threads``."""
    return int(engine.get_num_threads())


@contextmanager
def starting_threads() -> Iterator[None]:
    """Raise TooFewThreads where the block needs a thread of Python that the system does not start.

    Python has no error of its own for it, and the libraries that start threads pass it on, or
    fail over it as they clean up.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, ConvpropError) or not _lacks_threads(error):
            raise
        running = threading.active_count()
        rule = f"threads must be at most the {running} that this process can start"
        raise TooFewThreads(f"{rule}, got {running + 1}") from None


def _lacks_threads(error: BaseException | None) -> bool:
    while error is not None and "can't start new thread" not in str(error):
        error = error.__context__
    return error is not None
