"""Time convprop's training steps beside PyTorch's and JAX's.

    pip install -r benchmarks/requirements.txt
    python benchmarks/run.py                          every network, 1 and 2 threads
    python benchmarks/run.py --only lenet5 --json     one network, one JSON object a line
    python benchmarks/run.py --ops                    the single operations of tests/cases.py

All competitors start from the same weights and see the same batches; each runs in a process of
its own, and they are timed in turn, so that whatever else the machine does meets all of them. A
time counts only after the first 50 losses have agreed (without dropout, whose random numbers
differ). A step is forward, loss, backward and update; images are float32 and in memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

import operations
import report
from duel import PEERS, Entrant, train_in_turn
from machine import Limit, commit, describe, usable_processors
from workloads import WORKLOADS, make_job


def main() -> None:
    """Read the arguments, measure, and print each result as soon as it is there."""
    arguments = parse_arguments()
    peers = [peer for peer in PEERS if peer.name in arguments.peers]
    measure = operations.measure if arguments.ops else measure_steps
    records = []
    for record in measure(arguments.only, arguments.threads, peers, arguments.repeats):
        records.append({**record, "machine": describe(), "commit": commit()})
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
    parser.add_argument("--ops", action="store_true", help="single operations, not networks")
    parser.add_argument(
        "--peers",
        nargs="*",
        default=names,
        choices=names,
        metavar="PEER",
        help=f"any of {', '.join(names)} (default: all; none: ours alone)",
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
    known = operations.names() if arguments.ops else [workload.name for workload in WORKLOADS]
    for name in arguments.only:
        if name not in known:
            parser.error(f"--only must be one of {', '.join(known)}, got {name}")
    if max(arguments.threads) > processors or min(arguments.threads) < 1:
        parser.error(f"--threads must be in 1..{processors} here, got {arguments.threads}")
    if arguments.repeats < 1:
        parser.error(f"--repeats must be positive, got {arguments.repeats}")
    return arguments


def measure_steps(
    only: list[str], threads: list[int], peers: list[Entrant], repeats: int
) -> Iterator[dict[str, Any]]:
    """Yield one record per workload, batch and number of threads."""
    limit = Limit()
    for workload in WORKLOADS:
        if only and workload.name not in only:
            continue
        for batch in workload.batches:
            job = make_job(workload, batch)
            for count in threads:
                setting = {"workload": workload.name, "batch": batch, "threads": count}
                yield setting | train_in_turn(job, peers, count, repeats, limit)


if __name__ == "__main__":
    main()
