"""Work that threads do ahead of the use of its results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from convprop.processors import default_threads

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(function: Callable[[Item], Result], items: Iterable[Item], most: int) -> Iterator[Result]:
    """Yield ``function(item)`` in order, at most ``most`` of them computed before their use.

    Items are taken from their iterator in the calling thread and no earlier than needed.
    Closing the iterator ends the threads. An error comes where its result would have.
    """
    # Imported here, as other modules that take time and that few need: `import convprop` is fast.
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[Future[Result]] = deque()
    workers = ThreadPoolExecutor(default_threads(), thread_name_prefix="convprop-read")
    try:
        for item in items:
            waiting.append(workers.submit(function, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        workers.shutdown(wait=True, cancel_futures=True)
