"""Memory: what this process has taken, and may still take."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress


def resident_memory() -> int:
    """Return the resident size of this process, in bytes."""
    return _status("VmRSS") or peak_memory()


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    # On Linux ru_maxrss begins with that of the process which started this one.
    if peak := _status("VmHWM"):
        return peak
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def free_memory() -> int:
    """Return what this process may still take, in bytes; 0 where the system does not tell.

    That is what Linux takes to be available, as far as a limit of the process allows it.
    """
    free = _size("/proc/meminfo", "MemAvailable")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return free
    left = max(limit - _status("VmSize"), 0)
    return min(free, left) if free else left


def _status(name: str) -> int:
    """Return a size that Linux tells of this process, in bytes; 0 where it does not."""
    return _size("/proc/self/status", name)


def _size(file: str, name: str) -> int:
    with suppress(OSError), open(file, encoding="ascii", errors="replace") as lines:
        for line in lines:
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return 0
