"""How many threads there are to begin with, and who may change that."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import convprop as cp
from convprop.errors import InvalidInput
from convprop.machine.processors import cpu_quota, default_threads
from convprop.shown import shortened
from refusal import refuses

HERE = math.inf if not hasattr(os, "sched_getaffinity") else len(os.sched_getaffinity(0))


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Write what Linux says of a process's control groups."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V1 = "5:memory:/docker/4f\n4:cpu,cpuacct:/docker/4f\n3:cpuset:/docker/4f\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/job\n", {"job/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/job\n", {"job/cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "50000 25000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "100000 100000\n", "a/cpu.max": "max 100000\n"}, 1),
        # A container sees the host's path, and its own group at the mount's root.
        ("0::/../../kubepods/pod\n", {"cpu.max": "300000 100000\n"}, 3),
        ("0::/\n", {"job/cpu.max": "100000 100000\n"}, math.inf),
        ("0::/\n", {"cpu.max": "nonsense\n"}, math.inf),
        ("0::/\n", {}, math.inf),
        (
            V1,
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            V1,
            {
                "cpu,cpuacct/docker/4f/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/docker/4f/cpu.cfs_period_us": "100000\n",
            },
            math.inf,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
    ],
)
def test_the_quota_is_the_smallest_from_the_own_group_to_the_root(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float
) -> None:
    assert cpu_quota(machine(tmp_path, groups, files)) == quota


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) == math.inf


@pytest.mark.parametrize(("quota", "threads"), [(5, 1), (100, 1), (150, 2), (200, 2)])
def test_a_quota_is_rounded_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: int, threads: int
) -> None:
    monkeypatch.setattr("convprop.machine.processors.affinity", lambda: 64)
    root = machine(tmp_path, "0::/\n", {"cpu.max": f"{quota} 100\n"})
    assert default_threads({}, root) == threads


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({}, 64),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": " 3,2 "}, 3),
        ({"OMP_NUM_THREADS": "100"}, 64),
        ({"OMP_NUM_THREADS": "0"}, 1),
        ({"OMP_NUM_THREADS": "many"}, 64),
        ({"CONVPROP_NUM_THREADS": "5", "OMP_NUM_THREADS": "3"}, 5),
        ({"CONVPROP_NUM_THREADS": "100"}, 100),
        ({"CONVPROP_NUM_THREADS": ""}, 64),
    ],
)
def test_the_environment_decides_or_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], threads: int
) -> None:
    monkeypatch.setattr("convprop.machine.processors.affinity", lambda: 64)
    assert default_threads(environment, tmp_path) == threads


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", " 2", "1025", "9" * 9999])
def test_a_wrong_number_in_the_environment_is_refused(value: str) -> None:
    rule = "CONVPROP_NUM_THREADS must be a whole number from 1 to 1024"
    with refuses(InvalidInput, f"{rule}, got {shortened(value)}"):
        default_threads({"CONVPROP_NUM_THREADS": value})


def threads_of(setup: str = "", **environment: str) -> int:
    """Return the default in a process of its own that first does ``setup``."""
    script = f"import os; {setup}\nimport convprop; print(convprop.get_num_threads())"
    variables = {name: os.environ[name] for name in os.environ if "NUM_THREADS" not in name}
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env=variables | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(finished.stdout)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_uses_the_processors_that_it_may_run_on() -> None:
    one = min(os.sched_getaffinity(0))
    assert threads_of(f"os.sched_setaffinity(0, {{{one}}})") == 1
    assert threads_of() <= HERE
    assert threads_of(f"os.sched_setaffinity(0, {{{one}}})", CONVPROP_NUM_THREADS="3") == 3


def test_a_call_goes_before_the_environment() -> None:
    asked = "print(cp.get_num_threads())"
    script = f"import convprop as cp; {asked}; cp.set_num_threads(2); {asked}"
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"CONVPROP_NUM_THREADS": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == "7\n2\n"


def test_get_gives_what_set_took() -> None:
    before = cp.get_num_threads()
    try:
        cp.set_num_threads(3)
        assert cp.get_num_threads() == 3
    finally:
        cp.set_num_threads(before)


LITTLE = """
import resource, threading
import convprop as cp
cp.set_num_threads({threads})
resource.setrlimit(resource.RLIMIT_AS, ({memory} << 20,) * 2)
net = cp.Network([cp.Conv(4, 3), cp.Dense(3)], (1, 8, 8))
import numpy as np
images = np.zeros((40, 1, 8, 8), np.uint8)
try:
    {call}
except cp.ConvpropError as error:
    print(type(error).__name__, error)
cp.set_num_threads(2)
print(net.forward(images).shape, threading.active_count())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's addresses")
@pytest.mark.parametrize(
    "call",
    [
        "net.forward(images)",
        "cp.train(net, images, np.arange(40) % 3, epochs=1)",
        "cp.ops.conv.forward(images.astype('f'), np.ones((1, 1, 3, 3), 'f'))",
    ],
)
def test_threads_that_cannot_all_be_started_are_an_error_with_both_numbers(call: str) -> None:
    script = LITTLE.format(threads=200, memory=1000, call=call)
    finished = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        # Those of NumPy's own library take addresses, too.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    said, after = finished.stdout.splitlines()
    match = re.fullmatch(
        "TooFewThreads threads must be at most the ([0-9]+) that this process can start, got 200",
        said,
    )
    assert match and 1 <= int(match[1]) < 200
    assert (finished.returncode, finished.stderr, after) == (0, "", "(40, 3) 1")
