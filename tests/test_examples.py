"""The examples run, and show what they promise."""

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    shown = capsys.readouterr().out
    if path.stem == "backward_pass":
        differences = [
            float(d) for d in re.findall(r"differs from Eq\. \d+ by at most (\S+)", shown)
        ]
        assert len(differences) == 4
        assert max(differences) < 1e-14
    else:
        accuracy = re.search(r"([\d.]+)% of|test images: .*accuracy ([\d.]+)%", shown)
        assert accuracy
        assert float(accuracy[1] or accuracy[2]) > 90
