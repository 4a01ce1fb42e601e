"""Ctrl-C and what ends a process, be it sent by hand, by a terminal or by a batch system.

A process that was started with one of them ignored, as by nohup, goes on ignoring it.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from convprop.cli.output import STDERR, STDOUT, write_nowhere

NAMES = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "SIGHUP",
    # With these batch systems and limits of processor time announce that time is up.
    signal.SIGUSR1: "SIGUSR1",
    signal.SIGUSR2: "SIGUSR2",
    signal.SIGXCPU: "SIGXCPU",
    # Python ignores it, and gets BrokenPipeError instead.
    signal.SIGPIPE: "the reader of its output, who has gone",
}

SAME_SECONDS = 1.0
"""A Ctrl-C that comes so soon after the first signal is no other one: the key was leaned on."""


class Ending:
    """The first of the signals, and when it and a Ctrl-C after it raise KeyboardInterrupt.

    Of further signals only Ctrl-C counts: ``timeout`` and closing terminals send theirs twice, to
    the process and to its group, and the second must not cut off what the first has begun.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        """The first one."""
        self._came = 0.0
        self._noted = self._held = self._waiting = False

    def note_the_first(self) -> None:
        """From now on only put the first one down, to be looked at between two steps."""
        self._noted = True

    def take_broken_pipe(self, descriptor: int) -> None:
        """Take for a signal that an output's reader has gone; the rest is written nowhere."""
        write_nowhere(descriptor)
        self.signal = self.signal or signal.SIGPIPE

    def hold(self) -> None:
        """From now on let a Ctrl-C wait: files are being written that belong together."""
        self._held = True

    def release(self) -> None:
        """Raise KeyboardInterrupt if a Ctrl-C waits, and from now on as soon as one comes."""
        self._noted = self._held = False
        if self._waiting:
            raise KeyboardInterrupt

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal in."""
        _leave_lost_terminal()
        if self.signal is None:
            self.signal, self._came = signal.Signals(number), time.monotonic()
            waits = self._noted or self._held
        elif number != signal.SIGINT or time.monotonic() - self._came < SAME_SECONDS:
            return
        else:
            waits = self._waiting = self._held
        if not waits:
            # What is interrupted may write files before it comes to its end.
            self._held = self._noted
            raise KeyboardInterrupt


@contextmanager
def ending() -> Iterator[Ending]:
    """Let the signals raise KeyboardInterrupt, as what is yielded says.

    One that leaves the block for another signal than Ctrl-C becomes that signal's exit status.
    """
    taken = Ending()
    previous = {
        number: handler
        for number in NAMES
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }
    try:
        for number in previous:
            signal.signal(number, taken.handle)
        yield taken
    except KeyboardInterrupt:
        if taken.signal in (None, signal.SIGINT):
            raise
        raise SystemExit(128 + taken.signal) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _leave_lost_terminal() -> None:
    """Write nowhere what would go to a terminal that was closed: an error there loses the rest."""
    for stream in (STDOUT, STDERR):
        try:
            lost = stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream)
        except OSError:  # It was never open.
            continue
        if lost:
            write_nowhere(stream)
