"""Draw the pictures of docs/explanation/growth.md and write its tables.

python benchmarks/growth_page.py [RESULTS.jsonl]      the newest kept results by default
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

import report
from machine import HERE

Record = dict[str, Any]

DOCS = HERE.parent / "docs" / "explanation"
PAGE = DOCS / "growth.md"
BEGIN, END = "<!-- written by benchmarks/growth.py -->", "<!-- end -->"
OURS, OTHER, LIMIT = "#2e7d4f", "#7a8fb8", "#9a9a9a"
COLORS = (OURS, "#e07b39", OTHER, "#a05195", "#d4a017")
PICTURES = {
    "growth-cost.svg": "Time of an image against batch size, channels, image size and depth",
    "growth-threads.svg": "Time of a step against threads, measured and by the model",
    "growth-memory.svg": "Peak memory of training against batch and image size",
}


def write(records: list[Record]) -> list[Path]:
    """Draw the pictures and write the page's measured part; return the files."""
    # Words stay words in the file, and the same data gives the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "convprop", "font.size": 11})
    draws: tuple[Callable[[list[Record]], None], ...] = draw_cost, draw_threads, draw_memory
    written = []
    for (name, _), draw in zip(PICTURES.items(), draws, strict=True):
        draw(records)
        written.append(DOCS / name)
        plt.savefig(written[-1], metadata={"Date": None})
        plt.close()
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{measured_part(records)}\n\n{END}{after}")
    return [*written, PAGE]


def draw_cost(records: list[Record]) -> None:
    """Draw an image's time against what the network and the batch are."""
    costs = curves(records, "cost")
    panels = list(dict.fromkeys(name.split(",")[0] for name in costs))
    figure, axes = plt.subplots(2, 2, figsize=(9, 7.2), layout="constrained")
    for panel, axis in zip(panels, axes.flat, strict=True):
        shown = {name: rows for name, rows in costs.items() if name.split(",")[0] == panel}
        for (name, rows), color in zip(shown.items(), COLORS, strict=False):
            x = [row["x"] for row in rows]
            times = [row["us_per_image"] for row in rows]
            axis.plot(x, times, "o-", color=color)
            axis.plot(x, [row["limit_us"] for row in rows], ":", color=color)
            if len(shown) > 1:
                axis.annotate(
                    name.partition(", ")[2],
                    (x[-1], times[-1]),
                    xytext=(0, 8),
                    textcoords="offset points",
                    ha="right",
                    color=color,
                )
        logarithmic(axis, x)
        axis.set_xlabel(panel)
        axis.set_ylabel("µs per image")
    handles = [Line2D([], [], color=LIMIT, marker="o"), Line2D([], [], color=LIMIT, linestyle=":")]
    names = ["measured", "its multiply-adds alone, at the machine's limit"]
    figure.legend(handles, names, frameon=False, ncols=2, loc="outside upper center")


def draw_threads(records: list[Record]) -> None:
    """Draw a step's time against threads."""
    _, axis = plt.subplots(figsize=(8, 5), layout="constrained")
    for (name, rows), color in zip(curves(records, "threads").items(), COLORS, strict=False):
        x = [row["x"] for row in rows]
        axis.plot(x, [row["predicted_ms"] for row in rows], "-", color=color, linewidth=1)
        axis.plot(x, [row["predicted_ms_shared"] for row in rows], ":", color=color)
        seen = [row for row in rows if row["ms"] is not None]
        times = [row["ms"] for row in seen]
        axis.plot([row["x"] for row in seen], times, "o", color=color, label=name)
    axis.plot([], [], "-", color=LIMIT, label="model, memory growing with the threads")
    axis.plot([], [], ":", color=LIMIT, label="model, memory as it is here")
    logarithmic(axis, x)
    axis.set_xlabel("threads, each on a processor of its own")
    axis.set_ylabel("ms per step")
    axis.legend(frameon=False, fontsize=9)


def draw_memory(records: list[Record]) -> None:
    """Draw what training takes beyond the images and the interpreter."""
    memory = curves(records, "memory")
    _, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for panel, axis in zip(("batch", "image size"), axes, strict=True):
        shown = {name: rows for name, rows in memory.items() if name.startswith(panel)}
        for (name, rows), color in zip(shown.items(), COLORS, strict=False):
            x = [row["x"] for row in rows]
            label = name.partition(", ")[2]
            axis.plot(x, [beyond(row, "peak_bytes") for row in rows], "o", color=color, label=label)
            said = [beyond(row, "predicted_bytes") for row in rows]
            axis.plot(x, said, "-", color=color, linewidth=1, label=f"{label}: predicted")
        logarithmic(axis, x)
        axis.set_xlabel(panel)
        axis.set_ylabel("MB beyond interpreter and modules")
        axis.legend(frameon=False, fontsize=9)


