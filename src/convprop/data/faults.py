"""What a source of data that cannot be read is answered with."""

from __future__ import annotations

from pathlib import Path

from convprop.errors import DataError, sentence


def unusable(path: str | Path, rule: str, received: object) -> DataError:
    """Return the error "<path> must <rule>, got <received>"."""
    return DataError(sentence(path, rule, received))


def unreadable(path: str | Path, rule: str, received: object) -> DataError:
    """Return that error of a file or a folder which ``skip_unreadable`` leaves out."""
    error = unusable(path, rule, received)
    error.skippable = True
    return error


def reason(error: Exception) -> str:
    """Return what an error says, without the file's name that an OSError has in its text."""
    return str((isinstance(error, OSError) and error.strerror) or error)
