"""Time convprop beside PyTorch and JAX: training, prediction, operations.

    pip install -r benchmarks/requirements.txt
    python benchmarks/run.py                        networks, 1 and 2 threads
    python benchmarks/run.py --only lenet5 --json   one network, JSON lines
    python benchmarks/run.py --ops                  operations and kernels alone
    python benchmarks/run.py --against CHECKOUT     beside an earlier commit of convprop

All competitors start from the same weights and see the same batches; each runs
in a process of its own, and they are timed in turn, so that whatever else the
machine does meets all of them. A time counts only after the first 50 losses
have agreed (without dropout, whose random numbers differ; at fewer threads
than the most, the first 10), or the outputs. A training step is forward, loss,
backward and update; a prediction takes a NumPy array and gives one. Arrays are
float32 and in memory. Times are medians.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import operations
import report
from duel import COMPARED_STEPS, EARLY_STEPS, PEERS, Arena, Entrant, another
from machine import commit, describe, usable_processors
from shapes import OPERATIONS
from workloads import WORKLOADS, Workload, prediction_job, training_job

MODES = ("train", "predict")


def main() -> None:
    """Read the arguments, measure, and print each result as soon as it is there."""
    arguments = parse_arguments()
    peers = [peer for peer in PEERS if peer.name in arguments.peers]
    if arguments.against:
        peers.append(another(arguments.against))
    progress = report.Progress()
    records = []
    with Arena(arguments.repeats, progress) as arena:
        if arguments.ops:
            results = operations.measure(arena, arguments.only, arguments.threads, peers)
        else:
            results = measure(arena, arguments.only, arguments.mode, arguments.threads, peers)
        for record in results:
            records.append({**record, "machine": describe(), "commit": commit()})
            progress.clear()
            if arguments.json:
                print(json.dumps(records[-1]), flush=True)
            else:
                print(report.lines(records[-1]), flush=True)
    if arguments.keep:
        kept = report.keep(records, "operations" if arguments.ops else "steps")
        print("kept", *kept, file=sys.stderr)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [peer.name for peer in PEERS]
    processors = usable_processors()
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these rows")
    parser.add_argument(
        "--mode", nargs="+", default=MODES, choices=MODES, help="of networks (default: both)"
    )
    parser.add_argument("--ops", action="store_true", help="single operations, not networks")
    parser.add_argument(
        "--peers",
        nargs="*",
        default=names,
        choices=names,
        metavar="PEER",
        help=f"any of {', '.join(names)} (default: all; none: ours alone)",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="the convprop of another checkout, installed in its folder .venv",
    )
    parser.add_argument("--repeats", type=int, default=30, metavar="N", help="turns (default 30)")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[count for count in (1, 2) if count <= processors],
        metavar="T",
        help="numbers of threads (default: 1 2)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--keep", action="store_true", help="write into benchmarks/results")
    arguments = parser.parse_args()
    known = list(OPERATIONS) if arguments.ops else [workload.name for workload in WORKLOADS]
    for name in arguments.only:
        if name not in known:
            parser.error(f"--only must be one of {', '.join(known)}, got {name}")
    if max(arguments.threads) > processors or min(arguments.threads) < 1:
        parser.error(f"--threads must be in 1..{processors} here, got {arguments.threads}")
    if arguments.repeats < 1:
        parser.error(f"--repeats must be positive, got {arguments.repeats}")
    return arguments


def measure(
    arena: Arena, only: list[str], modes: list[str], threads: list[int], peers: list[Entrant]
) -> Iterator[dict[str, Any]]:
    """Yield one record per mode, workload, batch and number of threads."""
    for mode in modes:
        for workload in WORKLOADS:
            if only and workload.name not in only:
                continue
            suited = [peer for peer in peers if _suits(peer, workload, mode)]
            for batch in workload.batches if mode == "train" else workload.predicted:
                job = (training_job if mode == "train" else prediction_job)(workload, batch)
                for count in threads:
                    setting = {"mode": mode, "workload": workload.name, "batch": batch}
                    setting["threads"] = count
                    arena.progress.heading(setting)
                    if mode == "train":
                        steps = COMPARED_STEPS if count == max(threads) else EARLY_STEPS
                        yield setting | arena.train(job, suited, count, steps)
                    else:
                        yield setting | arena.predict(job, suited, count)


def _suits(peer: Entrant, workload: Workload, mode: str) -> bool:
    """Whether a peer's settings are others than the default's in this workload and mode."""
    if mode == "predict" and set(peer.settings) == {"fused"}:
        return False
    return not (workload.name == "mlp" and set(peer.settings) == {"channels_last"})


if __name__ == "__main__":
    main()
