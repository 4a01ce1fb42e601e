"""Errors that end with their cure, suggest only what is near, and break lines at spaces."""

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import command

from convprop.cli import app as cli
from convprop.cli.nearness import nearest
from convprop.cli.remarks import error_in_options, in_options
from convprop.cli.terminal import Terminal
from convprop.errors import invalid

CURE = "\n--size 64 resizes every image to 64x64 pixels.\n"


@pytest.fixture
def two_sizes(tmp_path: Path) -> Path:
    """A folder of pictures, one of them larger than the others."""
    for name in ("ants", "bees"):
        (tmp_path / name).mkdir()
        for n in range(3):
            size = (20, 30) if (name, n) == ("bees", 1) else (12, 12)
            Image.new("L", size).save(tmp_path / name / f"{n}.png")
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "train DATA",
        "train DATA --stream",
        "search DATA",
        "find-rate DATA",
        "show DATA --out DATA/x.png",
        "profile lenet5 DATA",
        "explore digits DATA",
    ],
)
def test_sizes_that_differ_end_with_the_cure(
    capsys: pytest.CaptureFixture[str], two_sizes: Path, line: str
) -> None:
    assert cli.run(line.replace("DATA", str(two_sizes)).split()) == 1
    rule = f"be 12 x 12 pixels (height x width) as {two_sizes / 'ants' / '0.png'}"
    odd = two_sizes / "bees" / "1.png"
    message = f"{odd} must {rule}, or be resized (size), got 30 x 20"
    assert capsys.readouterr().err == f"error: {message}{CURE}"


def test_the_cure_cures(capsys: pytest.CaptureFixture[str], two_sizes: Path) -> None:
    assert cli.run(["profile", "lenet5", str(two_sizes), "--size", "64", "--steps", "1"]) == 0
    assert "input 1x64x64" in capsys.readouterr().out


@pytest.mark.parametrize("line", ["train", "search digits", "find-rate", "profile", "explore"])
def test_images_too_small_for_a_preset_end_with_the_cure(
    capsys: pytest.CaptureFixture[str], line: str
) -> None:
    named = "lenet5 digits" if line in ("profile", "explore") else "--preset lenet5"
    assert cli.run([*line.split(), *named.split()]) == 1
    message = capsys.readouterr().err
    assert message.startswith(
        "error: images must be at least 12x12 for the preset lenet5, got 8x8 ("
    )
    assert message.endswith(f"){CURE}")


@pytest.mark.parametrize("line", ["profile MODEL digits", "profile lenet5", "explore MODEL"])
def test_a_size_is_for_the_data_of_a_preset(
    capsys: pytest.CaptureFixture[str], model: Path, line: str
) -> None:
    assert cli.run([*line.replace("MODEL", str(model)).split(), "--size", "9"]) == 2
    rule = "--size must come with a preset and DATA; a model's are resized to fit it"
    assert capsys.readouterr().err == f"error: {rule}\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --test", "Unknown option: --test."),
        ("train --plot", "Unknown option: --plot."),
        ("evaluate m d --state", "Unknown option: --state."),
        ("train --lr 1", "Unknown option: --lr."),
        ("train --output x", "Unknown option: --output. Did you mean --out?"),
        ("train --valid 0.1", "Unknown option: --valid. Did you mean --validation?"),
        (
            "train --earlystopping 3",
            "Unknown option: --earlystopping. Did you mean --early-stopping?",
        ),
        ("predict m x --jsno", "Unknown option: --jsno. Did you mean --json?"),
        ("show --class-name x", "Unknown option: --class-name. Did you mean --class?"),
    ],
)
def test_only_an_option_that_is_near_is_suggested(
    capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert cli.run(line.split()) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"error: {message}"


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("test", None),
        ("fit", None),
        ("eval", "evaluate"),
        ("trian", "train"),
        ("predictions", "predict"),
        ("find_rate", "find-rate"),
        ("rate", "find-rate"),
    ],
)
def test_only_a_command_that_is_near_is_suggested(
    capsys: pytest.CaptureFixture[str], word: str, near: str | None
) -> None:
    assert cli.run([word]) == 2
    said = capsys.readouterr().err
    hint = f" Did you mean {near}?" if near else ""
    assert said.startswith(f"error: Unknown command: {word}.{hint} Commands: train, explore, ")


def test_nearness() -> None:
    names = ["ants", "bees", "wasps"]
    assert nearest("ant", names) == "ants"
    assert nearest("bese", names) == "bees"
    assert nearest("was", names) == "wasps"
    assert [nearest(word, names) for word in ("a", "cats", "best", "")] == [None] * 4


