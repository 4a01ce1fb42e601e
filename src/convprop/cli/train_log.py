"""The log of a training: lines of JSON, and event files for TensorBoard."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convprop import __version__
from convprop._native import engine
from convprop.cli.options import UsageError, written_by
from convprop.cli.terminal import json_line
from convprop.errors import invalid
from convprop.files import append_file, replace_file
from convprop.training import EpochRecord, History

if TYPE_CHECKING:
    from tensorboard.summary.writer.event_file_writer import EventFileWriter


class JsonLog:
    """One line for the start, one for each epoch, one for the end.

    A training that goes on from a checkpoint begins the file anew with the epochs that the
    checkpoint knows of, so that each is there once, however often it was interrupted.
    """

    def __init__(self, path: Path, option: str) -> None:
        """``option`` is the one that the path was given by."""
        self.path, self.option = path, option

    def start(self, history: History, facts: dict[str, Any]) -> None:
        """Begin the file."""
        lines = [_line("start", facts), *(_line("epoch", epoch._asdict()) for epoch in history)]
        with written_by(self.option):
            replace_file(self.path, "".join(lines).encode())

    def epoch(self, epoch: EpochRecord) -> None:
        """Add an epoch."""
        self._append(_line("epoch", epoch._asdict()))

    def end(self, result: dict[str, Any]) -> None:
        """Add what came of it, or the error that ended it."""
        without = {name: value for name, value in result.items() if name != "history"}
        self._append(_line("end", without))

    def close(self) -> None:
        """Nothing is left open."""

    def _append(self, line: str) -> None:
        with written_by(self.option):
            append_file(self.path, line.encode())


def _line(event: str, facts: dict[str, Any]) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json_line({"event": event, "time": now} | facts) + "\n"


def versions() -> dict[str, str]:
    """Return what the numbers may depend on."""
    return {
        "convprop": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "isa": engine.isa,
        "platform": platform.platform(),
    }


class TensorBoardLog:
    """Event files with a scalar for each of an epoch's numbers, at the number of the epoch."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; raise UsageError if the package tensorboard is not installed."""
        self.writer_class = _writer_class()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            received = f"{folder} ({(error.strerror or str(error)).lower()})"
            rule = "name a folder that can be written"
            raise invalid("--tensorboard", rule, received) from None
        self.folder = folder
        self.writer: EventFileWriter | None = None

    def start(self, history: History, facts: dict[str, Any]) -> None:
        """Begin a file; what an interrupted training wrote of later epochs is to be forgotten."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self.writer = self.writer_class(str(self.folder))
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

        assert self.writer is not None
        self.writer.add_event(Event(wall_time=time.time(), step=step, **content))
        self.writer.flush()

    def close(self) -> None:
        """End the file and the thread that writes it."""
        if self.writer is not None:
            self.writer.close()


def _writer_class() -> Any:
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        message = "--tensorboard needs a package: pip install 'convprop[tensorboard]'"
        raise UsageError(message) from None
    return EventFileWriter
