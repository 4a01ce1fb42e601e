"""Measure how a training step's time and memory grow.

    python benchmarks/growth.py            lines to read
    python benchmarks/growth.py --json     one JSON object a line
    python benchmarks/growth.py --keep     also results, docs/explanation/growth.md, pictures

Time per image against batch size, channels, image size and depth; time of a
step against threads, beside the model of scaling.py; peak memory of a training
process against batch and image size, beside what convprop predicts. All points
of time are measured in turn, several times over, so that whatever else the
machine does meets all of them. Images are uint8 and random.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import convprop as cp
import scaling
from convprop.about.memory import training_memory
from machine import Limit, commit, describe, usable_processors
from report import RESULTS

CLASSES = 10
BATCHES_IN_PEAK = 3
WARM_UP = 3
# The training images of a point take at most so many bytes, and are at least so many batches.
IMAGE_BYTES, FEWEST_BATCHES, MOST_BATCHES = 1 << 26, 4, 64
# What a copy that measures the memory moves: more than any cache holds.
COPIED_BYTES = 1 << 28
PREDICTED_THREADS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Point:
    """One training whose step is timed: a preset, or a stack of equal convolutions."""

    curve: str
    x: int
    batch: int = 64
    preset: str = ""
    channels: int = 32
    size: int = 16
    depth: int = 2
    threads: int = 0

    def network(self) -> cp.Network:
        """Return the network."""
        if self.preset == "lenet5":
            return cp.preset(self.preset, (1, 28, 28), CLASSES)
        if self.preset:
            return cp.preset(self.preset, (3, 32, 32), CLASSES)
        layers: list[Any] = []
        for _ in range(self.depth):
            layers += [cp.Conv(self.channels, 3, padding=1), cp.ReLU()]
        layers += [cp.AveragePool("global"), cp.Dense(CLASSES)]
        return cp.Network(layers, (3, self.size, self.size))


BATCHES = tuple(2**power for power in range(11))
COSTS = (
    *(Point("batch, lenet5", n, batch=n, preset="lenet5") for n in BATCHES),
    *(Point("batch, vgg-small", n, batch=n, preset="vgg-small") for n in BATCHES),
    *(Point("channels", n, channels=n) for n in (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    *(Point("image size", n, size=n, channels=16) for n in (8, 12, 16, 24, 32, 48, 64, 96, 128)),
    *(Point("depth", n, depth=n) for n in (1, 2, 3, 4, 6, 8, 10, 12)),
)
STEPS = (
    Point("lenet5", 128, batch=128, preset="lenet5"),
    Point("lenet5", 1024, batch=1024, preset="lenet5"),
    Point("cifar-tutorial", 64, preset="cifar-tutorial"),
    Point("vgg-small", 64, preset="vgg-small"),
    Point("vgg-small", 256, batch=256, preset="vgg-small"),
)
# A preset, its images' size and the batch, of a process whose memory is measured.
PEAKS = {
    "batch, lenet5": [("lenet5", 28, n, n) for n in (16, 64, 256, 1024)],
    "batch, vgg-small": [("vgg-small", 32, n, n) for n in (16, 64, 256, 1024)],
    "image size, vgg-small": [("vgg-small", n, 64, n) for n in (16, 32, 48, 64, 96, 128)],
}


def main() -> None:
    """Read the arguments, measure, and print each record as soon as it is there."""
    given = parse_arguments()
    if given.peak:
        print(json.dumps(peak(*given.peak)))
        return
    records = []
    for measured in measure(given.turns, given.milliseconds / 1e3, given.quick):
        records.append({**measured, "machine": describe(), "commit": commit()})
        print(json.dumps(records[-1]) if given.json else line(measured), flush=True)
    if given.keep:
        # Drawing takes memory that the training processes must not start with.
        import growth_page

        day = time.strftime("%Y-%m-%d", time.gmtime())
        path = RESULTS / f"{day}-{commit().rstrip('+')}-growth.jsonl"
        RESULTS.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        print("kept", path, *growth_page.write(records), file=sys.stderr)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=7, metavar="N", help="default 7")
    parser.add_argument(
        "--milliseconds", type=int, default=200, metavar="MS", help="of a turn (default 200)"
    )
    parser.add_argument("--quick", action="store_true", help="every third point, to try it out")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--keep", action="store_true", help="write results, page and pictures")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    for option in ("turns", "milliseconds"):
        if getattr(given, option) < 1:
            parser.error(f"--{option} must be positive, got {getattr(given, option)}")
    return given


def measure(turns: int, seconds: float, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield the records of all curves."""
    processors = usable_processors()
    thinned = slice(None, None, 3 if quick else 1)
    limit = Limit()
    costs = COSTS[thinned]
    counts = sorted({1, *range(2, processors + 1)})
    steps = [point for point in STEPS[thinned] for _ in counts]
    taken = [
        *((point, processors) for point in costs),
        *zip(steps, itertools.cycle(counts), strict=False),
        *(empty for empty in (EMPTY_ALONE, EMPTY_TOGETHER) if empty[1] <= processors),
    ]
    times: dict[tuple[Point, int], list[float]] = {key: [] for key in taken}
    limits: dict[int, list[float]] = {threads: [] for threads in counts}
    bandwidths: dict[int, list[float]] = {threads: [] for threads in counts}
    for _ in range(turns):
        for threads in counts:
            bandwidths[threads].append(bandwidth(threads))
        for point, threads in taken:
            # As often as what is compared with it, so that both have seen the same machine.
            limits[threads].append(limit.gflops(threads))
            times[point, threads].append(step_seconds(point, threads, seconds))
    gflops = {threads: statistics.median(rates) for threads, rates in limits.items()}
    for point in costs:
        yield cost(point, processors, times[point, processors], gflops[processors])
    fixed = statistics.median(times[EMPTY_ALONE])
    meeting = 0.0
    if EMPTY_TOGETHER in times:
        together = statistics.median(times[EMPTY_TOGETHER])
        empty = EMPTY.network()
        met = scaling.meetings_of_all(empty) + scaling.meetings(empty, EMPTY.batch, 2)
        meeting = max(together - fixed, 0.0) / met
    known = scaling.Machine(
        gflops,
        {threads: statistics.median(rates) for threads, rates in bandwidths.items()},
        meeting,
        fixed,
        last_cache(),
    )
    yield {"kind": "machine", "turns": turns, **vars(known)}
    for point in STEPS[thinned]:
        yield from steps_by_threads(point, known, {n: times[point, n] for n in counts})
    for curve, rows in PEAKS.items():
        for preset, size, batch, x in rows[thinned]:
            yield {"kind": "memory", "curve": curve, "x": x, **peak_of(preset, size, batch)}


