"""Widths that terminals and COLUMNS tell of: those that are none, narrow ones, very wide ones."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
from pathlib import Path

import pytest
from runs import QUICK, run, start

from convprop.cli import app as cli

COMMANDS = [command.__name__.replace("_", "-") for command in cli.COMMANDS]

# What no terminal has, or no number says.
UNKNOWN = ("0", "3", "9", "00", "-5", "1e2", "abc", "", "²", "9" * 5000)


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """Run a command here, and return all that it says."""
    assert cli.run(arguments) == status
    shown = capsys.readouterr()
    return shown.out + shown.err


def test_a_width_that_is_none_is_eighty(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        (["--help"], 0),
        (["train", "--help"], 0),
        (["summary", "lenet5"], 0),
        (["train", "digits", "--epochs", "none"], 2),
        (["evaluate", "nowhere.safetensors", "digits"], 1),
    )
    expected = [told(capsys, *words, status=status) for words, status in lines]
    for columns in UNKNOWN:
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("LINES", columns)
        shown = [told(capsys, *words, status=status) for words, status in lines]
        assert shown == expected, columns


def test_no_columns_take_no_memory(capsys: pytest.CaptureFixture[str]) -> None:
    result = run("--help", shell="ulimit -v 4000000;", env=os.environ | {"COLUMNS": "0"})
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == told(capsys, "--help")


def test_a_width_beyond_all_terminals_takes_no_memory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "999999999")
    assert max(map(len, told(capsys, "--help").splitlines())) == 65535


@pytest.mark.parametrize("columns", [10, 11, 20, 40, 60])
@pytest.mark.slow
def test_narrow_help_lacks_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    for name in COMMANDS:
        monkeypatch.setenv("COLUMNS", "400")
        whole = set(re.findall(r"--[a-z-]+|\b[A-Z]{4,}\b", told(capsys, name, "--help")))
        monkeypatch.setenv("COLUMNS", str(columns))
        narrow = told(capsys, name, "--help")
        assert all(len(line) <= columns for line in narrow.splitlines())
        unfolded = re.sub(r"\s", "", narrow)
        assert [word for word in whole if word not in unfolded] == []


@pytest.mark.parametrize("columns", ["10", "11", "20", "30"])
def test_commands_work_in_few_columns(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
    stripes_folder: Path,
    model: Path,
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    data, out = str(stripes_file), str(tmp_path / "net")
    assert f"saved     {out}\n" in told(capsys, "train", data, *QUICK, "--out", out)
    assert "accuracy 100.00 %" in told(capsys, "evaluate", str(model), data)
    assert "standing" in told(capsys, "predict", str(model), str(stripes_folder))
    assert "suggested --learning-rate" in told(capsys, "find-rate", data, "--steps", "40")
    assert "safetensors" in told(capsys, "inspect", str(model))
    assert "Dense" in told(capsys, "summary", str(model))
    assert "saved" in told(capsys, "show", data, "--out", str(tmp_path / "sheet.png"))


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["0", "10", "20"])
def test_the_numbers_of_a_search_are_whole(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    stripes_file: Path,
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    tries = ("--try", "learning_rate=0.001,0.003")
    shown = told(capsys, "search", str(stripes_file), *tries, "--epochs", "1")
    assert (
        len(re.findall(r"^[12] +0\.00[13] +1 +\d+\.\d\d % +\d+\.\d\d +\d\.\d s$", shown, re.M)) == 2
    )


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (24, 3), (1, 11), (0, 20), (24, 0)])
@pytest.mark.slow
def test_a_terminal_of_few_columns_or_none(stripes_file: Path, rows: int, columns: int) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    unset = {n: v for n, v in os.environ.items() if n not in ("COLUMNS", "LINES")}
    process = start(
        "train",
        stripes_file,
        *QUICK,
        shell="ulimit -v 8000000;",
        stdout=theirs,
        stderr=theirs,
        env=unset | {"TERM": "xterm-256color"},
    )
    os.close(theirs)
    written = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # The other side is closed.
            break
        written += part
    os.close(ours)
    assert process.wait(timeout=30) == 0
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written.decode())
    for words in ("data      ", "3/3", "accuracy ", "saved     nothing"):
        assert words in shown