def logarithmic(axis: Axes, places: list[int]) -> None:
    """Give an axis two logarithmic scales, with the numbers measured below it."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(places if len(places) < 10 else places[::2])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_minor_locator(NullLocator())
    low, high = axis.get_ylim()
    # Within a decade or two, powers of ten alone would leave one number or none.
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e4e4e4")


def measured_part(records: list[Record]) -> str:
    """Return the tables and pictures in Markdown."""
    known = next(row for row in records if row["kind"] == "machine")
    rates = table(
        ["threads", "multiply-adds, GFLOP/s", "copying, GB/s"],
        [
            [str(threads), f"{rate:.0f}", f"{bandwidth:.1f}"]
            for (threads, rate), bandwidth in zip(
                known["gflops"].items(), known["bandwidth"].values(), strict=True
            )
        ],
    )
    pictures = [f"![{title}]({name})" for name, title in PICTURES.items()]
    parts = [
        f"Medians of {known['turns']} turns on {known['machine']}; commit {known['commit']}.",
        rates,
        f"A step that computes almost nothing takes {1e6 * known['fixed']:.1f} µs, a meeting of "
        f"two threads {1e6 * known['meeting']:.2f} µs.",
        "### Time of an image",
        pictures[0],
        *(cost_table(name, rows) for name, rows in curves(records, "cost").items()),
        "### Time against threads",
        pictures[1],
        threads_table(curves(records, "threads")),
        "### Memory",
        pictures[2],
        memory_table(curves(records, "memory")),
    ]
    return "\n\n".join(parts)


def cost_table(name: str, rows: list[Record]) -> str:
    """Return one curve of times."""
    return table(
        [name, "µs per image", "quartiles", "share of limit"],
        [
            [
                str(row["x"]),
                number(row["us_per_image"]),
                " to ".join(number(value) for value in row["quartiles"]),
                f"{row['limit_us'] / row['us_per_image']:.0%}",
            ]
            for row in rows
        ],
    )


def threads_table(steps: dict[str, list[Record]]) -> str:
    """Return measured and predicted times, one row for each step and number of threads."""
    body = []
    for name, rows in steps.items():
        for row in rows:
            seen = row["ms"]
            # What one thread takes is what the model starts from.
            judged = (
                "" if seen is None or row["x"] == 1 else f"{row['predicted_ms'] / seen - 1:+.0%}"
            )
            model = [number(row[key]) for key in ("predicted_ms", "predicted_ms_shared")]
            body.append([name, str(row["x"]), "" if seen is None else number(seen), *model, judged])
    head = ["step", "threads", "measured, ms", "model, ms", "with this memory", "model's error"]
    return table(head, body)


def memory_table(curves: dict[str, list[Record]]) -> str:
    """Return the peaks beside the predicted figures."""
    body = []
    for name, rows in curves.items():
        for row in rows:
            predicted = row["predicted_bytes"]
            said = [f"{predicted / 1e6:.1f}", f"{predicted / row['peak_bytes'] - 1:+.1%}"]
            sizes = [f"{row[key] / 1e6:.1f}" for key in ("start_bytes", "peak_bytes")]
            body.append([name, str(row["x"]), *sizes, *said])
    return table(["curve", "", "start, MB", "peak, MB", "predicted, MB", "error"], body)


def number(value: float) -> str:
    """Return a positive number with three digits, or all that are before the point."""
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}"


def table(head: list[str], body: list[list[str]]) -> str:
    """Return a Markdown table, the first column left-aligned."""
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def curves(records: list[Record], kind: str) -> dict[str, list[Record]]:
    """Return the records of a kind, by curve."""
    found: dict[str, list[Record]] = {}
    for row in records:
        if row["kind"] == kind:
            found.setdefault(row["curve"], []).append(row)
    return found


def beyond(row: Record, key: str) -> float:
    """Return one of a record's sizes beyond what was there at the start, in MB."""
    megabytes: float = (row[key] - row["start_bytes"]) / 1e6
    return megabytes


if __name__ == "__main__":
    given = sys.argv[1:]
    lines = Path(given[0]).read_text().splitlines() if given else None
    print(*write([json.loads(row) for row in lines] if lines else report.latest("growth")))
