"""Commands on a terminal, where the system starts no thread any more."""

import threading
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV

from convprop.cli import app as cli


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python start no thread, and what is printed go to a terminal."""

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")


@pytest.mark.usefixtures("without_threads")
@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "MODEL", "DATA"),
        ("find-rate", "DATA"),
        ("search", "DATA", "--try", "learning_rate=0.01,0.1", "--epochs", "1"),
        ("train", "DATA", "--epochs", "1", "--out", "OUT"),
        ("show", "DATA", "--out", "SHEET"),
    ],
)
def test_what_only_shows_that_something_goes_on_is_done_without(
    words: tuple[str, ...],
    model: Path,
    stripes_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {"MODEL": model, "DATA": stripes_file, "OUT": tmp_path / "n.safetensors"}
    files["SHEET"] = tmp_path / "sheet.html"
    assert cli.run([str(files.get(word, word)) for word in words]) == 0
    shown = capsys.readouterr()
    assert "reading " in shown.out
    # The cursor is there again.
    assert shown.out.count("\x1b[?25l") == shown.out.count("\x1b[?25h") > 0


@pytest.mark.usefixtures("without_threads")
@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "MODEL", "FOLDER"),
        ("predict", "MODEL", "FOLDER"),
        ("explore", "MODEL", "FILE", "--no-browser"),
    ],
)
def test_where_threads_are_needed_the_error_is_our_own(
    words: tuple[str, ...],
    model: Path,
    stripes_folder: Path,
    stripes_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {"MODEL": model, "FOLDER": stripes_folder, "FILE": stripes_file}
    assert cli.run([str(files.get(word, word)) for word in words]) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert "threads must be at most the " in error and "that this process can start" in error
    assert "can't start" not in error


def test_a_process_of_a_search_that_is_killed_costs_no_results(
    stripes_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit, best = HalvingGridSearchCV.fit, tmp_path / "best.toml"

    def killed(search: HalvingGridSearchCV, images: np.ndarray, labels: np.ndarray) -> None:
        fit(search, images, labels)
        raise BrokenProcessPool("A worker process managed by the executor was terminated")

    monkeypatch.setattr(HalvingGridSearchCV, "fit", killed)
    words = ["search", str(stripes_file), "--try", "learning_rate=0.01,0.1", "--epochs", "1"]
    assert cli.run([*words, "--out", str(best)]) == 1
    shown = capsys.readouterr()
    assert "--jobs must leave each process the memory it needs" in shown.err
    assert f"saved     {best}" in shown.out
    assert best.exists()
