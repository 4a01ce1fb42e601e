"""The machine a figure was measured on: its name, its commit, its limits."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from convprop.machine.native import engine

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


def build(folder: Path, source: str, *others: str) -> Path:
    """Compile a program of this folder, and files of kernels/, as CMakeLists.txt compiles them."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise SystemExit("benchmarks: a C++ compiler must be on the PATH (or in CXX)")
    kernels = HERE.parent / "kernels"
    program = folder / Path(source).stem
    flags = ["-std=c++20", "-pthread", f"-I{kernels}", *_cmake_flags()]
    files = [str(HERE / source), *(str(kernels / other) for other in others)]
    subprocess.run([compiler, *flags, *files, "-o", str(program)], check=True)
    return program


def _cmake_flags() -> list[str]:
    """Return the flags that the engine in use was compiled with."""
    text = (HERE.parent / "CMakeLists.txt").read_text()
    isa = engine.__name__.rpartition("_engine_")[2]
    rules = (
        r"^add_compile_options\((.*)\)",
        r'^set\(CMAKE_CXX_FLAGS_RELEASE "(.*)"\)',
        rf"^ *set\(flags_{isa} (.*)\)",
    )
    found = [re.search(rule, text, re.MULTILINE) for rule in rules]
    return " ".join(match[1] for match in found if match).split()


class Limit:
    """The loops of limit.cc: what the machine can do at most, just now."""

    # For each thread, far more than its share of a third-level cache.
    MEMORY_BYTES = 1 << 27

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._program = build(Path(self._folder.name), "limit.cc")

    def gflops(self, threads: int) -> float:
        """Return the GFLOP/s of fused multiply-adds."""
        return self._measure(threads, 25)

    def bandwidths(self, threads: int) -> dict[str, float]:
        """Return the GB/s, read and written alike, of memory and of second-level caches."""
        sizes = {"memory": self.MEMORY_BYTES, "l2": second_level_bytes() // 2}
        return {name: self._measure(threads, 50, size) for name, size in sizes.items()}

    def _measure(self, *numbers: int) -> float:
        command = [str(self._program), *map(str, numbers)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def second_level_bytes() -> int:
    """Return the size of a core's second-level cache, or a common one where it is unknown."""
    try:
        return os.sysconf("SC_LEVEL2_CACHE_SIZE") or 1 << 19
    except (ValueError, OSError):
        return 1 << 19
