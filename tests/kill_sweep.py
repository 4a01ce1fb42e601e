"""Kill one training again and again, at random moments, and resume it each time.

    python tests/kill_sweep.py [--kills 50] [--seed 0]

It ends with the weights of a training that nobody disturbed, and no checkpoint on the way is
unreadable; otherwise this exits with status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from convprop.training.checkpoint import Checkpoints, read

COMMAND = shlex.split(
    "train digits --epochs 80 --batch-size 16 --validation 0.2 --average 0.99 --clip-norm 1"
    " --augment 'shift=1 rotation=10 mixup=0.2' --lookahead 'steps=3' --threads 1 --json"
)


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    """Start the training that writes to ``out``."""
    program = "import sys; from convprop.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, *COMMAND, "--out", str(out), *more],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> dict[str, object]:
    """Return the result of a training that is left alone."""
    output, errors = child.communicate()
    if child.returncode:
        sys.exit(f"status {child.returncode}: {errors}")
    result: dict[str, object] = json.loads(output)
    return result


def sweep(folder: Path, kills: int, seed: int) -> tuple[Counter[str], set[object]]:
    """Return where the kills fell, and the hashes of the weights that trainings ended with."""
    began = time.perf_counter()
    whole = finish(start(folder / "whole.safetensors"))
    seconds = time.perf_counter() - began
    hashes = {whole["weights_sha256"]}
    random = np.random.default_rng(seed)
    out = folder / "net.safetensors"
    kept = Checkpoints(out)
    checkpointed = ("--checkpoint-every", "0.01s", "--resume")
    fell: Counter[str] = Counter()
    left = 0
    while fell.total() < kills:
        before = kept.files()[:1]
        child = start(out, *checkpointed)
        if random.random() < 0.3:
            time.sleep(random.uniform(0, seconds / 2))
        else:
            while child.poll() is None and kept.files()[:1] == before:
                time.sleep(0.001)
            time.sleep(random.uniform(0, 0.3))
        child.kill()
        child.communicate()
        if child.returncode == 0:
            # It had come to its end: the next one is another training of the same.
            hashes.add(finish(start(out, *checkpointed))["weights_sha256"])
            for file in folder.glob(f"{out.name}*"):
                file.unlink()
            continue
        for file in kept.files():
            read(file)
        written = len(list(folder.glob(".*.tmp")))
        moved = kept.files()[:1] != before
        fell["while writing" if written > left else "training" if moved else "starting"] += 1
        left = written
    hashes.add(finish(start(out, *checkpointed))["weights_sha256"])
    if abandoned := [file.name for file in folder.iterdir() if file.name.startswith(".")]:
        sys.exit(f"left behind: {abandoned}")
    return fell, hashes


def main() -> None:
    """Run the sweep and say what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fell, hashes = sweep(Path(folder), given.kills, given.seed)
    print(", ".join(f"{count} {when}" for when, count in fell.items()))
    print("one hash:" if len(hashes) == 1 else "DIFFERENT hashes:", *hashes)
    sys.exit(len(hashes) != 1)


if __name__ == "__main__":
    main()
