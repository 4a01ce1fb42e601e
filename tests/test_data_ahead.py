"""Threads that read ahead, where the system starts no more of them."""

import subprocess
import sys

SCRIPT = """
import threading
from convprop.data import ahead
from convprop.errors import TooFewThreads

started = threading.Thread.start
def start(thread):
    if threading.active_count() > 3:
        raise RuntimeError("can't start new thread")
    started(thread)
threading.Thread.start = start
ahead.default_threads = lambda: 9

waits = threading.Event()
try:
    for _ in ahead.ahead(lambda item: waits.wait(0.2), range(20), 20):
        pass
except TooFewThreads as error:
    print(error)
print(threading.active_count())
"""


def test_readers_that_cannot_all_be_started_are_an_error_with_both_numbers():
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60
    )
    said = "threads must be at most the 3 that this process can start, got 9 to read with\n1\n"
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, said, "")
