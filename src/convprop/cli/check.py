"""``convprop check``: the proof that formulas, engine and bits are right, as a table."""

from __future__ import annotations

import time
from dataclasses import asdict
from itertools import groupby
from operator import attrgetter

from rich.text import Text

from convprop._cpu import supported_isas
from convprop.check import Row, check_machine, check_network
from convprop.check.bits import STEPS, UNFUSED, BitRow, check_every_engine
from convprop.cli.model import named_network
from convprop.cli.options import EXIT_FAILURE, DataName, Threads, UsageError, use_threads
from convprop.cli.terminal import Terminal, print_json
from convprop.machine.native import engine
from convprop.report.words import counted
from convprop.version import version

_ROOM = 48
_COLUMNS = f"{'differ by':>12}{'at most':>10}"
_MARKS = {True: Text("ok", style="green"), False: Text("FAILS", style="bold red")}
_SHOWN = 10
"""How many digits of a hash the table has room for."""


def check(
    model: DataName | None = None,
    /,
    *,
    bits: bool = False,
    full: bool = False,
    json: bool = False,
    threads: Threads = None,
) -> int:
    """Prove on this machine that the equations, their derivatives and the engine agree.

    Each line of the table says how far two computations are apart, relative to the largest
    value, and how far rounding alone may take them. The exit status is 1 if any is further.

    Parameters
    ----------
    model
        Check this whole network instead: a file that convprop train --out wrote, or a preset.
    bits
        Compare hashes of results and of trained weights with those recorded elsewhere instead,
        for 1, 2, 3 and 7 threads and every engine this machine can run. The exit status is 1 if
        any differs.
    full
        With --bits, train the networks for 200 steps, not 2; it takes a minute or more.
    json
        With --bits, write one JSON object instead, with the whole hashes.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use.
    """
    use_threads(threads)
    if bits:
        if model is not None:
            raise UsageError("MODEL cannot be given with --bits, which has networks of its own")
        return _bits(STEPS[-1] if full else STEPS[0], json)
    for option, given in (("--full", full), ("--json", json)):
        if given:
            raise UsageError(f"{option} can be given with --bits only")
    terminal = Terminal()
    started = time.perf_counter()
    if model is None:
        subject, rows = f"convprop {version()}", check_machine()
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
        terminal.labelled("result", f"{counted(failed, 'line')} of {len(rows)} FAIL")
        return EXIT_FAILURE
    terminal.labelled("result", "all agree")
    return 0


def _bits(steps: int, json: bool) -> int:
    terminal, started = Terminal(), time.perf_counter()
    with terminal.doing("computing"):
        rows = check_every_engine(steps)
    seconds = time.perf_counter() - started
    differing = sum(bool(row.differing) for row in rows)
    if json:
        same = not differing
        print_json({"steps": steps, "same": same, "rows": [asdict(row) for row in rows]})
        return EXIT_FAILURE if differing else 0
    for isa, members in groupby(rows, attrgetter("engine")):
        columns = f"{'threads':<9}{'this machine':<13}recorded"
        heading = Text(f"{f'engine for {isa}':<39}", style="bold")
        terminal.print(heading.append(columns, style="not bold dim"), soft_wrap=True)
        for row in members:
            terminal.print(_bit_line(row, steps), soft_wrap=True)
            if row.differing:
                more = len(row.differing) - 1
                others = f" and {counted(more, 'other')}" if more else ""
                terminal.print(f"    differs in {row.differing[0]}{others}", soft_wrap=True)
        terminal.print()
    terminal.labelled("checked", f"convprop {version()}", f"{seconds:.1f} s")
    if UNFUSED in supported_isas():
        terminal.labelled("left out", f"{UNFUSED} has no fused multiply-add and promises no bits")
    if differing:
        verb = "DIFFERS" if differing == 1 else "DIFFER"
        terminal.labelled("result", f"{counted(differing, 'line')} of {len(rows)} {verb}")
        return EXIT_FAILURE
    terminal.labelled("result", "the same bits as recorded")
    return 0


def _bit_line(row: BitRow, steps: int) -> Text:
    what = f"{row.results} results" if row.results > 1 else f"{steps} steps"
    threads = " ".join(map(str, row.threads))
    line = f"  {row.name:<25}{what:<12}{threads:<9}"
    hashes = f"{row.found[:_SHOWN]:<13}{row.recorded[:_SHOWN]:<12}"
    return Text(line + hashes).append_text(_MARKS[not row.differing])


def _heading(group: str) -> Text:
    return Text(f"{group:<{_ROOM}}", style="bold").append(_COLUMNS, style="not bold dim")


def _line(row: Row) -> Text:
    numbers = f"{_number(row.difference):>12}{_number(row.bound):>10}   "
    return Text(f"  {row.name:<{_ROOM - 2}}{numbers}").append_text(_MARKS[row.passed])


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"
