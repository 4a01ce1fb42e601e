"""What a training run shows while it goes: a line an epoch, and on a terminal a live bar."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TextColumn

from convprop.cli.terminal import Terminal, clock, loss_text, percent
from convprop.training import BatchRecord, EpochRecord, History

REFRESH_SECONDS = 0.1

# The most that the text beside the bar takes.
_TEXT_WIDTH = 70

# The widths of an epoch's cells: epoch, loss, accuracy, the same two measured on held-out
# images if there are any, images per second, time. Together at most 80.
_WIDTHS = (9, 11, 11, 11, 15, 12, 10)


class TrainingProgress:
    """Follows one training run through ``on_batch`` and ``on_epoch``.

    The bar is drawn between two steps and by no thread of its own, so that it never takes a
    core from the engine.
    """

    def __init__(self, terminal: Terminal, epochs: int, validated: bool) -> None:
        self.images = 0
        """How many images were trained on, over all epochs."""
        self._terminal = terminal
        self._epochs = epochs
        self._validated = validated
        self._epoch_images = self._epoch_correct = 0
        self._epoch_loss = 0.0
        self._started = self._drawn = self._stepped = self._epoch_started = 0.0
        self._first_step = 1
        self._bar = Progress(
            BarColumn(bar_width=min(40, max(4, terminal.width - _TEXT_WIDTH))),
            TextColumn("{task.description}"),
            console=terminal,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not terminal.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        return self

    def on_start(self, history: History) -> None:
        """Begin the table, and the clock."""
        columns = ["epoch", "loss", "accuracy"]
        columns += ["val. loss", "val. accuracy"] if self._validated else []
        self._terminal.print(_row([*columns, "images/s", "time"]), style="dim")
        self._bar.start()
        self._first_step = history.steps + 1
        self._started = self._drawn = self._epoch_started = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def on_batch(self, batch: BatchRecord) -> None:
        """Count a step in, and redraw the bar if it is time."""
        self.images += batch.images
        self._epoch_images += batch.images
        self._epoch_loss += batch.loss * batch.images
        self._epoch_correct += batch.correct
        now = self._stepped = time.perf_counter()
        if now - self._drawn < REFRESH_SECONDS:
            return
        self._drawn = now
        seconds = now - self._started
        taken = batch.step - self._first_step + 1
        left = seconds * (batch.total_steps - batch.step) / taken
        text = "  ".join(
            (
                f"epoch {batch.epoch}/{self._epochs}",
                f"loss {loss_text(self._epoch_loss / self._epoch_images)}",
                # Targets that are mixed have no right answer.
                percent(None if batch.correct < 0 else self._epoch_correct / self._epoch_images),
                f"{self.images / seconds:,.0f} images/s",
                f"{clock(left)} left",
            )
        )
        self._bar.update(
            self._task, description=text, completed=batch.step, total=batch.total_steps
        )
        self._bar.refresh()

    def on_epoch(self, epoch: EpochRecord) -> None:
        """Print an epoch's line, above the bar."""
        cells = [f"{epoch.epoch}/{self._epochs}", loss_text(epoch.loss), percent(epoch.accuracy)]
        if epoch.validation_loss is not None:
            cells += [loss_text(epoch.validation_loss), percent(epoch.validation_accuracy)]
        # Of a resumed epoch, this process has seen only the rest.
        seconds = self._stepped - self._epoch_started
        rate = f"{self._epoch_images / seconds:,.0f}" if self._epoch_images else "-"
        cells += [rate, f"{epoch.seconds:.1f} s"]
        self._terminal.print(_row(cells))
        self._epoch_started = time.perf_counter()
        self._epoch_images = self._epoch_correct = 0
        self._epoch_loss = 0.0


def _row(cells: list[str]) -> str:
    widths = _WIDTHS if len(cells) == len(_WIDTHS) else _WIDTHS[:3] + _WIDTHS[5:]
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
