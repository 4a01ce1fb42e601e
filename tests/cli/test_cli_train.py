"""`convprop train`: what it prints, its JSON, its defaults, and what it saves."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import QUICK, assert_fits, run, stripes, unfolded

import convprop as cp
from convprop.cli import app as cli
from convprop.cli import train as train_command
from convprop.cli.train_settings import usual_preset
from convprop.errors import TrainingDiverged
from convprop.training.checkpoint import Checkpoints
from pages import Page


def test_train_prints_plain_lines_where_there_is_no_terminal(
    tmp_path: Path, stripes_file: Path
) -> None:
    os.link(stripes_file, tmp_path / "s.npz")
    result = run("train", "s.npz", *QUICK, "--validation", "0.2", "--threads", "1", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert_fits(result.stdout)
    shown = unfolded(result.stdout).splitlines()
    # Of 80 training images each class leaves 8 to validation: 4 batches of 16.
    advice = "more --epochs or a smaller --batch-size may teach it more"
    assert shown.pop(3) == f"few       12 steps in all, {advice}"
    assert re.fullmatch(
        r"expected  0\.\d+ s an epoch, 0\.\d+ s in all, \d+ MB at the peak", shown.pop(3)
    )
    assert shown[:4] == [
        "data      s.npz: 64 training, 16 validation and 20 test images, 8x8 grey, 2 classes",
        "network   digits (chosen for 8x8 images), 30,114 parameters",
        "training  3 epochs in batches of 16, adamw at 0.00283 (0.004 for batches of 32),"
        " label smoothing 0.1, seed 0, 1 thread",
        "    epoch       loss   accuracy  val. loss  val. accuracy    images/s      time",
    ]
    epoch = r" +{}/3 +\d+\.\d{{4}} +\d+\.\d\d % +\d+\.\d{{4}} +\d+\.\d\d % +[\d,]+ +\d+\.\d s"
    for number, line in enumerate(shown[4:7], 1):
        assert re.fullmatch(epoch.format(number), line)
    assert re.fullmatch(r"test      accuracy 100\.00 %, loss \d\.\d{4} on 20 images", shown[7])
    assert re.fullmatch(r"time      [\d.]+ s, [\d,]+ images/s, \d+ MB at the peak", shown[8])
    assert re.fullmatch(r"weights   [0-9a-f]{64}", shown[9])
    assert shown[10:] == ["saved     nothing (--out FILE saves the network)"]


def test_json_is_the_only_line_on_stdout_and_says_what_was_done(
    tmp_path: Path, stripes_file: Path
) -> None:
    out = tmp_path / "model.safetensors"
    options = ("--optimizer", "sgd", "--learning-rate", "0.02", "--seed", "7", "--threads", "2")
    result = run("train", stripes_file, *QUICK, *options, "--json", "--out", out)
    assert result.returncode == 0
    line, rest = result.stdout.split("\n")
    assert rest == ""
    assert "epoch" in result.stderr
    record = json.loads(line)
    known = {
        "epochs": 3,
        "steps": 15,
        "seed": 7,
        "threads": 2,
        "preset": "digits",
        "parameters": 30114,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "batch_size": 16,
        "train_images": 80,
        "validation_images": 0,
        "test_images": 20,
        "classes": 2,
        "interrupted": False,
        "version": cp.__version__,
    }
    assert {name: record[name] for name in known} == known
    assert record["test_accuracy"] > 0.9
    assert 0 <= record["test_loss"] < 1
    assert record["images_per_second"] == pytest.approx(240 / record["train_seconds"])
    assert 10e6 < record["peak_memory_bytes"] < 1e9
    assert [epoch["epoch"] for epoch in record["history"]] == [1, 2, 3]
    assert record["isa"] in ("x86_64_v2", "x86_64_v3", "x86_64_v4", "generic")

    network = cp.load(out)
    assert network.weights_sha256() == record["weights_sha256"]
    assert network.class_names == ("lying", "standing")
    assert network.training_settings is not None
    assert network.training_settings["preset"] == "digits"


def trained(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, object]:
    """Train in this process, with as many threads afterwards as before; return the JSON."""
    threads = cp.get_num_threads()
    try:
        assert cli.run(["train", *map(str, arguments), "--json"]) == 0
    finally:
        cp.set_num_threads(threads)
    return dict(json.loads(capsys.readouterr().out))


def test_weights_depend_on_the_seed_and_not_on_the_threads(
    capsys: pytest.CaptureFixture[str], stripes_file: Path
) -> None:
    one, two, other = (
        trained(capsys, stripes_file, *QUICK, *options)["weights_sha256"]
        for options in (("--threads", "1"), ("--threads", "2"), ("--seed", "1"))
    )
    assert one == two != other


def test_defaults_are_the_presets(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    images, labels = stripes(80, (32, 32))
    np.savez(tmp_path / "rgb.npz", images=np.stack([images] * 3, axis=-1), labels=labels)
    record = trained(capsys, tmp_path / "rgb.npz", "--epochs", "1")
    preset = cp.presets.PRESETS["cifar-tutorial"]
    assert record["preset"] == preset.name
    assert record["optimizer"] == preset.optimizer.kind
    assert record["learning_rate"] == preset.optimizer.learning_rate
    assert record["batch_size"] == preset.batch_size


@pytest.mark.parametrize(
    ("shape", "preset"),
    [
        ((1, 8, 8), "digits"),
        ((3, 15, 40), "digits"),
        ((1, 28, 28), "lenet5"),
        ((3, 32, 32), "cifar-tutorial"),
        ((1, 64, 64), "vgg-small"),
        ((3, 96, 128), "vgg-small"),
    ],
)
def test_the_preset_chosen_by_size_takes_images_of_that_size(
    shape: tuple[int, int, int], preset: str
) -> None:
    assert usual_preset(shape) == preset
    assert cp.preset(preset, shape, 5).input_shape == shape


def test_images_are_resized_and_unreadable_ones_listed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_folder: Path
) -> None:
    for path in stripes_folder.glob("*/*.png"):
        target = tmp_path / path.relative_to(stripes_folder)
        target.parent.mkdir(exist_ok=True)
        os.link(path, target)
    damaged = tmp_path / "lying" / "damaged.png"
    damaged.write_bytes(b"no image")
    wanted = ["train", str(tmp_path), "--size", "10x12", "--epochs", "1"]
    assert cli.run(wanted) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    expected = f"{damaged} must be a PNG, JPEG, BMP, TIFF or WebP image, got something else"
    hint = "--skip-unreadable leaves out what cannot be read."
    assert shown.err == f"error: {expected}\n{hint}\n"

    assert cli.run([*wanted, "--skip-unreadable"]) == 0
    shown = capsys.readouterr()
    assert "10x12 grey" in shown.out
    assert f"skipped   1 unreadable file:\n          {damaged}\n" in shown.out


RATE = ("--optimizer", "sgd", "--learning-rate", "1e30")


def test_a_loss_that_diverges_at_once_leaves_the_old_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    out = tmp_path / "model.safetensors"
    out.write_bytes(b"another model")
    arguments = ["train", str(stripes_file), *QUICK, *RATE]
    message = (
        r"error: the loss became (nan|inf) at step \d \(epoch 1\); the network's weights are"
        r" again those that it started with; a learning rate below 1e\+30 may help\n"
    )
    assert cli.run(arguments) == 1
    assert re.fullmatch(message, capsys.readouterr().err)
    assert cli.run([*arguments, "--out", str(out)]) == 1
    nothing = re.escape(f"Nothing is saved in {out}.\n")
    assert re.fullmatch(message + nothing, capsys.readouterr().err)
    assert out.read_bytes() == b"another model"


def test_a_loss_that_diverges_later_saves_the_last_good_weights(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
) -> None:
    out = tmp_path / "model.safetensors"

    def diverge(network: cp.Network, *data: Any, **options: Any) -> None:
        error = TrainingDiverged("the loss became nan")
        error.step = cp.train(network, *data, **options).steps
        raise error

    monkeypatch.setattr(train_command, "train_network", diverge)
    assert cli.run(["train", str(stripes_file), *QUICK, "--out", str(out)]) == 1
    assert capsys.readouterr().err == (
        f"error: the loss became nan\nThe last good weights are saved in {out}.\n"
    )
    assert cp.load(out).class_names == ("lying", "standing")


def test_a_training_that_diverges_says_so_in_its_log_and_leaves_no_checkpoint(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
) -> None:
    out = tmp_path / "model.safetensors"

    def spoiled(network: cp.Network, *data: Any, on_epoch: Any, **options: Any) -> cp.Network:
        def spoil(record: cp.training.EpochRecord) -> None:
            on_epoch(record)
            if record.epoch == 2:
                assert Checkpoints(out).files()
                network.parameters["conv1.bias"][0] = np.nan

        return cp.train(network, *data, on_epoch=spoil, **options)

    monkeypatch.setattr(train_command, "train_network", spoiled)
    arguments = ["--epochs", "9", "--batch-size", "1", "--checkpoint-every", "1epochs"]
    assert cli.run(["train", str(stripes_file), *arguments, "--out", str(out)]) == 1
    error, saved = capsys.readouterr().err.splitlines()
    assert error.startswith("error: the loss became nan at step 161 (epoch 3); the network's")
    assert saved == (
        f"The last good weights are saved in {out}. The checkpoints are removed: a resumed training"
        " would diverge again."
    )
    assert sorted(os.listdir(tmp_path)) == [f"{out.name}{end}" for end in ("", ".jsonl", ".toml")]
    lines = [json.loads(line) for line in Path(f"{out}.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "epoch", "epoch", "end"]
    end = {"error": error.removeprefix("error: "), "epochs": 2, "steps": 160}
    assert end.items() <= lines[-1].items()


def test_a_report_is_written_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    page = tmp_path / "report.html"
    arguments = ["train", str(stripes_file), *QUICK, "--validation", "0.2", "--seed", "3"]
    assert cli.run([*arguments, "--report", str(page)]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith(f"report    {page}\n")
    html = page.read_text()
    digest = re.search(r"^weights   (\w+)$", shown, re.M)
    assert digest
    assert digest[1] in html
    (command,) = (block for block in Page(html).blocks if block.startswith("convprop"))
    assert command.endswith(f"--seed 3 --validation 0.2 --report {page}")
    # The one time in both, validation included.
    seconds = re.search(r"^time      (\S+ s), ", shown, re.M)
    assert seconds
    assert Page(html).pairs["training time"] == seconds[1]
    assert cli.run([*arguments, "--report", str(tmp_path)]) == 1
    message = f"--report must name a file that can be written, got {tmp_path} (is a directory)"
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_streamed_images_give_the_same_weights(
    capsys: pytest.CaptureFixture[str], stripes_folder: Path
) -> None:
    arguments = ("--epochs", "2", "--batch-size", "4", "--size", "12", "--validation", "0.25")
    loaded = trained(capsys, stripes_folder, *arguments)
    streamed = trained(capsys, stripes_folder, *arguments, "--stream")
    assert streamed["weights_sha256"] == loaded["weights_sha256"]
    assert streamed["test_loss"] == loaded["test_loss"]
    assert loaded["waited"] is None
    waited = streamed["waited"]
    assert isinstance(waited, float)
    assert 0 < waited <= 1
    assert cli.run(["train", str(stripes_folder), *arguments, "--stream"]) == 0
    shown = unfolded(capsys.readouterr().out)
    assert re.search(r"^time .*, \d+\.\d\d % waiting for images, ", shown, re.M)
    assert cli.run(["train", "digits", "--stream"]) == 1
    rule = "digits must be a folder of images or of .npy files to be streamed"
    assert capsys.readouterr() == ("", f"error: {rule}, got a set that is loaded as a whole\n")


@pytest.mark.slow
def test_pipes_among_the_data_do_not_block(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_folder: Path
) -> None:
    for name in ("train.npz", "images/a/x.png", "idx/train-images-idx3-ubyte"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(tmp_path / name)
    for name, out in (("train.npz", "net"), ("images", "net"), ("idx", "net"), ("none", "pipe")):
        if out == "pipe":
            os.mkfifo(tmp_path / out)
        result = run("train", tmp_path / name, "--out", tmp_path / out)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("error: ")
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "net").exists()