# Two pixels of one image: what its step takes is what every step takes besides its arithmetic.
EMPTY = Point("empty", 1, batch=1, channels=1, size=2, depth=1)
EMPTY_ALONE, EMPTY_TOGETHER = (EMPTY, 1), (EMPTY, 2)


def step_seconds(point: Point, threads: int, seconds: float) -> float:
    """Return the median time of a training step, of as many as fit into the seconds."""
    cp.set_num_threads(threads)
    net = point.network()
    pixels = int(np.prod(net.input_shape))
    fitting = IMAGE_BYTES // (pixels * point.batch)
    count = point.batch * min(max(fitting, FEWEST_BATCHES), MOST_BATCHES)
    random = np.random.default_rng(0)
    images = random.integers(256, size=(count, *net.input_shape), dtype=np.uint8)
    labels = random.integers(CLASSES, size=count).astype(np.int32)
    net.normalisation = [127.5] * net.input_shape[0], [1 / 128] * net.input_shape[0]
    steps: list[float] = []
    end = time.perf_counter() + seconds
    while len(steps) <= WARM_UP or time.perf_counter() < end:
        # From one batch's end to the next one's: what lies between two calls is left out.
        ends: list[float] = []
        cp.train(
            net,
            images,
            labels,
            optimizer=cp.Adam(1e-5),
            epochs=1,
            batch_size=point.batch,
            on_batch=lambda _, ends=ends: ends.append(time.perf_counter()),
        )
        steps += [after - before for before, after in itertools.pairwise(ends)]
    return statistics.median(steps[WARM_UP:])


def cost(point: Point, threads: int, times: list[float], gflops: float) -> dict[str, Any]:
    """Return the record of a point's time per image, and of the least that it can be."""
    per_image = [1e6 * seconds / point.batch for seconds in times]
    flops = 2 * scaling.multiply_adds(point.network())
    return {
        "kind": "cost",
        "curve": point.curve,
        "x": point.x,
        "threads": threads,
        "us_per_image": statistics.median(per_image),
        "quartiles": [float(value) for value in np.percentile(per_image, [25, 75])],
        "limit_us": flops / gflops / 1e3,
    }


