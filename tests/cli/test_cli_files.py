"""Files that commands write: whole or not at all, and errors that name the option."""

import fcntl
import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from runs import QUICK, run, start, stripes

from convprop.cli import app as cli

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
    assert (result.returncode, result.stderr) == (1, f"error: {message}\n")
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events[:2] == ["start", "epoch"]
    assert log.read_text().endswith("}\n")
    assert list(tmp_path.iterdir()) == [log]


def test_a_checkpoint_on_a_full_disk_names_the_option(tmp_path: Path, stripes_file: Path) -> None:
    out = tmp_path / "net"
    words = ("train", stripes_file, "--out", out, "--checkpoint-every", "1epoch")
    result = run(*words, shell=FULL.format(16))
    assert result.returncode == 1
    assert f"error: --out must name a file that can be written, got {out}" in result.stderr
    assert result.stderr.endswith("(file too large)\n")
    assert not out.exists()


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


@pytest.mark.parametrize("option", ["--out", "--log"])
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
