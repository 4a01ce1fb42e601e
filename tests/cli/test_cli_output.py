"""Outputs that fail: what they were to get is named, said elsewhere, and costs no work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import QUICK, command, run, start

import convprop as cp
from convprop.cli import app as cli
from convprop.training import rate_finder

FAULT = "error: stdout must take what is written, got no space left on device"
ELSEWHERE = f"{FAULT}; what follows is here instead\n"

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


def told(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    """Run a command that fails with a full disk under stdout; return what stderr gets."""
    with open("/dev/full", "w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        assert cli.run(words) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--help", "Usage: convprop COMMAND"),
        ("--version", "convprop "),
        ("train --help", "Usage: convprop train [OPTIONS] [DATA]"),
        ("train {data} --epochs 2 --out {out}", "saved     {out}\n"),
        ("evaluate {model} {data}", "result    accuracy 100.00 %"),
        ("summary {model}", "classes   lying, standing\n"),
        ("inspect {model}", "kind      a model file"),
        ("find-rate {data} --steps 40", "suggested --learning-rate"),
        ("show {data} --out {out}.png", "saved     {out}.png"),
        ("profile digits --steps 2", "measured  2 steps"),
        ("check digits", "result    all agree\n"),
    ],
)
def test_what_stdout_does_not_take_is_said_on_stderr(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    stripes_file: Path,
    model: Path,
    line: str,
    said: str,
) -> None:
    names = {"data": stripes_file, "model": model, "out": tmp_path / "out"}
    shown = told(capsys, line.format(**names).split())
    assert shown.startswith(ELSEWHERE)
    assert said.format(**names) in shown
    assert shown.count("error: ") == 1


@pytest.mark.parametrize(
    "line",
    [
        "train {data} --epochs 2 --out {out} --json",
        "evaluate {model} {data} --json",
        "predict {model} {data}",
        "predict {model} {data} --csv",
        "inspect {model} --json",
        "find-rate {data} --steps 40 --json",
    ],
)
def test_results_for_programs_that_stdout_does_not_take_are_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path, model: Path, line: str
) -> None:
    out = tmp_path / "out"
    words = line.format(data=stripes_file, model=model, out=out).split()
    shown = told(capsys, words)
    assert shown.endswith(f"{FAULT}\n")
    assert shown.count("error: ") == 1
    if "--out" in words:
        assert f"saved     {out}\n" in shown
        assert cp.load(out).class_names == ("lying", "standing")


def test_a_training_whose_stdout_fills_up_comes_to_its_end(
    tmp_path: Path, stripes_file: Path
) -> None:
    out, shown = tmp_path / "net", tmp_path / "shown.txt"
    words = command(("train", stripes_file, *QUICK), "ulimit -f 1;")
    with shown.open("w") as file:
        file.write(" " * 700)
        file.flush()
        result = subprocess.run(words, stdout=file, stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode == 1
    assert "error: stdout must take what is written, got file too large; what" in result.stderr
    assert " 3/3 " in result.stderr
    assert result.stderr.count("error: ") == 1
    assert not out.exists()


@pytest.mark.parametrize("both", [True, False])
def test_without_room_for_messages_the_work_is_done(
    tmp_path: Path, stripes_file: Path, both: bool
) -> None:
    out = tmp_path / "net"
    words = ("train", stripes_file, *QUICK, "--out", out, "--json")
    result = run(*words, shell="exec 2>/dev/full;" + (" exec >/dev/full;" if both else ""))
    assert (result.returncode, result.stderr) == (int(both), "")
    assert both or json.loads(result.stdout)["epochs"] == 3
    assert cp.load(out).class_names == ("lying", "standing")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_plot_that_cannot_be_written_costs_no_rate(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
    as_json: bool,
) -> None:
    out = tmp_path / "rates.svg"
    find = rate_finder.find_rate

    def slowly(*given: object, **options: object) -> object:
        out.mkdir()  # In the time of the sweep.
        return find(*given, **options)

    monkeypatch.setattr("convprop.training.rate_finder.find_rate", slowly)
    more = ["--json"] if as_json else []
    assert cli.run(["find-rate", str(stripes_file), "--out", str(out), *more]) == 1
    shown = capsys.readouterr()
    if as_json:
        assert json.loads(shown.out)["suggestion"] > 0
    assert "suggested --learning-rate" in (shown.err if as_json else shown.out)
    reason = f"error: --out must name a file that can be written, got {out} (is a directory)\n"
    assert shown.err.endswith(reason)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["best.toml", "records"])
def test_a_search_that_cannot_write_shows_what_it_knows(
    tmp_path: Path, stripes_file: Path, lost: str
) -> None:
    out = tmp_path / "best.toml"
    words = ["search", stripes_file, "--try", "learning_rate=0.01,0.02,0.03", "--epochs", "2"]
    if lost == "records":
        # Room for three lines of the records of nine trainings.
        result = run(*words, "--out", out, shell="ulimit -f 1;")
        assert result.stderr.startswith("error: TMPDIR must name a folder that has room, got ")
        assert result.stderr.endswith("(file too large)\n")
    else:
        process = start(*words, "--out", out, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        first = process.stdout.readline()
        out.mkdir()  # In the time of the search.
        shown, errors = process.communicate(timeout=60)
        result = subprocess.CompletedProcess(words, process.returncode, first + shown, errors)
        reason = f"error: --out must name a file that can be written, got {out} (is a directory)\n"
        assert result.stderr == reason
    assert result.returncode == 1
    assert "\n1  0.0" in result.stdout


def test_help_for_a_reader_that_has_gone_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        command(("train", "--help")), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, "")


def test_a_search_says_where_it_could_not_keep_its_records(
    stripes_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    monkeypatch.setenv("TMPDIR", "/nowhere")
    assert cli.run(["search", str(stripes_file), "--epochs", "1"]) == 1
    error = "TMPDIR must name a folder that has room, got /nowhere (no such file or directory)"
    assert capsys.readouterr().err == f"error: {error}\n"
