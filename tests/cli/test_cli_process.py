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
from convprop.cli import signals
from convprop.training.checkpoint import Checkpoints


def lines_until(process: subprocess.Popen[str], text: str) -> None:
    """Read the process's stdout up to a line that holds ``text``."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was not printed")


@pytest.mark.parametrize("saved", [True, pytest.param(False, marks=pytest.mark.slow)])
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


@pytest.mark.parametrize(
    ("number", "limit"),
    [
        (signal.SIGUSR1, ""),
        pytest.param(signal.SIGUSR2, "", marks=pytest.mark.slow),
        pytest.param(signal.SIGXCPU, "", marks=pytest.mark.slow),
        # The kernel sends it every second from then on.
        pytest.param(signal.SIGXCPU, "ulimit -S -t 6;", marks=pytest.mark.slow),
    ],
)
def test_what_batch_systems_send_keeps_what_was_learned(
    tmp_path: Path, stripes_file: Path, number: signal.Signals, limit: str
) -> None:
    out = tmp_path / "model.safetensors"
    process = start(
        "train",
        stripes_file,
        *("--epochs", "1000000", "--batch-size", "16", "--out", str(out)),
        shell=limit,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if not limit:
        lines_until(process, "3/1000000")
        process.send_signal(number)
        process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (128 + number, "")
    assert re.search(rf"^(stopped   by|cut off   by) {number.name}", output, re.M)
    assert f"saved     {out}\ngo on     convprop train " in output
    assert cp.load(out).class_names == ("lying", "standing")
    assert len(Checkpoints(out).files()) == 1


@pytest.mark.slow
def test_a_ctrl_c_that_is_leaned_on_counts_once(tmp_path: Path, stripes_file: Path) -> None:
    out, report = tmp_path / "model.safetensors", tmp_path / "report.html"
    files = ("--out", str(out), "--report", str(report))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start("train", stripes_file, "--epochs", "1000000", *files, **pipes)
    lines_until(process, "2/1000000")
    end = time.monotonic() + signals.SAME_SECONDS / 2
    while process.poll() is None and time.monotonic() < end:
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert f"\nsaved     {out}\nreport    {report}\ngo on     convprop train " in output
    assert len(Checkpoints(out).files()) == 1
    assert cp.load(out).class_names == ("lying", "standing")
    assert Path(f"{out}.toml").exists()


def test_what_a_signal_does_depends_on_what_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    ctrl_c = signal.SIGINT

    def obeyed(ending: signals.Ending, number: int = ctrl_c) -> bool:
        try:
            ending.handle(number, None)
        except KeyboardInterrupt:
            return True
        return False

    # Without a word at once, and what comes within a second is the same.
    at_once = signals.Ending()
    assert obeyed(at_once, signal.SIGTERM)
    assert not obeyed(at_once)
    now[0] = 2.0
    assert not obeyed(at_once, signal.SIGTERM)
    assert obeyed(at_once)
    # Between two steps the first is put down; another one interrupts the step.
    for_steps = signals.Ending()
    for_steps.note_the_first()
    assert not obeyed(for_steps, signal.SIGHUP)
    assert for_steps.signal == signal.SIGHUP
    now[0] = 2.9
    assert not obeyed(for_steps)
    now[0] = 3.1
    assert obeyed(for_steps)
    # Then files are written: one more waits for them.
    assert not obeyed(for_steps)
    with pytest.raises(KeyboardInterrupt):
        for_steps.release()
    assert obeyed(for_steps)
    # What was put down needs no repetition.
    done = signals.Ending()
    done.note_the_first()
    done.hold()
    assert not obeyed(done)
    done.release()
    assert not obeyed(done)


# Sends SIGINT to its process when a module is about to be imported.
INTERRUPTING = """
import os, signal, sys

class Interrupting:
    def find_spec(name, path=None, target=None):
        if name == os.environ["INTERRUPTED_IMPORT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting)
"""


@pytest.mark.parametrize("start", ["module", pytest.param("script", marks=pytest.mark.slow)])
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
    shown = capsys.readouterr()
    assert shown.err == "error: interrupted\n"
    cut_off = "cut off   by Ctrl-C, with not all measured and reported\n"
    assert shown.out.endswith(f"{cut_off}saved     {out}\n")
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


@pytest.mark.slow
def test_a_reader_that_goes_away_while_training_does_not_lose_the_network(
    tmp_path: Path, stripes_file: Path
) -> None:
    out, report = tmp_path / "model.safetensors", tmp_path / "report.html"
    words = ("train", stripes_file, "--epochs", "1000000", "--batch-size", "16", "--out", out)
    reader, writer = os.pipe()
    process = start(*words, "--report", report, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    with open(reader) as lines:
        assert any("2/1000000" in line for line in lines)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (141, "")
    # As after SIGTERM all is there, and what goes on with it.
    assert cp.load(out).class_names == ("lying", "standing")
    assert len(Checkpoints(out).files()) == 1
    assert "To go on with it" in report.read_text()


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