def steps_by_threads(
    point: Point, known: scaling.Machine, times: dict[int, list[float]]
) -> Iterator[dict[str, Any]]:
    """Yield what a step took with each number of threads, and what the model says."""
    medians = {threads: statistics.median(taken) for threads, taken in times.items()}
    net = point.network()
    for threads in sorted({*medians, *PREDICTED_THREADS}):
        own, shared = (
            1e3 * scaling.predict(known, net, point.batch, threads, medians[1], shared)
            for shared in (False, True)
        )
        yield {
            "kind": "threads",
            "curve": f"{point.curve}, {point.batch}",
            "x": threads,
            "ms": 1e3 * medians[threads] if threads in medians else None,
            "predicted_ms": own,
            "predicted_ms_shared": shared,
        }


def bandwidth(threads: int) -> float:
    """Return the GB/s that so many threads copy, read and written bytes together."""
    count = COPIED_BYTES // threads // 8
    pairs = [(np.ones(count), np.zeros(count)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        # NumPy lets go of the interpreter while it copies.
        best = float("inf")
        for _ in range(3):
            started = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))
            best = min(best, time.perf_counter() - started)
    return 2 * 8 * count * threads / best / 1e9


def last_cache() -> int:
    """Return the bytes of the largest cache, 0 where the system does not tell."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    return max((1024 * int(size.read_text().strip("K\n")) for size in sizes), default=0)


def peak_of(preset: str, size: int, batch: int) -> dict[str, Any]:
    """Return what `peak` measures, in a process that has done nothing else."""
    command = [sys.executable, __file__, "--peak", preset, str(size), str(batch)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"growth: a training process failed:\n{found.stderr}")
    measured: dict[str, Any] = json.loads(found.stdout)
    return measured


def peak(preset: str, size: str, batch: str) -> dict[str, Any]:
    """Return the peak of this process's resident memory, training in steps of a batch.

    `start_bytes` is there before the network is made: the interpreter and its modules.
    """
    batch_size = int(batch)
    count = BATCHES_IN_PEAK * batch_size
    # What importing took for a while is not training's: the peak counts from here.
    Path("/proc/self/clear_refs").write_text("5")
    start = resident("VmHWM")
    net = cp.preset(preset, (1 if preset == "lenet5" else 3, int(size), int(size)), CLASSES)
    predicted = predicted_bytes(net, batch_size, count)
    images = np.ones((count, *net.input_shape), dtype=np.uint8)
    labels = np.arange(count) % CLASSES
    cp.train(net, images, labels, optimizer=cp.Adam(), epochs=1, batch_size=batch_size)
    return {
        "start_bytes": start,
        "peak_bytes": resident("VmHWM"),
        "predicted_bytes": predicted,
    }


def resident(field: str) -> int:
    """Return a size from this process's status, in bytes."""
    for row in Path("/proc/self/status").read_text().splitlines():
        if row.startswith(f"{field}:"):
            return int(row.split()[1]) * 1024
    raise SystemExit(f"growth: this system does not tell {field}")


def predicted_bytes(net: cp.Network, batch_size: int, images: int) -> int:
    """Return the peak of memory that `Network.summary` tells for training with Adam."""
    return sum(training_memory(net, cp.Adam(), batch_size, images))


def line(record: dict[str, Any]) -> str:
    """Return a record for reading."""
    match record["kind"]:
        case "cost":
            share = record["limit_us"] / record["us_per_image"]
            return (
                f"{record['curve']:18}{record['x']:5}  {record['us_per_image']:10.2f} us an image"
                f"  {share:4.0%} of the limit"
            )
        case "machine":
            rates = ", ".join(
                f"{threads}: {record['gflops'][threads]:.0f} GFLOP/s and "
                f"{record['bandwidth'][threads]:.1f} GB/s"
                for threads in record["gflops"]
            )
            return (
                f"threads {rates}\n"
                f"an empty step {1e6 * record['fixed']:.1f} us, "
                f"a meeting of two threads {1e6 * record['meeting']:.2f} us"
            )
        case "threads":
            seen = "" if record["ms"] is None else f"{record['ms']:.3f} ms"
            return (
                f"{record['curve']:18}{record['x']:3} threads {seen:>12}  model "
                f"{record['predicted_ms']:.3f} to {record['predicted_ms_shared']:.3f} ms"
            )
    predicted = record["predicted_bytes"]
    said = f"  predicted {predicted / 1e6:.1f} MB"
    return (
        f"{record['curve']:22}{record['x']:5}  peak {record['peak_bytes'] / 1e6:7.1f} MB, "
        f"{record['start_bytes'] / 1e6:.1f} at the start{said}"
    )


if __name__ == "__main__":
    main()
