"""Ctrl-C, SIGTERM and SIGHUP while networks are being trained."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@contextmanager
def first() -> Iterator[list[int]]:
    """Put the first of the signals into the list yielded, to be looked at between two steps.

    A second one does what it does by default: SIGINT raises KeyboardInterrupt at once, the
    others end the process. A process that was started with one of them ignored, as by nohup,
    goes on ignoring it.
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


@contextmanager
def as_ctrl_c() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, too; which one came is in the list yielded.

    After the first they are ignored: who ends a group of processes sends it to each of them and
    again to all, and a process that ends in the middle of this leaves others behind.
    """
    received: list[int] = []
    others = (signal.SIGTERM, signal.SIGHUP)
    heeded = {
        number: handler
        for number in others
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for other in heeded:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in heeded:
        signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
