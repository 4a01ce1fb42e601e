"""Children that try inputs one after the other, watched by their parent."""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from select import select

LONGEST = 10.0
"""Seconds that an input may take."""
MOST_BYTES = 1 << 30
"""Memory that an input may take."""
SHARE = 1000
"""Inputs that a child tries; then another one is forked, which has nothing left over."""
MOST_FINDINGS = 200
"""Of a kind; more tell no more."""


@dataclass(frozen=True)
class Finding:
    """An input that was neither taken nor refused as it should be."""

    number: int
    what: str
    """"error", "signal", "hang" or "memory"."""
    text: str


@dataclass
class Tally:
    """What came of the inputs."""

    inputs: int = 0
    taken: int = 0
    findings: list[Finding] = field(default_factory=list)

    def line(self) -> str:
        """Return the numbers as words."""
        kinds = Counter(finding.what for finding in self.findings)
        found = (f"{kinds[what]} {name}" for what, name in NAMES.items())
        return f"{self.inputs:>7,} inputs, {self.taken:>7,} taken: {', '.join(found)}"

    def distinct(self) -> list[tuple[Finding, int]]:
        """Return the first finding of each text, and how often there is one."""
        first: dict[str, Finding] = {}
        times: Counter[str] = Counter()
        for finding in self.findings:
            key = finding.what + finding.text.rpartition("\n")[0]
            first.setdefault(key, finding)
            times[key] += 1
        return [(first[key], times[key]) for key in first]


NAMES = {"error": "other errors", "signal": "signals", "hang": "hangs", "memory": "over 1 GB"}


class Child:
    """A process that tries the inputs from ``first`` to below ``last``."""

    def __init__(self, attempt: Callable[[int], str], first: int, last: int, until: float) -> None:
        self.first, self.last = first, last
        # The input under way, when it began, and how many were taken.
        self.place = mmap.mmap(-1, 24)
        self._note(first, 0)
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            status = 1
            try:
                self._try(attempt, until, writing)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        self.pipe = reading
        self.text = b""

    def _note(self, number: int, taken: int) -> None:
        self.place[:] = struct.pack("qdq", number, time.monotonic(), taken)

    def noted(self) -> tuple[int, float, int]:
        """Return the input under way, when it began, and how many were taken."""
        number, began, taken = struct.unpack("qdq", self.place[:])
        return number, began, taken

    def _try(self, attempt: Callable[[int], str], until: float, pipe: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # Files of its own, by the same names.
        os.mkdir(str(os.getpid()))
        os.chdir(str(os.getpid()))
        faulthandler.disable()
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        with open("/proc/self/statm") as memory:
            pages = int(memory.read().split()[5])
        most = pages * resource.getpagesize() + MOST_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        taken = 0
        number = self.first
        while number < self.last and time.monotonic() < until:
            self._note(number, taken)
            try:
                taken += attempt(number) == "taken"
            except MemoryError as error:
                self._tell(pipe, number, "memory", error)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self._tell(pipe, number, "error", error)
            number += 1
        self._note(number, taken)

    def _tell(self, pipe: int, number: int, what: str, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        where = [f"{os.path.basename(f.filename)}:{f.lineno} {f.name}" for f in frames]
        words = "\n".join([*where, f"{type(error).__name__}: {error!s:.300}"])
        os.write(pipe, json.dumps([number, what, words]).encode() + b"\n")

    def listen(self) -> bool:
        """Take in what it says; return whether that was the end."""
        part = os.read(self.pipe, 1 << 16)
        self.text += part
        return not part

    def end(self, tally: Tally, hangs: bool) -> int:
        """Add up what it did, after its end; return the next input to try."""
        while not self.listen():
            pass
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        shutil.rmtree(str(self.pid), ignore_errors=True)
        for line in self.text.splitlines():
            tally.findings.append(Finding(*json.loads(line)))
        number, _, taken = self.noted()
        tally.taken += taken
        if status:
            ended = os.waitstatus_to_exitcode(status)
            what = "hang" if hangs else "signal" if ended < 0 else "error"
            words = f"more than {LONGEST:g} s" if hangs else f"the process ended with {ended}"
            tally.findings.append(Finding(number, what, words))
            number += 1
        tally.inputs += number - self.first
        return number


def try_all(attempt: Callable[[int], str], until: float, inputs: int) -> Tally:
    """Try inputs in as many children as there are processors, until a time or a number."""
    tally = Tally()
    children: list[Child] = []
    waiting: list[tuple[int, int]] = []
    following = 0
    last = inputs or sys.maxsize
    while True:
        while len(children) < (os.cpu_count() or 1) and time.monotonic() < until:
            if waiting:
                first, end = waiting.pop()
            elif following < last and len(tally.findings) < MOST_FINDINGS:
                first, end = following, min(following + SHARE, last)
                following = end
            else:
                break
            children.append(Child(attempt, first, end, until))
        if not children:
            return tally
        ready, _, _ = select([child.pipe for child in children], [], [], 0.1)
        for child in list(children):
            hangs = time.monotonic() - child.noted()[1] > LONGEST
            if hangs:
                os.kill(child.pid, signal.SIGKILL)
            if hangs or (child.pipe in ready and child.listen()):
                children.remove(child)
                number = child.end(tally, hangs)
                if number < child.last:
                    waiting.append((number, child.last))
