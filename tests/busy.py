"""How busy the machine is that a test with a limit of time runs on."""

import time


def slowed() -> float:
    """Return how many times as long everything takes for what else this machine does now."""
    began, computed = time.perf_counter(), time.thread_time()
    while time.thread_time() - computed < 0.2:
        pass
    return max((time.perf_counter() - began) / 0.2, 1.0)