def on_a_terminal(columns: int, *line: str | Path) -> str:
    """Return what a command writes to a terminal on stderr, without colours."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(
        command(line), stdout=subprocess.DEVNULL, stderr=theirs, env=environment
    )
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 4096):
            said += part
    except OSError:  # How Linux says that the other end is closed.
        pass
    os.close(ours)
    process.wait(60)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode()).replace("\r", "")


@pytest.mark.parametrize(
    "line",
    [
        ["summary", "auto"],
        pytest.param(["train", "digits", "--preset", "lenet5"], marks=pytest.mark.slow),
        pytest.param(["predict", "m", "x", "--" + "long" * 40], marks=pytest.mark.slow),
    ],
)
def test_lines_break_at_spaces_on_a_terminal(
    capsys: pytest.CaptureFixture[str], line: list[str]
) -> None:
    cli.run(line)
    whole = capsys.readouterr().err
    shown = on_a_terminal(60, *line)
    shown = shown[shown.index("error: ") :]
    assert shown.split() == whole.split()
    assert all(len(row) <= 60 or " " not in row for row in shown.splitlines())
    if len(line) < 4:
        assert len(shown.splitlines()) > len(whole.splitlines())


def test_lines_about_the_data_do_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    """But for a path of its own, which may be copied."""
    folder = tmp_path / "pictures that were taken in May" / "and sorted in the evening"
    (folder / "lying").mkdir(parents=True)
    Image.new("L", (8, 8)).save(folder / "lying" / "0.png")
    (folder / "lying" / "1.png").write_bytes(b"no image")
    line = ["evaluate", str(model), str(folder), "--skip-unreadable", "--json"]
    assert cli.run(line) == 0
    whole = capsys.readouterr().err
    assert f"data      {folder}: 1 of 2 images\n" in whole
    shown = on_a_terminal(60, *line).split("data      ", 1)[1]
    assert shown.split()[:-5] == whole.split()[1:-5]
    rows = shown.splitlines()
    assert f"          {folder / 'lying' / '1.png'}" in rows
    for row in rows[: rows.index("skipped   1 unreadable file:")]:
        assert len(row) <= 60 or " " not in row.strip()


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_so_do_test_images_of_another_size(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str
) -> None:
    arrays = {"images": np.zeros((8, 9, 9), np.uint8), "test_images": np.zeros((4, 8, 8), np.uint8)}
    arrays |= {"labels": np.arange(8) % 2, "test_labels": np.arange(4) % 2}
    source = odd = tmp_path / "set.npz"
    np.savez(source, **arrays)
    if kind == "npy":
        source, odd = tmp_path, tmp_path / "test_images.npy"
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
    assert cli.run(["train", str(source)]) == 1
    rule = "hold test images of shape (1, 9, 9) (C, H, W), as the training images"
    message = f"{odd} must {rule}, got shape (1, 8, 8)"
    assert capsys.readouterr().err == f"error: {message}{CURE}"
    assert cli.run(["train", str(source), "--size", "12", "--epochs", "1"]) == 0


WRONG_RANGE = "images have values from 0 to "


def test_options_are_called_as_the_command_line_calls_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also in what the library says, which calls them by its parameters' names."""
    line = "train digits --learning-rate 50 --epochs 2 --json"
    assert cli.run(line.split()) == 0
    shown = capsys.readouterr()
    said = "a smaller learning rate than 50, or --clip-norm, may help"
    assert said in shown.err
    assert said in json.loads(shown.out)["warnings"][0]
    assert "clip_norm" not in shown.err
    assert cli.run(["train", "digits", "--batch-size", "1", "--augment", "mixup=0.2"]) == 1
    assert capsys.readouterr().err == (
        "error: --batch-size must be at least 2 with mixup, which mixes images of a batch, got 1\n"
    )


def test_files_keep_their_names() -> None:
    names = {"batch_size", "clip_norm"}
    for kept in ("a_b", "./batch_size", "batch_size.npz", "x-batch_size", "batch_sizes"):
        assert in_options(f"see {kept} here", names) == f"see {kept} here"
    assert in_options("batch_size, clip_norm", names) == "--batch-size, --clip-norm"
    error = error_in_options(invalid("batch_size", "fit to clip_norm", "batch_size"), names)
    assert str(error) == "--batch-size must fit to --clip-norm, got batch_size"


def test_every_warning_has_one_look(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    """Of training, of measuring and of predicting: as errors look, and where they are."""
    far = tmp_path / "far.npz"
    images = np.linspace(0, 1, 20 * 64).reshape(20, 8, 8)
    np.savez(far, images=images, labels=np.arange(20) % 2, class_names=["lying", "standing"])
    for line in (f"evaluate {model} {far}", f"predict {model} {far}"):
        assert cli.run(line.split()) == 0
        shown = capsys.readouterr()
        assert shown.err.startswith(f"warning: {WRONG_RANGE}") or shown.err.startswith(
            "warning: test.images have values from 0 to "
        )
        assert shown.err.count("\n") == 1
        assert "\nwarning" not in shown.out
    # Of arrays with a test part in another range than the others.
    mixed = tmp_path / "mixed.npz"
    np.savez(
        mixed,
        x_train=images * 255,
        y_train=np.arange(20) % 2,
        x_test=images,
        y_test=np.arange(20) % 2,
    )
    assert cli.run(["train", str(mixed), "--epochs", "1"]) == 0
    shown = capsys.readouterr()
    assert re.fullmatch(f"(warning: {WRONG_RANGE}[^\n]*\n)+", shown.err)
    assert "\nwarning" not in shown.out


def test_a_long_warning_is_folded_at_spaces_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    Terminal(stderr=True).warn("word " * 40 + "\x1b[31m")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err).splitlines()
    assert lines[0].startswith("warning: word")
    assert max(map(len, lines)) <= 80
    assert {word for line in lines[1:] for word in line.split()} <= {"word", "\\x1b[31m"}
