"""The log of a training: lines of JSON, and event files for TensorBoard."""

from __future__ import annotations

import io
import os
import platform
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from convprop.cli.options import UsageError, written_by
from convprop.cli.terminal import json_line
from convprop.errors import invalid
from convprop.files.atomic import append_file, replace_file
from convprop.machine.native import engine
from convprop.training import EpochRecord, History
from convprop.version import version


class JsonLog:
    """One line for the start, one for each epoch, one for the end.

    A training that goes on from a checkpoint begins the file anew with the epochs that the
    checkpoint knows of, so that each is there once, however often it was interrupted.
    """

    def __init__(self, path: Path, option: str) -> None:
        """``option`` is the one that the path was given by."""
        self.path = path
        self._file = _GrowingFile(path, option)

    def start(self, history: History, facts: dict[str, Any]) -> None:
        """Begin the file."""
        lines = [_line("start", facts), *(_line("epoch", epoch._asdict()) for epoch in history)]
        self._file.add("".join(lines).encode())

    def epoch(self, epoch: EpochRecord) -> None:
        """Add an epoch."""
        self._file.add(_line("epoch", epoch._asdict()).encode())

    def end(self, result: dict[str, Any]) -> None:
        """Add what came of it, or the error that ended it."""
        without = {name: value for name, value in result.items() if name != "history"}
        self._file.add(_line("end", without).encode())


class _GrowingFile:
    """A new file that grows; what it does not take it is given again with what comes next."""

    def __init__(self, path: Path, option: str) -> None:
        self._path, self._option = path, option
        self._left, self._write = b"", replace_file

    def add(self, content: bytes) -> None:
        """Write at the end, all or nothing; raise InvalidInput where that fails."""
        self._left += content
        with written_by(self._option):
            self._write(self._path, self._left)
        self._left, self._write = b"", append_file


def _line(event: str, facts: dict[str, Any]) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json_line({"event": event, "time": now} | facts) + "\n"


def versions() -> dict[str, str]:
    """Return what the numbers may depend on."""
    return {
        "convprop": version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "isa": engine.isa,
        "platform": platform.platform(),
    }


class TensorBoardLog:
    """An event file with a scalar for each of an epoch's numbers, at the number of the epoch."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; raise UsageError if the package tensorboard is not installed."""
        try:
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            message = "--tensorboard needs a package: pip install 'convprop[tensorboard]'"
            raise UsageError(message) from None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            received = f"{folder} ({(error.strerror or str(error)).lower()})"
            rule = "name a folder that can be written"
            raise invalid("--tensorboard", rule, received) from None
        # Named as TensorBoard expects it: it shows the files of a folder in the order of names.
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.0"
        self.path = folder / name
        self._file = _GrowingFile(self.path, "--tensorboard")
        self._record_writer = RecordWriter

    def start(self, history: History, facts: dict[str, Any]) -> None:
        """Begin a file; what an interrupted training wrote of later epochs is to be forgotten."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._add(0, file_version="brain.Event:2")
        self._add(len(history) + 1, session_log=SessionLog(status=SessionLog.START))

    def epoch(self, epoch: EpochRecord) -> None:
        """Add an epoch's numbers."""
        values = {
            "loss/training": epoch.loss,
            "loss/validation": epoch.validation_loss,
            "accuracy/training": epoch.accuracy,
            "accuracy/validation": epoch.validation_accuracy,
            "learning rate": epoch.learning_rate,
            "seconds": epoch.seconds,
        }
        self._scalars(epoch.epoch, values)

    def end(self, result: dict[str, Any]) -> None:
        """Add what was measured on the test images: nothing, where training failed."""
        values = {
            "loss/test": result.get("test_loss"),
            "accuracy/test": result.get("test_accuracy"),
        }
        self._scalars(result["epochs"], values)

    def _scalars(self, step: int, values: dict[str, float | None]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        known = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in values.items()
            if value is not None
        ]
        self._add(step, summary=Summary(value=known))

    def _add(self, step: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time(), step=step, **content)
        record = io.BytesIO()
        self._record_writer(record).write(event.SerializeToString())
        self._file.add(record.getvalue())
