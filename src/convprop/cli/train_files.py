"""What a training writes beside its network, none of which is worth the training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convprop.cli.terminal import Terminal
from convprop.cli.train_log import JsonLog, TensorBoardLog
from convprop.errors import InvalidInput
from convprop.training import EpochRecord


class FilesBeside:
    """The logs of a training, and what became of all files but the network's.

    Attributes
    ----------
    unwritten : list of Path
        Those that could not be written, or not to their end.
    """

    def __init__(self, terminal: Terminal, logs: list[JsonLog | TensorBoardLog]) -> None:
        self.logs = logs
        self.unwritten: list[Path] = []
        self._terminal = terminal

    @contextmanager
    def attempt(self, path: Path) -> Iterator[None]:
        """Warn, once, where the block cannot write a file."""
        try:
            yield
        except InvalidInput as error:
            if path not in self.unwritten:
                self.unwritten.append(path)
                self._terminal.warn(str(error))
        else:
            if path in self.unwritten:
                self.unwritten.remove(path)

    def log_epoch(self, epoch: EpochRecord) -> None:
        """Add an epoch to all logs."""
        for log in self.logs:
            with self.attempt(log.path):
                log.epoch(epoch)

    def log_end(self, result: dict[str, Any]) -> None:
        """Add what came of it, or the error that ended it, to all logs."""
        for log in self.logs:
            with self.attempt(log.path):
                log.end(result)

    def tell(self, report: Path | None) -> None:
        """Name the report, and the files that could not be written."""
        if report is not None and report not in self.unwritten:
            self._terminal.copied("report", str(report))
        if self.unwritten:
            self._terminal.labelled("unwritten", *map(str, self.unwritten))
