"""Ctrl-C while a command's modules are still being imported: an end without a traceback."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

_STATUS = 130


def _leave(number: int, frame: FrameType | None) -> None:
    # Nothing has been opened or written yet; an exception would be shown by the interpreter.
    os._exit(_STATUS)


def _is_command() -> bool:
    """Whether this process is ``convprop`` or ``python -m convprop``, not one that it started."""
    words = sys.orig_argv[1:3]
    return words == ["-m", "convprop"] or os.path.basename("".join(words[:1])) == "convprop"


def imported() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)
