"""Files that commands write: whole or not at all, and errors that name the option."""

import fcntl
import json
import shlex
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from runs import QUICK, interrupt_at, run, start, stripes

import convprop as cp
from convprop.cli import app as cli
from convprop.cli.progress import TrainingProgress

# Files may have so many blocks of 512 bytes, as on a disk that is full.
FULL = "ulimit -f {};"


def many_pictures(folder: Path) -> Path:
    folder.mkdir()
    for number, image in enumerate(stripes(128)[0]):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    return folder


@pytest.mark.parametrize("before", [None, "what was there\n"])
def test_predictions_that_fail_half_way_leave_the_file_as_it_was(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], before: str | None
) -> None:
    pictures, out = many_pictures(tmp_path / "in"), tmp_path / "out.csv"
    (pictures / "zzz.png").write_bytes(b"no image")
    if before is not None:
        out.write_text(before)
    assert cli.run(["predict", str(model), str(pictures), "--out", str(out)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {pictures / 'zzz.png'} must be a ")
    assert (out.read_text() if out.exists() else None) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "out.csv"}


def test_predictions_on_a_full_disk_name_option_and_file(tmp_path: Path, model: Path) -> None:
    pictures, out = many_pictures(tmp_path / "in"), tmp_path / "out.csv"
    result = run("predict", model, pictures, "--out", out, shell=FULL.format(4))
    message = f"--out must name a file that can be written, got {out} (file too large)"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"error: {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_log_on_a_full_disk_has_whole_lines_and_is_named(
    tmp_path: Path, stripes_file: Path
) -> None:
    log = tmp_path / "log.jsonl"
    words = ("train", stripes_file, "--epochs", "99", "--log", log)
    result = run(*words, shell=FULL.format(8))
    message = f"--log must name a file that can be written, got {log} (file too large)"
    assert (result.returncode, result.stderr) == (1, f"warning: {message}\n")
    assert " 99/99 " in result.stdout
    assert result.stdout.endswith(f"unwritten {log}\n")
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events[:2] == ["start", "epoch"]
    assert log.read_text().endswith("}\n")
    assert list(tmp_path.iterdir()) == [log]


def test_a_checkpoint_that_does_not_fit_does_not_end_the_training(
    tmp_path: Path, stripes_file: Path, model: Path
) -> None:
    out = tmp_path / "net"
    words = ("train", stripes_file, *QUICK, "--out", out, "--checkpoint-every", "1epoch")
    # There is room for the network, and not for what goes on with it.
    blocks = model.stat().st_size // 512 + 20
    result = run(*words, shell=FULL.format(blocks))
    assert result.returncode == 0
    assert result.stderr.splitlines() == [
        f"warning: no checkpoint after {step} steps: cannot write"
        f" {out}.checkpoint-{step:08d} (file too large); there is no earlier one"
        for step in (5, 10, 15)
    ]
    assert f"saved     {out}\n" in result.stdout
    assert cp.load(out).weights_sha256() == cp.load(model).weights_sha256()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "net.jsonl", "net.toml"]


@pytest.mark.slow
def test_a_network_that_cannot_be_saved_names_the_last_checkpoint(
    tmp_path: Path, stripes_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "net"
    words = ["train", stripes_file, *QUICK, "--out", out]
    result = run(*words, shell=FULL.format(100))
    reason = f"error: --out must name a file that can be written, got {out} (file too large)"
    lost = "The network is not saved, and there is no checkpoint."
    assert (result.returncode, result.stderr) == (1, f"{reason}\n{lost}\n")
    end = json.loads(Path(f"{out}.jsonl").read_text().splitlines()[-1])
    assert (end["event"], f"error: {end['error']}\n") == ("end", result.stderr)
    # An interrupted training leaves a checkpoint; going on with it finds the disk full.
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_batch", interrupt_at(7))
        assert cli.run(list(map(str, words))) == 130
    (checkpoint,) = tmp_path.glob("net.checkpoint-*")
    content = out.read_bytes()
    result = run(*words, "--resume", shell=FULL.format(100))
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        reason,
        f"The network is not saved. The last checkpoint is {checkpoint}; to go on from it:",
        shlex.join(["convprop", *map(str, words), "--resume"]),
    ]
    assert checkpoint.exists()
    assert out.read_bytes() == content


