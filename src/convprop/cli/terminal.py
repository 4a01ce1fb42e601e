"""What every command writes with: two consoles, labelled lines, numbers as people read them."""

from __future__ import annotations

import json
import math
import os
import re
import textwrap
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import zip_longest
from typing import IO, Any, cast

from rich.console import Console, ConsoleDimensions
from rich.text import Text

from convprop.cli.output import STDERR, STDOUT, Kept, put
from convprop.data.image_files import FORMATS_TEXT
from convprop.report.words import counted
from convprop.shown import printable, printable_lines, shortened

LABEL_WIDTH = 10
_LONGEST_VALUE = 100

FEWEST_COLUMNS, MOST_COLUMNS = 10, 65535
"""Of a terminal: fewer are none that anybody reads, more the kernel cannot tell of."""
USUAL_SIZE = ConsoleDimensions(80, 25)


class Terminal(Console):
    """A rich console that prints text without markup, but also without what a file hides in it.

    A broken pipe is left to the caller; where stdout fails in another way, what is left to say is
    said on stderr. A width below ten columns, from COLUMNS or from the terminal, is taken for one
    that is not known, which is 80.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        self.descriptor = STDERR if stderr else STDOUT
        super().__init__(
            stderr=stderr, highlight=False, markup=False, emoji=False, _environ=_environment()
        )

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines; rich would take 0 columns as they are, and never end."""
        columns, lines = super().size
        return ConsoleDimensions(
            min(columns, MOST_COLUMNS) if columns >= FEWEST_COLUMNS else USUAL_SIZE.width,
            lines if lines > 0 else USUAL_SIZE.height,
        )

    @size.setter
    def size(self, size: tuple[int, int]) -> None:
        self._width, self._height = size

    @property
    def file(self) -> IO[str]:
        """Where it writes."""
        return cast(IO[str], Kept(super().file, self.descriptor))

    @file.setter
    def file(self, file: IO[str]) -> None:
        self._file = file

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError being handled, where rich would end the process itself."""
        raise

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does; texts without what would command the terminal."""
        shown = (printable_lines(part) if isinstance(part, str) else part for part in objects)
        super().print(*shown, **options)

    def labelled(self, label: str, *parts: str) -> None:
        """Print comma-separated parts after a label, folded between parts.

        A terminal would break a part that is longer than its line within a word: there it is
        folded at spaces. In a log or a pipe, which may be searched, it stays one line.
        """
        lines: list[str] = []
        for part in parts:
            longer = f"{lines[-1]}, {part}" if lines else part
            if lines and len(longer) < self.width - LABEL_WIDTH:
                lines[-1] = longer
            else:
                lines[-1:] = [f"{line}," for line in lines[-1:]]
                lines.append(part)
        lines = list(map(printable, lines))
        if self.is_terminal:
            room = self.width - LABEL_WIDTH
            lines = [row for line in lines for row in at_spaces(line, room).split("\n")]
        for head, line in zip_longest([label], lines, fillvalue=""):
            self._row(head, line)

    def copied(self, label: str, text: str) -> None:
        """Print what may be copied, a path or a command: on one line, however long."""
        self._row(label, printable(text))

    def _row(self, head: str, line: str) -> None:
        text = Text(f"{head:<{LABEL_WIDTH}}", style="dim").append(line, style="not dim")
        self.print(text, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Print a warning: on stderr, but above a bar that may be on this terminal."""
        terminal = self if self.is_terminal else Terminal(stderr=True)
        terminal.headed("warning: ", "bold yellow", message)

    def headed(self, head: str, style: str, message: str) -> None:
        """Print an error or a warning after a head that says which it is.

        A terminal would break a long line within a word. In a log or a pipe it stays one line.
        """
        message = printable_lines(message)
        if self.is_terminal:
            message = at_spaces(head + message, self.width).removeprefix(head)
        text = Text(head, style=style).append(message, style="not bold default")
        self.print(text, soft_wrap=True)

    def skipped(self, files: list[str]) -> None:
        """List the files that were left out, if any."""
        if files:
            self.labelled("skipped", f"{counted(len(files), 'unreadable file')}:")
        for file in files:
            self.copied("", file)

    def reading(self, source: str) -> AbstractContextManager[None]:
        """Show on a terminal, for as long as it takes, that ``source`` is being read."""
        return self.doing(f"reading {source}")

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show on a terminal, for as long as the block takes, what is being done."""
        if not self.is_terminal:
            yield
            return
        shown = self.status(printable(what), spinner_style="dim")
        try:
            # A thread turns it; where none can be started it stands still.
            with suppress(RuntimeError):
                shown.start()
            yield
        finally:
            shown.stop()


def left_out(files: int) -> list[str]:
    """Say in the line about the data how many files of a folder are not in it, if any."""
    return [f"{counted(files, 'file')} left out (not {FORMATS_TEXT})"] if files else []


def at_spaces(text: str, width: int) -> str:
    """Break lines that are longer than the width at spaces, and at nothing else."""
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    options |= {"replace_whitespace": False, "expand_tabs": False}
    return "\n".join(textwrap.fill(line, max(width, 1), **options) for line in text.split("\n"))


def _environment() -> dict[str, str]:
    """Return the environment without a COLUMNS or LINES that rich would fail to read."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ("COLUMNS", "LINES") or re.fullmatch("[0-9]{1,9}", value)
    }


def settings_text(settings: dict[str, Any]) -> str:
    """Return "batch size 64, optimizer adam (learning rate 0.002)": what is given and not off."""
    return ", ".join(
        f"{name} {_described(name, value)}".replace("_", " ")
        for name, value in settings.items()
        if value is not None and value is not False
    )


def _described(name: str, value: object) -> str:
    """Return a setting; of one with fields its kind and those that are not zero or "none"."""
    if not isinstance(value, dict):
        return shortened(str(value), _LONGEST_VALUE)
    fields = (
        f"{field} {shortened(str(value[field]), _LONGEST_VALUE)}"
        for field in value
        if field != "kind" and value[field] not in (None, False, 0, "none", [0, 0])
    )
    kind = "" if value.get("kind") == name else str(value.get("kind"))
    return f"{kind} ({', '.join(fields)})".removesuffix(" ()").strip()


def print_json(record: dict[str, Any]) -> None:
    """Write one object on one line of stdout."""
    put(json_line(record) + "\n")


def json_line(record: dict[str, Any]) -> str:
    """Return one object on one line; what JSON cannot hold, NaN and infinity, is null."""
    return json.dumps(_json_ready(record), allow_nan=False)


def _json_ready(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json_ready(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_json_ready(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def percent(fraction: float | None) -> str:
    """Return an accuracy or a probability as "98.71 %", and one that is not known as "-"."""
    return "-" if fraction is None else f"{100 * fraction:.2f} %"


def loss_text(loss: float) -> str:
    """Return a loss in at most nine characters."""
    return f"{loss:.4f}" if loss < 1000 else f"{loss:.3g}"


def clock(seconds: float) -> str:
    """Return a time as "0:07", "1:05" or "2:03:04"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
