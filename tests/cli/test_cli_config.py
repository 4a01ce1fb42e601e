"""`convprop train --config`: settings from TOML files, and those that a training leaves behind."""

import json
import os
import shlex
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import assert_fits, run, stripes, unfolded

import convprop as cp
from convprop.cli import app as cli
from convprop.cli.config_file import to_toml
from convprop.cli.options import Every
from convprop.cli.train_settings import TrainOptions, flag_name

EVERYTHING = shlex.split(
    "--preset digits --epochs 2 --batch-size 16 --learning-rate 0.003 --optimizer sgd --seed 7"
    " --validation 0.2 --size 9x8 --augment 'shift=1x2 flip=horizontal noise=0.125'"
    " --early-stopping 2 --clip-norm 1.5 --average 0.9 --label-smoothing 0.2"
    " --class-weight balanced --balanced-batches --skip-unreadable"
    " --weight-decay 0.001 --schedule 'step at=0.25,0.5 decay=0.5'"
    " --rate-factors 'bias=2 conv*=0.5' --decay-factors weights --lookahead 'steps=3 share=0.25'"
)


def trained(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Train in this process; return the JSON."""
    status = cli.run(["train", *map(str, arguments), "--json"])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    return dict(json.loads(shown.out))


def test_the_settings_beside_a_model_train_it_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_folder: Path
) -> None:
    out = tmp_path / "net.safetensors"
    first = trained(capsys, stripes_folder, *EVERYTHING, "--out", out)
    settings = Path(f"{out}.toml")
    written = tomllib.loads(settings.read_text())
    result = written.pop("result")
    assert written == {
        "data": str(stripes_folder),
        "preset": "digits",
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.003,
        "weight_decay": 0.001,
        "optimizer": "sgd",
        "schedule": "step at=0.25,0.5 decay=0.5",
        "rate_factors": "bias=2.0 conv*=0.5",
        "decay_factors": "weights",
        "lookahead": "steps=3 share=0.25",
        "seed": 7,
        "validation": 0.2,
        "size": "9x8",
        "skip_unreadable": True,
        "early_stopping": 2,
        "clip_norm": 1.5,
        "average": 0.9,
        "label_smoothing": 0.2,
        "class_weight": "balanced",
        "balanced_batches": True,
        "augment": {"shift": "1x2", "flip": "horizontal", "noise": 0.125},
    }
    assert result["weights_sha256"] == first["weights_sha256"]
    assert (result["finished"], result["steps"]) == (True, first["steps"])
    again = trained(capsys, "--config", settings)
    assert again["weights_sha256"] == first["weights_sha256"]
    assert (again["preset"], again["seed"]) == ("digits", 7)
    # Each of them has its part in the result, so none was lost on the way.
    assert cp.load(out).loss == cp.SoftmaxCrossEntropy(label_smoothing=0.2)
    kept = cp.load(out).training_settings
    assert kept is not None
    assert (kept["balanced"], kept["average"], kept["clip_norm"]) == (True, 0.9, 1.5)
    assert kept["augment"]["shift"] == [1, 2]
    assert kept["optimizer"]["rate_factors"] == {"bias": 2.0, "conv*": 0.5}
    assert kept["optimizer"]["decay_factors"] == "weights"
    assert kept["lookahead"] == {"kind": "lookahead", "steps": 3, "share": 0.25}


@pytest.mark.parametrize(
    "given",
    [
        ("--augment", "noise=0.5"),
        ("--clip-norm", "0.01"),
        ("--average", "0.5"),
        ("--label-smoothing", "0.3"),
        ("--label-smoothing", "0"),  # The preset's is 0.1.
        ("--class-weight", "balanced"),
        ("--balanced-batches",),
        ("--validation", "0.3"),
        ("--weight-decay", "0.5"),
        ("--weight-decay", "0"),
        ("--schedule", "constant"),
        ("--schedule", "cosine warmup=0.3"),
        ("--rate-factors", "bias=2"),
        ("--weight-decay", "0.5", "--decay-factors", "bias=0 conv1=2"),
        ("--lookahead", "steps=2"),
        ("--optimizer", "lars"),
        ("--optimizer", "lamb"),
    ],
)
def test_each_setting_makes_a_difference(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, given: tuple[str, ...]
) -> None:
    images, labels = stripes(60)
    rows = np.flatnonzero((labels == 0) | (np.arange(60) < 20))
    np.savez(tmp_path / "s.npz", images=images[rows], labels=labels[rows])
    plain = trained(capsys, tmp_path / "s.npz", "--epochs", "1", "--batch-size", "16")
    other = trained(capsys, tmp_path / "s.npz", "--epochs", "1", "--batch-size", "16", *given)
    assert plain["weights_sha256"] != other["weights_sha256"]


def test_the_command_line_goes_before_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    config = tmp_path / "run.toml"
    out = tmp_path / "net.safetensors"
    config.write_text(
        f'data = "{stripes_file}"\nepochs = 3\nbatch-size = 16\nseed = 5\n'
        f'balanced_batches = true\nout = "{out}"\n\n[augment]\nshift = [1, 0]\n'
    )
    record = trained(capsys, "--config", config, "--epochs", "2", "--balanced-batches=false")
    assert (record["epochs"], record["batch_size"], record["seed"]) == (2, 16, 5)
    settings = tomllib.loads(Path(f"{out}.toml").read_text())
    assert settings["augment"] == {"shift": "1x0"}
    assert "balanced_batches" not in settings
    given = ("--epochs", 2, "--batch-size", 16, "--seed", 5, "--augment", "shift=1x0")
    assert trained(capsys, stripes_file, *given)["weights_sha256"] == record["weights_sha256"]


NAMES = (
    "data, preset, epochs, batch_size, learning_rate, weight_decay, optimizer, schedule,"
    " rate_factors, decay_factors, lookahead, micro_batch, seed, threads, validation, size,"
    " skip_unreadable, stream, augment, early_stopping, clip_norm, average, label_smoothing,"
    " class_weight, balanced_batches, out, checkpoint_every, resume, log, tensorboard, report, json"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", f"{{}} must set only {NAMES}, got epoch; did you mean epochs?"),
        ("bogus = 1", f"{{}} must set only {NAMES}, got bogus"),
        ('config = "x.toml"', f"{{}} must set only {NAMES}, got config"),
        ("epochs = 0", "epochs in {} must be a whole number of at least 1, got 0"),
        ("batch-size = 1.5", "batch-size in {} must be a whole number of at least 1, got 1.5"),
        ("epochs = true", "epochs in {} must be a text or a number, got true"),
        ("epochs = [3]", "epochs in {} must be a text or a number, got [3]"),
        ("learning_rate = nan", "learning_rate in {} must be a finite number above 0, got nan"),
        ("json = 1", "json in {} must be true or false, got 1"),
        ('out = ""', "out in {} must not be empty, got ''"),
        (
            'optimizer = "adan"',
            "optimizer in {} must be one of sgd, adam, adamw, rmsprop, adadelta, lars,"
            " lamb, got adan;"
            " did you mean adam?",
        ),
        ("batch_size = 2\nbatch-size = 4", "{} must set batch_size once, got batch-size too"),
        (
            "[augment]\nshift = -1",
            "augment in {}: shift must be an integer of at least 0, or two of them, got '-1'",
        ),
        (
            "[augment]\nshfit = 1",
            "augment in {} must set one of shift, flip, rotation, zoom, crop, elastic,"
            " brightness, contrast, noise, erase, mixup, got shfit; did you mean shift?",
        ),
        (
            'checkpoint_every = "30"',
            "checkpoint_every in {} must be a time or a number of epochs,"
            " as in 30s, 5m, 2h or 3epochs, at most 999999 of them, got 30",
        ),
        ("epochs =", "{}: not a TOML file (Invalid value (at line 1, column 9))"),
    ],
)
def test_a_file_is_held_to_the_same_rules(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, message: str
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(f"{text}\n")
    assert cli.run(["train", "--config", str(config)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    said = shown.err.removesuffix("See 'convprop train --help'.\n")
    assert said == f"error: {message.format(config)}\n"


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.run(["train", "--config", str(tmp_path / "run.toml")]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}/run.toml: No such file or directory\n"


def test_names_of_every_kind_come_back() -> None:
    settings = {"data": 'a "b"\\c\n\x7f\x00é', "seed": 2**64 - 1, "rate": 1e-30, "yes": True}
    text = to_toml(settings | {"table": {"x": "1x2", "y": 0.1}}, "one\ntwo")
    assert text.startswith("# one\n# two\n\ndata = ")
    assert tomllib.loads(text) == settings | {"table": {"x": "1x2", "y": 0.1}}


def test_the_command_of_options_gives_these_options(capsys: pytest.CaptureFixture[str]) -> None:
    options = TrainOptions(
        epochs=3,
        learning_rate=1e-30,
        size=(9, 8),
        augment=cp.Augment(shift=(1, 2), noise=0.1),
        balanced_batches=True,
        out=Path("my net"),
        checkpoint_every=Every("1.5m", seconds=90.0),
        resume=True,
    )
    words = shlex.split(options.command("my data"))
    _, bound, _ = cli.build_app().parse_args(words[1:])
    assert bound.args == ("my data",)
    assert bound.kwargs == {"given": options}
    assert flag_name("batch_size") == "--batch-size"


def test_options_that_do_not_go_together(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "a")
    assert cli.run(["train", "--out", out, "--log", f"{out}.toml"]) == 2
    message = f"error: the log must go to another file than the settings, got {out}.toml\n"
    assert capsys.readouterr() == ("", message)


def test_what_is_expected_of_an_early_stopping(tmp_path: Path, stripes_file: Path) -> None:
    arguments = ("--epochs", "60", "--batch-size", "16", "--early-stopping", "2")
    os.link(stripes_file, tmp_path / "s.npz")
    result = run("train", "s.npz", *arguments, "--learning-rate", "0.05", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert_fits(result.stdout)
    shown = unfolded(result.stdout)
    assert " an epoch, at most " in shown
    assert "val. loss" in shown  # A tenth is held out.
    assert "\nstopped   early after " in shown
    assert ", the weights are those of epoch " in shown


def test_files_that_are_no_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    deep = tmp_path / "deep.toml"
    deep.write_text("a = " + "[" * 5000)
    assert cli.run(["train", "--config", str(deep)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {deep}: not a TOML file (")
    assert cli.run(["train", "--config", "/dev/zero"]) == 2
    rule = "must be a file, got a folder, a device or a named pipe\n"
    assert capsys.readouterr().err == f"error: /dev/zero {rule}"
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)  # Nobody will write into it.
    assert cli.run(["train", "--config", str(pipe)]) == 2
    assert capsys.readouterr().err == f"error: {pipe} {rule}"


@pytest.mark.slow
def test_settings_come_through_a_pipe_of_the_shell() -> None:
    reader, writer = os.pipe()
    with open(writer, "w") as file:
        file.write("epochs = 1\n")
    result = run("train", "--config", f"/dev/fd/{reader}", "--json", pass_fds=[reader])
    os.close(reader)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["epochs"] == 1


def test_a_byte_order_mark_is_passed_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes(b"\xef\xbb\xbfepochs = 1\r\n")
    assert cli.run(["train", "--config", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 1


@pytest.mark.parametrize("option", ["--weight-decay", "--label-smoothing"])
def test_a_zero_is_one_however_it_is_written(
    capsys: pytest.CaptureFixture[str], stripes_file: Path, option: str
) -> None:
    hashes = {}
    for text in ("0", "0.00", "0e0", "-0", ".0", "0.1"):
        arguments = [str(stripes_file), "--epochs", "1", "--json", f"{option}={text}"]
        assert cli.run(["train", *arguments]) == 0
        hashes[text] = json.loads(capsys.readouterr().out)["weights_sha256"]
    # What is no zero is another setting.
    assert hashes.pop("0.1") not in hashes.values()
    assert len(set(hashes.values())) == 1, hashes


@pytest.mark.parametrize("option", ["--learning-rate", "--clip-norm", "--average"])
def test_where_a_zero_has_no_sense_it_is_none(
    capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert cli.run(["train", "--epochs", "1", option, "0.00"]) == 2
    assert f"{option} must be" in capsys.readouterr().err
