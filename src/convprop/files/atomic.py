"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path

from convprop.errors import invalid


def replace_file(path: str | PathLike[str], content: bytes) -> None:
    """Write the content beside the path, flush it to the disk, then rename it."""
    with replacing(path) as write:
        write(content)


@contextlib.contextmanager
def replacing(path: str | PathLike[str]) -> Iterator[Callable[[bytes], None]]:
    """Give what writes the parts of a file, which takes the path's place when the block ends.

    Where the block raises, the path is as it was, and nothing is left beside it.
    """
    with _explained(path):
        target, temporary = _places(path)
        _remove_abandoned(target)
        # Closed below, before it is renamed or removed.
        file = open(temporary, "xb")  # noqa: SIM115

    def write(content: bytes) -> None:
        with _explained(path):
            file.write(content)
            file.flush()

    try:
        try:
            yield write
            with _explained(path):
                os.fsync(file.fileno())
        finally:
            # What could not be written is still in the buffer, and fails once more.
            with contextlib.suppress(OSError):
                file.close()
        with _explained(path):
            os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with _explained(path):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def append_file(path: str | PathLike[str], content: bytes) -> None:
    """Add the content to the end of a file, all of it or nothing."""
    with _explained(path), open(path, "ab", buffering=0) as file:
        end = file.tell()
        left = memoryview(content)
        try:
            while left:
                left = left[file.write(left) :]
        except BaseException:
            file.truncate(end)
            raise


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes have left of ``target``, or of what is named after it."""
    for path in target.parent.glob(f".{escaped(target.name)}*.tmp"):
        number = path.name.split(".")[-2]
        if number.isdecimal() and not _runs(int(number)):
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    if process == os.getpid():
        return False  # What it is about to write.
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def escaped(name: str) -> str:
    """Return a name with nothing in it that a pattern of names would take for more."""
    return re.sub(r"([*?\[])", r"[\1]", name)


@contextlib.contextmanager
def _explained(path: str | PathLike[str]) -> Iterator[None]:
    """Turn an OSError of writing ``path`` into the package's own."""
    try:
        yield
    # A name with a null character is a ValueError.
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        named = os.fspath(path) or "''"
        raise invalid("path", "name a file that can be written", f"{named} ({reason})") from None


def check_writable(path: str | PathLike[str]) -> None:
    """Raise InvalidInput if `replace_file` could not write ``path``; leave nothing behind."""
    with _explained(path):
        _, trial = _places(path)
        with open(trial, "xb"):
            pass
        trial.unlink()


@contextlib.contextmanager
def locked(path: str | PathLike[str]) -> Iterator[None]:
    """Keep ``path`` from every other block of this kind; raise InvalidInput if one has it.

    What is locked is an empty file beside it, for ``path`` itself is replaced. The kernel ends
    the lock with the process, so that of a killed one nothing but that file is left. Where
    there are no locks, as on some network drives, the block has none.
    """
    with _explained(path):
        target, _ = _places(path)
    place = target.with_name(f".{target.name}.lock")
    try:
        file = _lock(place)
    except BlockingIOError:
        raise invalid("path", "name a file that no other training is writing", path) from None
    try:
        yield
    finally:
        if file is not None:
            # As long as it is locked: the next one makes a file of its own.
            place.unlink(missing_ok=True)
            os.close(file)


def _lock(place: Path) -> int | None:
    """Return the open file that is locked, None where there are no locks."""
    while True:
        try:
            file = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one that had it may have removed the file in between.
            if place.exists() and os.path.samestat(os.fstat(file), os.stat(place)):
                return file
        except BlockingIOError:
            os.close(file)
            raise
        except OSError:
            os.close(file)
            return None
        os.close(file)


def _places(path: str | PathLike[str]) -> tuple[Path, Path]:
    """Return the file that ``path`` names and a name beside it; OSError if it is no such file.

    A rename would put a regular file in the place of a device, a pipe or a socket.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "not a regular file")
    if not os.fspath(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    # A link keeps pointing to its file; only the file is replaced.
    target = Path(os.path.realpath(path))
    return target, target.with_name(f".{target.name}.{os.getpid()}.tmp")
