"""`convprop train`'s logs: lines of JSON, and TensorBoard's event files."""

import json
import os
import shlex
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from runs import QUICK, interrupt_at, run

import convprop as cp
from convprop.cli import app as cli
from convprop.cli.progress import TrainingProgress
from convprop.errors import invalid
from convprop.files.atomic import append_file, replace_file


def test_the_log_tells_of_start_epochs_and_end(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    log = tmp_path / "run.jsonl"
    arguments = [str(stripes_file), *QUICK, "--validation", "0.2", "--log", str(log)]
    assert cli.run(["train", *arguments, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert os.listdir(tmp_path) == ["run.jsonl"]
    first, *epochs, last = (json.loads(line) for line in log.read_text().splitlines())
    assert (first["event"], last["event"]) == ("start", "end")
    # In the order of --help.
    words = [*arguments, "--json"]
    assert shlex.split(first["command"]) == ["convprop", "train", *words]
    settings = {"preset": "digits", "epochs": 3, "batch_size": 16, "validation": 0.2, "seed": 0}
    assert settings.items() <= first["settings"].items()
    assert first["versions"]["convprop"] == cp.__version__
    assert first["versions"]["numpy"] == np.__version__
    assert [first[f"{part}_images"] for part in ("train", "validation", "test")] == [64, 16, 20]
    assert first["class_names"] == ["lying", "standing"]
    assert first["resumed_from"] is None
    assert first["estimated_epoch_seconds"] > 0
    assert [epoch.pop("event") for epoch in epochs] == ["epoch"] * 3
    times = [line.pop("time") for line in (first, *epochs, last)]
    assert times == sorted(times)
    assert all(datetime.fromisoformat(time).utcoffset() is not None for time in times)
    assert epochs == record["history"]
    assert last == {"event": "end"} | {k: v for k, v in record.items() if k != "history"}


def test_a_log_that_fails_does_not_end_the_training(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
) -> None:
    log, out = tmp_path / "full.jsonl", tmp_path / "net.safetensors"

    def remove(path: Path, content: bytes) -> None:
        replace_file(path, content)
        path.chmod(0o400)
        path.unlink()
        path.mkdir()

    monkeypatch.setattr("convprop.cli.train_log.replace_file", remove)
    arguments = ["train", str(stripes_file), *QUICK, "--log", str(log), "--out", str(out)]
    assert cli.run(arguments) == 1
    shown = capsys.readouterr()
    assert shown.err == (
        f"warning: --log must name a file that can be written, got {log} (is a directory)\n"
    )
    assert " 3/3 " in shown.out
    assert shown.out.endswith(f"saved     {out}\nunwritten {log}\n")
    assert cp.load(out).class_names == ("lying", "standing")


def test_lines_that_could_not_be_written_come_with_the_next(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
) -> None:
    log, calls = tmp_path / "log.jsonl", []

    def busy(path: Path, content: bytes) -> None:
        calls.append(path)
        if len(calls) in (1, 2):
            raise invalid("path", "name a file that can be written", f"{path} (no space left)")
        append_file(path, content)

    monkeypatch.setattr("convprop.cli.train_log.append_file", busy)
    assert cli.run(["train", str(stripes_file), *QUICK, "--log", str(log)]) == 0
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events == ["start", *["epoch"] * 3, "end"]
    shown = capsys.readouterr()
    assert shown.err.count("warning: ") == 1
    assert "unwritten" not in shown.out


def test_event_files_on_a_full_disk_do_not_end_the_training(
    tmp_path: Path, stripes_file: Path
) -> None:
    pytest.importorskip("tensorboard", reason="the extra is not installed")
    folder = tmp_path / "runs"
    words = ("train", stripes_file, "--epochs", "9", "--tensorboard", folder)
    result = run(*words, shell="ulimit -f 1;")
    (file,) = folder.iterdir()
    reason = f"must name a file that can be written, got {file} (file too large)"
    assert (result.returncode, result.stderr) == (1, f"warning: --tensorboard {reason}\n")
    assert result.stdout.endswith(f"unwritten {file}\n")
    steps = [step for step, _ in scalars(folder)["loss/training"]]
    assert steps == [*range(1, len(steps) + 1)]
    assert 0 < len(steps) < 9


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard shows."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="not installed"
    )
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_reads_the_event_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    pytest.importorskip("tensorboard", reason="the extra is not installed")
    folder = tmp_path / "runs" / "first"
    options = ("--validation", "0.2", "--tensorboard", str(folder), "--json")
    assert cli.run(["train", str(stripes_file), *QUICK, *options]) == 0
    record = json.loads(capsys.readouterr().out)
    shown = scalars(folder)
    tags = {
        "loss/training": "loss",
        "accuracy/training": "accuracy",
        "loss/validation": "validation_loss",
        "accuracy/validation": "validation_accuracy",
        "learning rate": "learning_rate",
        "seconds": "seconds",
    }
    assert set(shown) == {*tags, "loss/test", "accuracy/test"}
    for tag, name in tags.items():
        wanted = [(epoch["epoch"], np.float32(epoch[name])) for epoch in record["history"]]
        assert shown[tag] == wanted
    assert shown["accuracy/test"] == [(3, np.float32(record["test_accuracy"]))]


def test_a_resumed_training_has_each_epoch_once(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
) -> None:
    pytest.importorskip("tensorboard", reason="the extra is not installed")
    out, folder = tmp_path / "net.safetensors", tmp_path / "runs"
    arguments = ["train", str(stripes_file), *QUICK, "--out", str(out)]
    arguments += ["--tensorboard", str(folder), "--json"]
    # The checkpoint is of the first epoch's end, the events go as far as the second's.
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_batch", interrupt_at(5))
        assert cli.run(arguments) == 130
    kept = {path: path.read_bytes() for path in tmp_path.glob("*.checkpoint-*")}
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_batch", interrupt_at(12))
        assert cli.run([*arguments, "--resume"]) == 130
    for path in tmp_path.glob("*.checkpoint-*"):
        path.unlink()
    for path, content in kept.items():
        path.write_bytes(content)
    capsys.readouterr()
    assert cli.run([*arguments, "--resume"]) == 0
    history = json.loads(capsys.readouterr().out)["history"]
    wanted = [(epoch["epoch"], np.float32(epoch["loss"])) for epoch in history]
    assert scalars(folder)["loss/training"] == wanted


def test_without_tensorboard_its_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    assert cli.run(["train", "no-data", "--tensorboard", str(tmp_path / "runs")]) == 2
    message = "error: --tensorboard needs a package: pip install 'convprop[tensorboard]'\n"
    assert capsys.readouterr() == ("", message)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_found_before_anything_else(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="the extra is not installed")
    (tmp_path / "file").touch()
    assert cli.run(["train", "no-data", "--tensorboard", str(tmp_path / "file")]) == 1
    message = f"--tensorboard must name a folder that can be written, got {tmp_path}/file"
    assert capsys.readouterr() == ("", f"error: {message} (file exists)\n")
