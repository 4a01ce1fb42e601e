"""The process's two outputs, and where goes what they do not take.

A disk that fills up under stdout must not cost the work that is told of there. So consoles then
write on stderr what is left to say, and the exit status tells that something is missing. A reader
that goes away is another matter: BrokenPipeError is left to the caller.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO, Any

from convprop.errors import ConvpropError, InvalidInput, invalid

STDOUT, STDERR = 1, 2

_faults: list[InvalidInput] = []


class OutputError(ConvpropError):
    """What stdout was given is lost, and is all that the command was to do."""


def begin() -> None:
    """Begin a command: nothing has failed yet."""
    _faults.clear()


def has_failed() -> bool:
    """Whether stdout has not taken all that this command has written."""
    return bool(_faults)


def put(text: str) -> None:
    """Write results to stdout at once.

    Raises
    ------
    OutputError
        They could not be written.
    """
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        write_nowhere(sys.stdout.fileno())
        raise OutputError(str(_fault(error))) from None


def write_nowhere(descriptor: int) -> None:
    """Let an output take all that is written, and that it holds back, without an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    if nowhere != descriptor:
        os.close(nowhere)


class Kept:
    """An output as a console's file, which keeps the console from failing with it."""

    def __init__(self, stream: IO[str], descriptor: int) -> None:
        self._stream, self._descriptor = stream, descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write at once, or what stdout does not take to stderr."""
        if self._descriptor == STDOUT and _faults:
            return self._write_to_stderr(text)
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            write_nowhere(self._stream.fileno())
            if self._descriptor == STDOUT:
                _faults.append(_fault(error))
                self._write_to_stderr(f"error: {_faults[0]}; what follows is here instead\n{text}")
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    @staticmethod
    def _write_to_stderr(text: str) -> int:
        with suppress(AttributeError):  # There is none.
            Kept(sys.stderr, STDERR).write(text)
        return len(text)


def _fault(error: OSError) -> InvalidInput:
    return invalid("stdout", "take what is written", (error.strerror or str(error)).lower())
