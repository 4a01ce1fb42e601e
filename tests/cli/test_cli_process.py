"""Ctrl-C, pipes, terminals and encodings: commands as processes of their own."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runs import QUICK, command, run, start

import convprop as cp
from convprop.cli import app as cli
from convprop.cli.progress import TrainingProgress
from convprop.cli.train import train
from convprop.cli.train_settings import TrainOptions


def lines_until(process: subprocess.Popen[str], text: str) -> None:
    """Read the process's stdout up to a line that holds ``text``."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was not printed")


@pytest.mark.parametrize("saved", [True, False])
def test_ctrl_c_keeps_what_was_learned(tmp_path: Path, stripes_file: Path, saved: bool) -> None:
    out = tmp_path / "model.safetensors"
    options = ("--out", str(out)) if saved else ()
    endless = ("--epochs", "1000000", "--batch-size", "16")
    process = start(
        "train",
        stripes_file,
        *endless,
        *options,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    lines_until(process, "3/1000000")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    stopped = re.search(
        r"^stopped   by Ctrl-C after ([\d,]+) of 1,000,000 epochs \(([\d,]+) steps\)$", output, re.M
    )
    assert stopped
    epochs, steps = (int(number.replace(",", "")) for number in stopped.groups())
    assert 3 <= epochs <= steps / 5 < epochs + 1
    digest = re.search(r"^weights   (\w+)$", output, re.M)
    assert digest
    if saved:
        # What is printed last goes on with it.
        again = shlex.join(["convprop", "train", str(stripes_file), *endless, *options, "--resume"])
        assert output.endswith(f"saved     {out}\ngo on     {again}\n")
        assert cp.load(out).weights_sha256() == digest[1]
        checkpoint = f"{out.name}.checkpoint-{steps:08d}"
        beside = [out.name, checkpoint, f"{out.name}.jsonl", f"{out.name}.toml"]
        assert sorted(os.listdir(tmp_path)) == beside
    else:
        assert output.endswith("saved     nothing (--out FILE saves the network)\n")


# Sends SIGINT to its process when a module is about to be imported.
INTERRUPTING = """
import os, signal, sys

class Interrupting:
    def find_spec(name, path=None, target=None):
        if name == os.environ["INTERRUPTED_IMPORT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting)
"""


@pytest.mark.parametrize("start", ["module", "script"])
@pytest.mark.parametrize("imported", ["numpy", "convprop.training", "cyclopts"])
def test_ctrl_c_during_the_imports_is_silent(tmp_path: Path, start: str, imported: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTING)
    script = tmp_path / "convprop"
    script.write_text("from convprop.cli import main\nmain()\n")
    paths = [str(tmp_path), str(Path(cp.__file__).parents[1])]
    result = subprocess.run(
        [sys.executable, *(["-m", "convprop"] if start == "module" else [script]), "--version"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "INTERRUPTED_IMPORT": imported},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_a_second_ctrl_c_does_not_lose_the_network(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cp.Network, "evaluate", interrupt)
    out = tmp_path / "model.safetensors"
    assert cli.run(["train", str(stripes_file), *QUICK, "--out", str(out)]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
    assert cp.load(out).class_names == ("lying", "standing")


def test_a_process_that_ignores_sigint_goes_on_ignoring_it(stripes_file: Path) -> None:
    process = start(
        "train",
        stripes_file,
        "--epochs",
        "40",
        stdout=subprocess.PIPE,
        shell="trap '' INT;",
    )
    lines_until(process, "1/40")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "40/40" in output


def test_a_reader_that_goes_away_ends_the_command_quietly(
    stripes_file: Path, model: Path, stripes_folder: Path
) -> None:
    commands = (("predict", model, stripes_folder), ("train", stripes_file))
    reader, writer = os.pipe()
    os.close(reader)
    started = [start(*command, stdout=writer, stderr=subprocess.PIPE) for command in commands]
    os.close(writer)
    for process in started:
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (141, "")


def test_a_reader_that_goes_away_while_training_does_not_lose_the_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stripes_file: Path
) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(TrainingProgress, "on_epoch", broken)
    out = tmp_path / "model.safetensors"
    with pytest.raises(BrokenPipeError):
        train(str(stripes_file), given=TrainOptions(epochs=2, out=out))
    assert cp.load(out).class_names == ("lying", "standing")


def test_closed_outputs_are_no_failure(model: Path) -> None:
    result = run("summary", model, shell="exec <&- >&- 2>&-;")
    assert result.returncode == 0


def read_terminal(arguments: list[str]) -> str:
    """Run a command on a terminal of 80 columns and return what it writes there."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = start(*arguments, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    end = time.monotonic() + 30
    while time.monotonic() < end and select.select([ours], [], [], 30)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # The other side is closed.
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return written.decode()


def test_a_terminal_gets_a_live_bar_that_leaves_only_the_epochs_behind(
    stripes_file: Path,
) -> None:
    shown = read_terminal(["train", str(stripes_file), "--epochs", "60", "--batch-size", "8"])
    bar = re.compile(r"epoch (\d+)/60  loss \d+\.\d{4}  \d+\.\d\d %  [\d,]+ images/s  \d:\d\d left")
    frames = [re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", frame) for frame in re.split(r"[\r\n]+", shown)]
    bars = [frame for frame in frames if bar.search(frame)]
    assert bars
    assert all(frame.startswith(("━", "╸", "╺")) and len(frame) <= 80 for frame in bars)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # The cursor is back.
    assert len([frame for frame in frames if re.match(r" +\d+/60 ", frame)]) == 60
    assert "\x1b[2K" in shown[shown.rindex(" left") :]  # The last bar is wiped out.


def test_characters_that_the_output_cannot_hold_are_replaced(
    tmp_path: Path, stripes_file: Path
) -> None:
    with np.load(stripes_file) as stored:
        np.savez(
            tmp_path / "s.npz",
            images=stored["images"],
            labels=stored["labels"],
            class_names=["couché", "debout"],
        )
    out = tmp_path / "model.safetensors"
    assert cli.run(["train", str(tmp_path / "s.npz"), *QUICK, "--out", str(out)]) == 0
    result = run("summary", out, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    assert "classes   couch?, debout\n" in result.stdout


@pytest.mark.skipif(
    not (status := Path("/proc/self/status")).exists() or "VmHWM" not in status.read_text(),
    reason="reads /proc",
)
def test_the_peak_of_memory_is_not_that_of_the_starting_process(stripes_file: Path) -> None:
    large = 600_000_000
    words = command(("train", stripes_file, *QUICK, "--json"))
    starter = f"import subprocess; kept = b'x' * {large}; subprocess.run({words!r}, check=True)"
    result = subprocess.run(
        [sys.executable, "-c", starter], capture_output=True, text=True, check=True, timeout=60
    )
    assert 10e6 < json.loads(result.stdout)["peak_memory_bytes"] < large
