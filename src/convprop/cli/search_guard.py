"""What joblib's processes need of the system, and how a search ends that does not get it.

joblib (its loky) starts processes, then a thread that has the work done, and that thread starts
another one, and further processes as they are needed. Where that thread dies, joblib waits for its
results for ever; where it cannot be started, the processes are left to themselves.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from convprop.errors import invalid
from convprop.machine.threads import starting_threads

_WAKE = signal.SIGALRM
"""Nothing else here uses it. A signal ends a wait of any kind, as no exception does."""


@contextmanager
def whole_or_ended(jobs: int) -> Iterator[None]:
    """Raise what ended one of joblib's threads, and end its processes, whatever the block raises.

    Raises
    ------
    TooFewThreads
        A thread that it needs cannot be started.
    InvalidInput
        A process that it needs cannot be started.
    """
    before = set(multiprocessing.active_children())
    try:
        with _starting_processes(jobs), starting_threads(), _threads_that_die():
            yield
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            if process.pid is not None:
                with suppress(ProcessLookupError):
                    # loky's have no kill().
                    os.kill(process.pid, signal.SIGKILL)
                process.join()
        raise


@contextmanager
def _starting_processes(jobs: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.ENOMEM):
            raise
        rule = "be at most the processes that the system lets this one start"
        raise invalid("--jobs", rule, jobs) from None


@contextmanager
def _threads_that_die() -> Iterator[None]:
    """Raise in this thread, the main one, what ends a thread that the block starts."""
    others, main = set(threading.enumerate()), threading.main_thread().ident
    died: list[BaseException] = []
    shown = threading.excepthook

    def take(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is None or arguments.thread in others or main is None:
            shown(arguments)
            return
        try:
            # Here, while all threads are there that could be started: the error has their number.
            with starting_threads():
                raise arguments.exc_value
        except BaseException as error:
            died.append(error)
        signal.pthread_kill(main, _WAKE)

    def wake(number: int, frame: FrameType | None) -> None:
        if died:
            raise died[0]

    handler = signal.signal(_WAKE, wake)
    threading.excepthook = take
    try:
        yield
    finally:
        threading.excepthook = shown
        signal.signal(_WAKE, handler)
