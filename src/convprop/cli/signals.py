"""Ctrl-C, SIGTERM and SIGHUP while networks are being trained.

A process that was started with one of them ignored, as by nohup, goes on ignoring it.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@contextmanager
def first() -> Iterator[list[int]]:
    """Put the first of the signals into the list yielded, to be looked at between two steps.

    After it Ctrl-C raises KeyboardInterrupt at once.
    """
    with _first_of(NAMES, lambda: None) as received:
        yield received


@contextmanager
def as_ctrl_c() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, too; which came is in the list yielded."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with _first_of((signal.SIGTERM, signal.SIGHUP), interrupt) as received:
        yield received


@contextmanager
def _first_of(numbers: Iterable[signal.Signals], act: Callable[[], None]) -> Iterator[list[int]]:
    """Put the first signal into the list yielded, and act on it.

    Further ones are ignored, but for Ctrl-C: ``timeout`` and closing terminals send theirs twice,
    to the process and to its group, and the second must not cut off what the first has begun.
    """
    received: list[int] = []
    previous = {
        number: handler
        for number in numbers
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for other, handler in previous.items():
            signal.signal(other, handler if other is signal.SIGINT else signal.SIG_IGN)
        _leave_lost_terminal()
        act()

    try:
        for number in previous:
            signal.signal(number, handle)
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _leave_lost_terminal() -> None:
    """Write nowhere what would go to a terminal that was closed: an error there loses the rest."""
    for stream in (1, 2):
        try:
            lost = stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream)
        except OSError:  # It was never open.
            continue
        if lost:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)
