"""``convprop check``: the proof that the formulas and the engine agree, as a table."""

from __future__ import annotations

import time
from itertools import groupby
from operator import attrgetter

from rich.text import Text

from convprop import __version__
from convprop._native import engine
from convprop.check import Row, check_machine, check_network
from convprop.cli.model import named_network
from convprop.cli.options import EXIT_FAILURE, DataName
from convprop.cli.terminal import Terminal, count

_ROOM = 48
_COLUMNS = f"{'differ by':>12}{'at most':>10}"
_MARKS = {True: Text("ok", style="green"), False: Text("FAILS", style="bold red")}


def check(model: DataName | None = None, /) -> int:
    """Prove on this machine that the equations, their derivatives and the engine agree.

    Each line of the table says how far two computations are apart, relative to the largest
    value, and how far rounding alone may take them. The exit status is 1 if any is further.

    Parameters
    ----------
    model
        Check this whole network instead: a file that convprop train --out wrote, or a preset.
    """
    terminal = Terminal()
    started = time.perf_counter()
    if model is None:
        subject, rows = f"convprop {__version__}", check_machine()
    else:
        subject, rows = model, check_network(named_network(model)[0])
    seconds = time.perf_counter() - started
    for group, members in groupby(rows, attrgetter("group")):
        terminal.print(_heading(group), soft_wrap=True)
        for row in members:
            terminal.print(_line(row), soft_wrap=True)
        terminal.print()
    failed = sum(not row.passed for row in rows)
    terminal.labelled(
        "checked", subject, f"engine for {engine.isa}", f"{len(rows)} lines in {seconds:.1f} s"
    )
    if failed:
        terminal.labelled("result", f"{count(failed, 'line')} of {len(rows)} FAIL")
        return EXIT_FAILURE
    terminal.labelled("result", "all agree")
    return 0


def _heading(group: str) -> Text:
    return Text(f"{group:<{_ROOM}}", style="bold").append(_COLUMNS, style="not bold dim")


def _line(row: Row) -> Text:
    numbers = f"{_number(row.difference):>12}{_number(row.bound):>10}   "
    return Text(f"  {row.name:<{_ROOM - 2}}{numbers}").append_text(_MARKS[row.passed])


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"
