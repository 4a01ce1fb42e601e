"""Ctrl-C and SIGTERM while a network is being trained."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


@contextmanager
def first() -> Iterator[list[int]]:
    """Put the first SIGINT or SIGTERM into the list yielded, to be looked at between two steps.

    A second one does what it does by default: SIGINT raises KeyboardInterrupt at once, SIGTERM
    ends the process. A process that was started with one of them ignored, as by nohup, goes on
    ignoring it.
    """
    received: list[int] = []
    previous = {number: signal.getsignal(number) for number in NAMES}
    heeded = {
        number: handler for number, handler in previous.items() if handler is not signal.SIG_IGN
    }

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for other, handler in heeded.items():
            signal.signal(other, handler)

    for number in heeded:
        signal.signal(number, remember)
    try:
        yield received
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
