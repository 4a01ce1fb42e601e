"""Results as text: lines on the terminal, and the files kept in benchmarks/results."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from machine import HERE

RESULTS = HERE / "results"


def lines(record: dict[str, Any]) -> str:
    """Return one record for reading: a heading, then a line for each competitor."""
    heading = f"{record['workload']}, batch {record['batch']}, {_threads(record)}"
    ours = f"{record['ours_ms']:.3f} ms {_quartiles(record['ours_quartiles'])}"
    if record["fraction_of_peak"] is not None:
        share = f"{record['gflops']:.0f} of {record['limit_gflops']:.0f} GFLOP/s"
        ours += f"  {share} ({record['fraction_of_peak']:.0%})"
    text = [heading, f"  {'convprop':24}{ours}"]
    for name, ms in record["peers"].items():
        spread = _quartiles(record["peer_quartiles"][name])
        text.append(f"  {name:24}{ms:.3f} ms {spread}  {ms / record['ours_ms']:.2f} x ours")
    return "\n".join(text)


def table(records: list[dict[str, Any]]) -> str:
    """Return the records as a Markdown table, times in milliseconds."""
    peers = list(dict.fromkeys(name for record in records for name in record["peers"]))
    head = ["workload", "batch", "threads", "convprop", *peers]
    head += ["against default", "against best", "share of limit"]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for record in records:
        rows.append(
            [
                record["workload"],
                str(record["batch"]),
                str(record["threads"]),
                f"{record['ours_ms']:.3f}",
                *[_or_blank(record["peers"].get(name), ".3f") for name in peers],
                _or_blank(record["ratio_default"], ".2f"),
                _or_blank(record["ratio_best"], ".2f"),
                _or_blank(record["fraction_of_peak"], ".0%"),
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def keep(records: list[dict[str, Any]], kind: str) -> list[Path]:
    """Write the records into benchmarks/results, as lines of JSON and as a table."""
    first = records[0]
    day = time.strftime("%Y-%m-%d", time.gmtime())
    path = RESULTS / f"{day}-{first['commit'].rstrip('+')}-{kind}.jsonl"
    RESULTS.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    heading = f"Milliseconds, medians of {first['repeats']} turns; {first['machine']}"
    commits = ", ".join(dict.fromkeys(record["commit"] for record in records))
    page = f"{heading}; commit {commits}.\n\n{table(records)}\n"
    path.with_suffix(".md").write_text(page)
    return [path, path.with_suffix(".md")]


def latest(kind: str) -> list[dict[str, Any]]:
    """Return the records of the newest kept results."""
    path = max(RESULTS.glob(f"*-{kind}.jsonl"), key=lambda found: found.stat().st_mtime)
    return [json.loads(line) for line in path.read_text().splitlines()]


def _threads(record: dict[str, Any]) -> str:
    return "1 thread" if record["threads"] == 1 else f"{record['threads']} threads"


def _quartiles(quartiles: list[float]) -> str:
    return f"({quartiles[0]:.3f} to {quartiles[1]:.3f})"


def _or_blank(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