@pytest.mark.parametrize("lost", ["report.html", "net.toml"])
def test_a_file_beside_the_network_that_fails_leaves_all_else(
    tmp_path: Path,
    stripes_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lost: str,
) -> None:
    out, report = tmp_path / "net", tmp_path / "report.html"

    def block(*_: object) -> None:
        (tmp_path / lost).mkdir(exist_ok=True)

    monkeypatch.setattr(TrainingProgress, "on_epoch", block)
    words = ["train", str(stripes_file), *QUICK, "--report", str(report), "--out", str(out)]
    assert cli.run(words) == 1
    option = "--report" if lost == "report.html" else "--out"
    reason = f"{option} must name a file that can be written, got {tmp_path / lost}"
    shown = capsys.readouterr()
    assert shown.err == f"warning: {reason} (is a directory)\n"
    told = "" if lost == "report.html" else f"report    {report}\n"
    assert shown.out.endswith(f"saved     {out}\n{told}unwritten {tmp_path / lost}\n")
    assert cp.load(out).class_names == ("lying", "standing")
    end = json.loads(Path(f"{out}.jsonl").read_text().splitlines()[-1])
    assert end["test_accuracy"] > 0.5


@pytest.mark.parametrize(
    ("line", "option", "ending"),
    [
        ("train digits", "--out", ""),
        ("train digits", "--log", ""),
        ("train digits", "--report", ""),
        ("predict m f", "--out", ""),
        ("search digits", "--out", ""),
        ("find-rate digits", "--out", ".svg"),
        ("show digits", "--out", ".png"),
    ],
)
def test_an_error_about_a_file_names_its_option(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, option: str, ending: str
) -> None:
    file = tmp_path / "none" / f"file{ending}"
    assert cli.run([*line.split(), option, str(file)]) == 1
    message = f"{option} must name a file that can be written, got {file}"
    assert capsys.readouterr() == ("", f"error: {message} (no such file or directory)\n")


def test_files_beside_a_network_are_those_of_its_option(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for ending in ("toml", "jsonl"):
        (tmp_path / f"{ending}.{ending}").mkdir()
        assert cli.run(["train", "digits", "--out", str(tmp_path / ending)]) == 1
        message = f"--out must name a file that can be written, got {tmp_path / ending}.{ending}"
        assert capsys.readouterr() == ("", f"error: {message} (is a directory)\n")


@pytest.mark.parametrize("option", ["--out", pytest.param("--log", marks=pytest.mark.slow)])
def test_two_trainings_do_not_write_the_same_file(
    tmp_path: Path, stripes_file: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    file = tmp_path / "net"
    lock = tmp_path / ".net.lock"
    endless = ("train", stripes_file, option, file, "--epochs", "1000000")
    first = start(*endless, stdout=subprocess.PIPE)
    assert first.stdout is not None
    assert any("1/1000000" in line for line in first.stdout)
    for more in ([], ["--resume"], ["--checkpoint-every", "1s"]):
        if more and option == "--log":
            continue
        assert cli.run(["train", str(stripes_file), *QUICK, option, str(file), *more]) == 1
        rule = "name a file that no other training is writing"
        assert capsys.readouterr() == ("", f"error: {option} must {rule}, got {file}\n")
    # Another file beside it is free, and so is this one as soon as the process is gone.
    assert cli.run(["train", str(stripes_file), *QUICK, option, f"{file}2"]) == 0
    first.kill()
    first.communicate(timeout=30)
    assert lock.exists()
    assert cli.run(["train", str(stripes_file), *QUICK, option, str(file)]) == 0
    assert list(tmp_path.glob(".*")) == []


def test_where_there_are_no_locks_training_goes_without(
    tmp_path: Path, stripes_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    out = tmp_path / "net"
    assert cli.run(["train", str(stripes_file), *QUICK, "--out", str(out)]) == 0
    assert out.exists()
