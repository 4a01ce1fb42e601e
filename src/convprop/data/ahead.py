"""Work that threads do ahead of the use of its results."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from convprop.errors import TooFewThreads
from convprop.machine.processors import default_threads

if TYPE_CHECKING:
    from concurrent.futures import Future

_NAMED = "convprop-read"

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(function: Callable[[Item], Result], items: Iterable[Item], most: int) -> Iterator[Result]:
    """Yield ``function(item)`` in order, at most ``most`` of them computed before their use.

    Items are taken from their iterator in the calling thread and no earlier than needed.
    Closing the iterator ends the threads. An error comes where its result would have.

    Raises
    ------
    TooFewThreads
        The system starts fewer than it takes.
    """
    # Imported here, as other modules that take time and that few need: `import convprop` is fast.
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[Future[Result]] = deque()
    threads = default_threads()
    workers = ThreadPoolExecutor(threads, thread_name_prefix=_NAMED)
    try:
        for item in items:
            try:
                waiting.append(workers.submit(function, item))
            except RuntimeError:
                started = sum(thread.name.startswith(_NAMED) for thread in threading.enumerate())
                rule = f"threads must be at most the {started} that this process can start"
                raise TooFewThreads(f"{rule}, got {threads} to read with") from None
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        workers.shutdown(wait=True, cancel_futures=True)
