"""Results as text: lines on the terminal, and the files kept in benchmarks/results."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from machine import HERE

RESULTS = HERE / "results"
TITLES = {"train": "Training steps", "predict": "Predictions", "operation": "Single operations"}


class Progress:
    """One line on a terminal's standard error that says what is being done."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._heading = ""

    def heading(self, setting: dict[str, Any]) -> None:
        """Say what the next ones are about."""
        self._heading = _heading(setting)

    def show(self, doing: str) -> None:
        """Show what is being done in the place of what was."""
        if self._shown:
            print(f"\r\033[K{self._heading}: {doing}"[:84], end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the line to others."""
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def lines(record: dict[str, Any]) -> str:
    """Return one record for reading: a heading, then a line for each competitor."""
    ours = f"{_ms(record['ours_ms'])} ms {_quartiles(record['ours_quartiles'])}"
    if record["fraction_of_peak"] is not None:
        share = f"{record['gflops']:.0f} of {record['limit_gflops']:.0f} GFLOP/s"
        ours += f"  {share} ({record['fraction_of_peak']:.0%})"
    text = [_heading(record), f"  {'convprop':24}{ours}"]
    for name, ms in record["peers"].items():
        spread = _quartiles(record["peer_quartiles"][name])
        text.append(f"  {name:24}{_ms(ms)} ms {spread}  {ms / record['ours_ms']:.2f} x ours")
    for name, fault in record["left_out"].items():
        text.append(f"  {name:24}left out: {fault}")
    for bound, found in record.get("kernel", {}).items():
        share = f"{found['rate']:.0f} of {found['limit']:.0f} {_UNITS[bound]}"
        text.append(f"  kernel alone, {_BOUNDS[bound]}: {share} ({found['share']:.0%})")
    return "\n".join(text)


_BOUNDS = {
    "multiply_adds": "multiply-adds",
    "memory": "from memory",
    "l2": "within L2",
    "l1": "within L1",
}
_UNITS = {"multiply_adds": "GFLOP/s", "memory": "GB/s", "l2": "GB/s", "l1": "GB/s"}


def page(records: list[dict[str, Any]]) -> str:
    """Return the records as tables: what matters of each, then every competitor's time."""
    first = records[0]
    commits = ", ".join(dict.fromkeys(record["commit"] for record in records))
    text = [f"{first['machine']}; commit {commits}; medians of {first['repeats']} turns, ms."]
    modes = list(dict.fromkeys(record["mode"] for record in records))
    for mode in modes:
        chosen = [record for record in records if record["mode"] == mode]
        text += [f"## {TITLES[mode]}", _table([_summary(record) for record in chosen])]
    for mode in modes:
        chosen = [record for record in records if record["mode"] == mode]
        text += [f"## {TITLES[mode]}: every setting", _table(_times(chosen))]
    faults = [
        f"- {_heading(record)}, {name}: {fault}"
        for record in records
        for name, fault in record["left_out"].items()
    ]
    if faults:
        text += ["## Left out, since they compute something else", "\n".join(faults)]
    return "\n\n".join(text) + "\n"


def keep(records: list[dict[str, Any]], kind: str) -> list[Path]:
    """Write the records into benchmarks/results, as lines of JSON and as tables."""
    day = time.strftime("%Y-%m-%d", time.gmtime())
    path = RESULTS / f"{day}-{records[0]['commit'].rstrip('+')}-{kind}.jsonl"
    RESULTS.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    path.with_suffix(".md").write_text(page(records))
    return [path, path.with_suffix(".md")]


def latest(kind: str) -> list[dict[str, Any]]:
    """Return the records of the newest kept results."""
    # By the day in the name; a clone gives all files one time.
    found = RESULTS.glob(f"*-{kind}.jsonl")
    path = max(found, key=lambda path: (path.name[:10], path.stat().st_mtime))
    return [json.loads(line) for line in path.read_text().splitlines()]


def _summary(record: dict[str, Any]) -> dict[str, str]:
    """Return a row of what matters: our time and the peers' as multiples of it."""
    peers = record["peers"]
    best = min(peers, key=peers.__getitem__, default=None)
    row = {
        "workload": record["workload"],
        "batch": str(record["batch"]),
        "threads": str(record["threads"]),
        "convprop": _ms(record["ours_ms"]),
        "PyTorch default": _ms(peers.get("pytorch")),
        "best peer": _ms(None if best is None else peers[best]),
        "which": best or "",
        "default / convprop": _or_blank(record["ratio_default"], ".2f"),
        "best / convprop": _or_blank(record["ratio_best"], ".2f"),
        "share of limit": _or_blank(record["fraction_of_peak"], ".0%"),
    }
    if record["mode"] == "operation":
        shares = {bound: found["share"] for bound, found in record["kernel"].items()}
        row |= {
            f"kernel, {_BOUNDS[bound]}": _or_blank(shares.get(bound), ".0%") for bound in _BOUNDS
        }
    return row


def _times(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return rows of every competitor's time with its quartiles."""
    peers = dict.fromkeys(name for r in records for name in (*r["peers"], *r["left_out"]))
    rows = []
    for record in records:
        row = {name: str(record[name]) for name in ("workload", "batch", "threads")}
        row["convprop"] = f"{_ms(record['ours_ms'])} {_quartiles(record['ours_quartiles'])}"
        for name in peers:
            there = name in record["peers"]
            spread = _quartiles(record["peer_quartiles"][name]) if there else ""
            row[name] = f"{_ms(record['peers'].get(name))} {spread}".strip()
            if name in record["left_out"]:
                row[name] = "left out"
        rows.append(row)
    return rows


def _table(rows: list[dict[str, str]]) -> str:
    names = list(rows[0])
    rule = ["---" if name in ("workload", "which") else "---:" for name in names]
    cells = [names, rule, *([row[name] for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _heading(setting: dict[str, Any]) -> str:
    count = setting["threads"]
    threads = "1 thread" if count == 1 else f"{count} threads"
    what = "predict " if setting["mode"] == "predict" else ""
    return f"{what}{setting['workload']}, batch {setting['batch']}, {threads}"


def _ms(value: float | None) -> str:
    """Return milliseconds with as many digits as tell two times apart."""
    return "" if value is None else f"{value:.4f}" if value < 0.1 else f"{value:.3f}"


def _quartiles(quartiles: list[float]) -> str:
    return f"({_ms(quartiles[0])} to {_ms(quartiles[1])})"


def _or_blank(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
