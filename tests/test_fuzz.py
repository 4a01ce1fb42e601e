"""The fuzzer finds what it is for, says how to try it again, and finds nothing in a few inputs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

WATCHED = """
import os, signal, sys, time
from fuzzing import children

children.LONGEST = 0.5

def attempt(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 5:
        raise KeyError("odd")
    if number == 7:
        bytearray(2 << 30)
    if number == 9:
        time.sleep(60)
    return "taken" if number % 2 else "refused"

os.chdir(sys.argv[1])
tally = children.try_all(attempt, until=time.monotonic() + 60, inputs=20)
for finding in sorted(tally.findings, key=lambda finding: finding.number):
    print(finding.number, finding.what, finding.text.splitlines()[-1])
print(tally.line())
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_crashes_errors_memory_and_hangs_are_found(tmp_path):
    lines = run("-c", WATCHED, str(tmp_path), cwd=tmp_path).stdout.splitlines()
    assert lines == [
        "3 signal the process ended with -11",
        "5 error KeyError: 'odd'",
        "7 memory MemoryError: ",
        "9 hang more than 0.5 s",
        "     20 inputs,       6 taken: 1 other errors, 1 signals, 1 hangs, 1 over 1 GB",
    ]


@pytest.mark.slow
def test_a_few_inputs_of_every_kind(tmp_path):
    found = run(str(TESTS / "fuzz.py"), "--inputs", "60", "--seed", "1", cwd=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    kinds = re.findall(r"^(\w+) +60 inputs,.*: 0 other errors, 0 signals", found.stdout, re.M)
    assert kinds == ["model", "checkpoint", "idx", "npz", "image", "toml", "explorer"]
    # A kind whose good inputs are all refused tries nothing but the first check.
    taken = re.findall(r"inputs, +([0-9,]+) taken", found.stdout)
    assert "0" not in taken, found.stdout
    assert re.search(r"^together +420 inputs, 0 findings$", found.stdout, re.M)


@pytest.mark.slow
def test_an_input_is_a_function_of_kind_seed_and_number(tmp_path):
    once = [
        run(str(TESTS / "fuzz.py"), "idx", "--seed", "7", "--input", str(n), cwd=tmp_path).stdout
        for n in (0, 1, 0, 1)
    ]
    assert once[:2] == once[2:]
    assert set(once) <= {"seed 7\ntaken\n", "seed 7\nrefused\n"}
