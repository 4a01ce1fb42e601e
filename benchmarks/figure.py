"""Draw docs/speed.svg: times in PyTorch and in the fastest peer as multiples of convprop's.

python benchmarks/figure.py [RESULTS.jsonl [OUT.svg]]      the newest kept results by default
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import report
from machine import HERE

FIGURE = HERE.parent / "docs" / "speed.svg"
BARS = {"ratio_default": ("PyTorch, default", "#d9722e"), "ratio_best": ("fastest peer", "#6f8fc9")}
OURS = "#3c9a63"
PANELS = {"train": "time of a training step", "predict": "time of a prediction"}
# Each colour that must differ in the dark, and what it is there.
INK, PAPER = "#24292f", "#ffffff"
IN_THE_DARK = {INK: "#e6edf3", PAPER: "#0d1117"}
BAR = 0.38


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """Draw a panel for each mode, at the largest number of threads."""
    threads = max(record["threads"] for record in records)
    shown = {
        mode: [r for r in records if r["mode"] == mode and r["threads"] == threads]
        for mode in PANELS
    }
    shown = {mode: rows for mode, rows in shown.items() if rows}
    # Words stay words in the file, and the same data gives the same file.
    ink = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "convprop", "font.size": 11})
    mpl.rcParams.update(dict.fromkeys(ink, INK))
    counts = [len(rows) for rows in shown.values()]
    figure, panels = plt.subplots(
        len(shown),
        figsize=(8, 0.42 * sum(counts) + 0.8 * len(counts) + 0.3),
        height_ratios=counts,
        layout="constrained",
        facecolor=PAPER,
        squeeze=False,
    )
    for axes, (mode, rows) in zip(panels[:, 0], shown.items(), strict=True):
        _draw_panel(axes, rows)
        axes.set_xlabel(f"{PANELS[mode]}, convprop = 1 ({threads} threads)")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    path.write_text(_with_dark_colours(path.read_text()))


def _draw_panel(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw the bars of each row, with their values and with the fastest peer's name."""
    for order, (ratio, (label, color)) in enumerate(BARS.items()):
        places = [row + (order - 0.5) * BAR for row in range(len(rows))]
        bars = axes.barh(places, [row[ratio] for row in rows], BAR, color=color, label=label)
        values = [f"{row[ratio]:.1f}×" for row in rows]
        if ratio == "ratio_best":
            values = [f"{v}  {_fastest(row)}" for v, row in zip(values, rows, strict=True)]
        axes.bar_label(bars, values, padding=4, fontsize=9)
    axes.axvline(1, color=OURS, linewidth=2, label="convprop")
    axes.set_yticks(range(len(rows)), [f"{row['workload']}, {row['batch']}" for row in rows])
    axes.invert_yaxis()
    axes.margins(y=0.01)
    # Room for the words behind the longest bar.
    axes.set_xlim(0, 1.25 * max(row[ratio] for row in rows for ratio in BARS))
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_facecolor(PAPER)


def _fastest(record: dict[str, Any]) -> str:
    return min(record["peers"], key=record["peers"].__getitem__)


def _with_dark_colours(svg: str) -> str:
    """Return the picture with a style that exchanges its colours where the reader's are dark."""
    rules = [
        f'[style*="{kind}: {light}"] {{ {kind}: {dark} !important; }}'
        for light, dark in IN_THE_DARK.items()
        for kind in ("fill", "stroke")
    ]
    style = f"@media (prefers-color-scheme: dark) {{ {' '.join(rules)} }}"
    return svg.replace("<defs>", f"<style>{style}</style>\n <defs>", 1)


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    out = given[1] if len(given) > 1 else FIGURE
    lines = given[0].read_text().splitlines() if given else None
    out.parent.mkdir(exist_ok=True)
    draw([json.loads(line) for line in lines] if lines else report.latest("steps"), out)
    print(out)
