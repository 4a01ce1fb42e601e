"""The table of promises in CONTRIBUTING.md names tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    line
    for line in ROOT.joinpath("CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and line.count(" | ") == 2 and "promise |" not in line
]


def test_there_are_rows():
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" | ")[0].strip("| "))
def test_a_promise_is_held_by_tests_that_there_are(row):
    named = re.findall(r"`([\w/]+\.(?:py|cc))(?:::(\w+))?`", row.split(" | ")[2])
    assert named or "ThreadSanitizer" in row
    for file, test in named:
        path = (ROOT if file.startswith("kernels/") else ROOT / "tests") / file
        assert path.is_file(), path
        assert not test or re.search(rf"^def {test}\(", path.read_text("utf-8"), re.MULTILINE), test
