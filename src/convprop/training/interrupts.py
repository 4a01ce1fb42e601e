"""Ctrl-C between two steps, so that what is then kept belongs together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def between_steps() -> Iterator[list[int]]:
    """Put the first SIGINT into the list yielded, to be looked at where it can be obeyed.

    A second one raises KeyboardInterrupt at once. Where SIGINT does something else already, or
    in another thread than the main one, nothing is changed.
    """
    received: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield received
        return

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, remember)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
