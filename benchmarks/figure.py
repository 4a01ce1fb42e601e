"""Draw docs/speed.svg: a step's time in PyTorch and JAX as a multiple of convprop's.

python benchmarks/figure.py [RESULTS.jsonl]      the newest kept results by default
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

import report
from machine import HERE

FIGURE = HERE.parent / "docs" / "speed.svg"
BARS = {"pytorch": "#e07b39", "jax": "#7a8fb8"}


def draw(records: list[dict[str, Any]], path: Path) -> None:
    """Draw one group of bars per workload and batch, at the largest number of threads."""
    threads = max(record["threads"] for record in records)
    shown = [record for record in records if record["threads"] == threads]
    # Words stay words in the file, and the same data gives the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "convprop", "font.size": 11})
    figure, axes = plt.subplots(figsize=(8, 0.75 * len(shown) + 1.1), layout="constrained")
    height = 0.8 / len(BARS)
    for order, (peer, color) in enumerate(BARS.items()):
        places = [row + order * height for row in range(len(shown))]
        ratios = [record["peers"][peer] / record["ours_ms"] for record in shown]
        bars = axes.barh(places, ratios, height, color=color, label=f"{peer} (default settings)")
        axes.bar_label(bars, [f"{ratio:.1f}×" for ratio in ratios], padding=4)
    axes.axvline(1, color="#2e7d4f", linewidth=2, label="convprop")
    names = [f"{record['workload']}, {record['batch']}" for record in shown]
    axes.set_yticks([row + height * (len(BARS) - 1) / 2 for row in range(len(shown))], names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(f"time of a training step, convprop = 1 ({threads} threads)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    given = sys.argv[1:]
    lines = Path(given[0]).read_text().splitlines() if given else None
    FIGURE.parent.mkdir(exist_ok=True)
    draw([json.loads(line) for line in lines] if lines else report.latest("steps"), FIGURE)
    print(FIGURE)
