"""How many threads to begin with: what the environment says, or what the process may use."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from convprop.errors import invalid

MOST_THREADS = 1024
"""The engine's limit."""


def default_threads(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """Return ``CONVPROP_NUM_THREADS``, or else the smallest of these, at least 1.

    - the processors that the process may use;
    - ``OMP_NUM_THREADS``, if it is a number: joblib limits its workers by it, batch systems
      their jobs.

    Parameters
    ----------
    environment
        In the place of the process's own.
    root
        The folder that holds ``proc`` and ``sys``.

    Raises
    ------
    InvalidInput
        ``CONVPROP_NUM_THREADS`` is no whole number in 1 .. 1024.
    """
    if given := environment.get("CONVPROP_NUM_THREADS"):
        if not re.fullmatch("[0-9]{1,9}", given) or not 1 <= int(given) <= MOST_THREADS:
            rule = f"be a whole number from 1 to {MOST_THREADS}"
            raise invalid("CONVPROP_NUM_THREADS", rule, given)
        return int(given)
    limits = [MOST_THREADS, processors(root)]
    # "4,2" gives the nested levels of parallelism after the first.
    if level := re.fullmatch("([0-9]{1,9})(,.*)?", environment.get("OMP_NUM_THREADS", "").strip()):
        limits.append(int(level[1]))
    return max(1, min(limits))


def processors(root: Path = Path("/")) -> int:
    """Return how many processors the process may use: the smaller of these, at least 1.

    - those in its affinity mask;
    - the quota of its control groups, rounded up: two threads with 1.5 processors between them
      wait for a quarter of the time, and do half as much again as one.
    """
    quota = cpu_quota(root)
    return max(1, min(affinity(), math.ceil(quota) if math.isfinite(quota) else MOST_THREADS))


def affinity() -> int:
    """Return how many processors the process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name(root: Path = Path("/")) -> str:
    """Return what Linux calls the processor, elsewhere what the system does."""
    named = re.search(r"^model name\s*: (.+)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    # Imported here: it takes part of the time of an import of the package.
    import platform

    return named[1] if named else platform.processor() or platform.machine()


def cpu_quota(root: Path = Path("/")) -> float:
    """Return how many processors' time the process's control groups allow it, or infinity.

    The quota of every group from the process's own up to the root counts. In a container the
    path may be the host's, of which only the mount's root is there.
    """
    quotas = [math.inf]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        base = root / "sys/fs/cgroup" / controllers
        names = [name for name in path.split("/") if name not in ("", "..")]
        for depth in range(len(names) + 1):
            group = base.joinpath(*names[:depth])
            if controllers == "":
                limits = _text(group / "cpu.max")
            elif "cpu" in controllers.split(","):
                limits = _text(group / "cpu.cfs_quota_us") + _text(group / "cpu.cfs_period_us")
            else:
                break
            # No limit is "max 100000" in version 2, -1 in version 1.
            if match := re.fullmatch(r"([0-9]+)\s+([1-9][0-9]*)\s*", limits):
                quotas.append(int(match[1]) / int(match[2]))
    return min(quotas)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
