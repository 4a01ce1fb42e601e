"""Give the readers of files, and the explorer, what nobody would write, and see what they do.

    python tests/fuzz.py [KIND...] [--seconds 60] [--inputs 0] [--seed DATE]
    python tests/fuzz.py KIND --seed SEED --input NUMBER

Each input is good one with some of its parts changed: a dtype, a length, a type, a depth, a
checksum that is then made right again. Whatever reads it must take it or refuse it with the
package's own error, in words that a terminal can show; within ten seconds, and with no gigabyte
of memory. Children of this process try the inputs, so that one that crashes or hangs is found.
An input follows from kind, seed and number: the second form tries one of them again.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib import import_module

from convprop import ConvpropWarning, set_num_threads
from fuzzing.children import Tally, try_all
from fuzzing.judge import judged

KINDS = {
    "model": "models",
    "checkpoint": "checkpoints",
    "idx": "idx_files",
    "npz": "npz_files",
    "image": "images",
    "toml": "toml_files",
    "explorer": "questions",
}
"""Each kind's module in `fuzzing`, whose `prepare()` returns what tries an input."""

Try = Callable[[random.Random], None]


def prepared(kind: str) -> Try:
    """Return what makes an input of random numbers and tries it, in whatever folder it is."""
    attempt: Try = import_module(f"fuzzing.{KINDS[kind]}").prepare()
    return attempt


def try_one(kind: str, attempt: Try, seed: int, number: int) -> str:
    """Try an input; return "taken" or "refused", or raise Wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What a user is to be told of numbers that are taken is no fault.
        warnings.simplefilter("ignore", ConvpropWarning)
        return judged(lambda: attempt(random.Random(f"{kind} {seed} {number}")))


def fuzz(kind: str, attempt: Try, seed: int, seconds: float, inputs: int) -> Tally:
    """Try many inputs of a kind, say what was found, and return it."""
    started = time.monotonic()
    tally = try_all(
        lambda number: try_one(kind, attempt, seed, number),
        until=started + seconds,
        inputs=inputs,
    )
    print(f"{kind:<10}  {tally.line()}, {time.monotonic() - started:.0f} s", flush=True)
    for finding, times in tally.distinct():
        print(f"\n  {times} x {finding.what}: {finding.text}".replace("\n", "\n    "))
        print(f"    python tests/fuzz.py {kind} --seed {seed} --input {finding.number}\n")
    return tally


def main() -> int:
    """Fuzz what the command line names, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"all, or {', '.join(KINDS)}")
    parser.add_argument("--seconds", type=float, default=60, help="for all kinds together")
    parser.add_argument("--inputs", type=int, default=0, help="as many of each kind, however long")
    today = int(datetime.date.today().strftime("%Y%m%d"))
    parser.add_argument("--seed", type=int, default=today, help="the date if not given")
    parser.add_argument("--input", type=int, help="the number of a single one")
    given = parser.parse_args()
    kinds = list(KINDS) if not given.kinds or given.kinds == ["all"] else given.kinds
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        parser.error(f"KIND must be all, or one of {', '.join(KINDS)}, got {unknown[0]}")
    print(f"seed {given.seed}", flush=True)
    # A fork has one thread alone.
    set_num_threads(1)
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        os.chdir(folder)
        attempts = {kind: prepared(kind) for kind in kinds}
        if given.input is not None:
            print(try_one(kinds[0], attempts[kinds[0]], given.seed, given.input))
            return 0
        each = float("inf") if given.inputs else given.seconds / len(kinds)
        tallies = [
            fuzz(kind, attempt, given.seed, each, given.inputs)
            for kind, attempt in attempts.items()
        ]
    found = sum(len(tally.findings) for tally in tallies)
    print(f"{'together':<10}  {sum(tally.inputs for tally in tallies):,} inputs, {found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
