"""A training step of lenet5 by the number of threads, more of them than processors too.

Each number has a process of its own, and they take turns: what else the machine does falls on all.

    python benchmarks/many_threads.py
"""

import os
import statistics
import subprocess
import sys
import time

THREADS = (1, 2, 16, 64)
TURNS = 9
STEPS = 500
BATCH = 16


def step_seconds() -> float:
    """Return what a step takes with this process's threads."""
    import numpy as np

    import convprop as cp

    net = cp.preset("lenet5", (1, 28, 28), 10)
    images, labels = np.zeros((BATCH * STEPS, 28, 28), np.uint8), np.arange(BATCH * STEPS) % 10
    cp.train(net, images[: 20 * BATCH], labels[: 20 * BATCH], epochs=1, batch_size=BATCH)
    started = time.perf_counter()
    cp.train(net, images, labels, epochs=1, batch_size=BATCH)
    return (time.perf_counter() - started) / STEPS


def main() -> None:
    """Print the median of each number's turns, and the range of all."""
    taken: dict[int, list[float]] = {threads: [] for threads in THREADS}
    for _ in range(TURNS):
        for threads, times in taken.items():
            environment = os.environ | {"CONVPROP_NUM_THREADS": str(threads)}
            command = [sys.executable, __file__, "--once"]
            said = subprocess.run(command, env=environment, capture_output=True, check=True)
            times.append(1e3 * float(said.stdout))
    for threads, times in taken.items():
        middle = statistics.median(times)
        print(f"{threads:3} threads  {middle:.2f} ms  ({min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    if sys.argv[1:] == ["--once"]:
        print(step_seconds())
    else:
        main()
