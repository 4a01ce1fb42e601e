"""The machine a figure was measured on: its name, its commit, its multiply-add limit."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def describe() -> str:
    """Return processor, number of usable processors and system in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    name = found[1] if found else platform.processor() or platform.machine()
    # Cloud machines often give no more than the maker's name; the widest instructions matter more.
    for flag, widest in (("avx512f", "AVX-512"), ("avx2", "AVX2")):
        if re.search(rf"\b{flag}\b", text):
            name = f"{name} ({widest})"
            break
    return f"{name}, {usable_processors()} processors, {platform.system()}"


def usable_processors() -> int:
    """Return the number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit() -> str:
    """Return the commit that is checked out, with "+" if tracked files differ from it."""
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty=+", "--exclude=*"]
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


class Limit:
    """The multiply-add loop of limit.cc, built for this machine by the system's compiler."""

    def __init__(self) -> None:
        compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
        if compiler is None:
            raise SystemExit("benchmarks: a C++ compiler must be on the PATH (or in CXX)")
        self._folder = tempfile.TemporaryDirectory()
        self._program = Path(self._folder.name, "limit")
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-std=c++20", "-pthread"]
        source = str(HERE / "limit.cc")
        subprocess.run([compiler, *flags, source, "-o", str(self._program)], check=True)

    def gflops(self, threads: int, milliseconds: int = 50) -> float:
        """Return the GFLOP/s of fused multiply-adds reached just now."""
        command = [str(self._program), str(threads), str(milliseconds)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
