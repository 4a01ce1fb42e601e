"""What a preset is trained with where the command line leaves it open, or says it by a schedule."""

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import run, stripes, unfolded
from sklearn.datasets import load_digits

import convprop as cp
from convprop.cli import app as cli
from convprop.cli.options import UsageError
from convprop.cli.schedule_option import KINDS, read_schedule, schedule_text
from convprop.schedules import Constant, Cosine, Step, Trapezoid


def trained(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Train in this process; return the JSON."""
    status = cli.run(["train", *map(str, arguments), "--json"])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    return dict(json.loads(shown.out))


@pytest.fixture(scope="session")
def rgb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 digits as 16x16 RGB to train on, and 150 to test on."""
    images, labels = load_digits(return_X_y=True)
    large = images.reshape(-1, 8, 8).repeat(2, axis=1).repeat(2, axis=2)
    pixels = np.stack([large * 15] * 3, axis=-1).astype(np.uint8)
    path = tmp_path_factory.mktemp("rgb") / "rgb16.npz"
    np.savez(
        path,
        x_train=pixels[:600],
        y_train=labels[:600],
        x_test=pixels[600:750],
        y_test=labels[600:750],
    )
    return path


# ---- The rate follows the batch ----


@pytest.mark.parametrize("seed", [1, 2])
def test_small_batches_learn(capsys: pytest.CaptureFixture[str], rgb: Path, seed: int) -> None:
    record = trained(capsys, rgb, "--epochs", "5", "--batch-size", "4", "--seed", seed)
    assert record["preset"] == "cifar-tutorial"
    assert record["learning_rate"] == 0.001
    assert record["test_accuracy"] > 0.7


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ((), 0.016),
        (("--batch-size", "16"), 0.004),
        # Above the preset's own batch even plain gradient descent goes by the root.
        (("--batch-size", "256"), 0.032),
        # Of 600 images there is no batch of more.
        (("--batch-size", "6000"), 0.016 * math.sqrt(600 / 64)),
        (("--batch-size", "4", "--optimizer", "adam"), 0.001 / 4),
        (("--batch-size", "4", "--preset", "vgg-small"), 0.001 / 4),
        (("--batch-size", "4", "--learning-rate", "0.016"), 0.016),
        (("--batch-size", "4", "--optimizer", "rmsprop", "--learning-rate", "0.003"), 0.003),
        (("--batch-size", "4", "--balanced-batches"), 0.001),
    ],
)
def test_the_rate_is_that_of_the_batch_unless_it_is_given(
    capsys: pytest.CaptureFixture[str], rgb: Path, given: tuple[str, ...], rate: float
) -> None:
    assert trained(capsys, rgb, "--epochs", "1", *given)["learning_rate"] == pytest.approx(rate)


def test_with_fewer_images_than_a_batch_both_follow_what_is_held_out_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images, labels = stripes(20)
    np.savez(tmp_path / "few.npz", images=images, labels=labels)
    record = trained(capsys, tmp_path / "few.npz", "--epochs", "1", "--validation", "0.5")
    assert (record["train_images"], record["batch_size"]) == (8, 8)
    assert record["learning_rate"] == pytest.approx(0.004 * math.sqrt(8 / 32))


def test_rate_and_decay_are_said_and_kept(tmp_path: Path, stripes_file: Path) -> None:
    out = tmp_path / "net.safetensors"
    options = ("--epochs", "1", "--batch-size", "8", "--out", out)
    shown = run("train", stripes_file, *options).stdout
    assert "in batches of 8, adamw at 0.002 (0.004 for batches of 32), " in unfolded(shown)
    kept = cp.load(out).training_settings
    assert kept is not None
    assert kept["optimizer"]["learning_rate"] == 0.002
    assert kept["optimizer"]["weight_decay"] == 0.005
    settings = tomllib.loads(Path(f"{out}.toml").read_text())
    assert (settings["learning_rate"], settings["weight_decay"]) == (0.002, 0.005)


def test_the_settings_of_a_followed_rate_train_it_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    out = tmp_path / "net.safetensors"
    options = ("--epochs", "3", "--batch-size", "8", "--early-stopping", "1")
    first = trained(capsys, stripes_file, *options, "--out", out)
    again = trained(capsys, "--config", f"{out}.toml")
    assert again["weights_sha256"] == first["weights_sha256"]


# ---- --schedule ----


def test_early_stopping_comes_with_a_schedule_that_suits_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    for given, expected in (
        ((), "one_cycle"),
        (("--early-stopping", "2"), "trapezoid"),
        (("--early-stopping", "2", "--schedule", "one-cycle"), "one_cycle"),
        (("--schedule", "step at=0.5 decay=0.5"), "step"),
    ):
        out = tmp_path / "net.safetensors"
        trained(capsys, stripes_file, "--epochs", "2", *given, "--out", out)
        kept = cp.load(out).training_settings
        assert kept is not None
        assert kept["schedule"]["kind"] == expected


def test_the_fall_is_said_when_it_begins(stripes_file: Path) -> None:
    options = ("--epochs", "40", "--batch-size", "16", "--early-stopping", "2")
    shown = unfolded(run("train", stripes_file, *options, "--learning-rate", "0.03").stdout)
    said = "falling   nothing has got better for 2 epochs, so the rate falls until epoch "
    assert shown.count(said) == 1
    last = int(shown.split(said)[1].split()[0])
    assert f"stopped   early after {last} of 40 epochs" in shown


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("constant", Constant()),
        ("step", Step()),
        ("step at=0.25", Step([0.25])),
        ("step at=0.25,0.5 decay=0.3", Step([0.25, 0.5], 0.3)),
        ("cosine final=0.25", Cosine(0.25)),
        ("cosine warmup=0.05", Cosine(warmup=0.05)),
        ("step at=0.5 warmup=0.1", Step([0.5], warmup=0.1)),
        ("one_cycle", cp.schedules.OneCycle()),
        ("trapezoid rise=0.2 fall=0.5", Trapezoid(rise=0.2, fall=0.5)),
    ],
)
def test_schedules_are_read_and_written(text: str, schedule: cp.schedules.Schedule) -> None:
    assert read_schedule(text) == schedule
    assert read_schedule(schedule_text(schedule)) == schedule


@pytest.mark.parametrize("kind", KINDS)
def test_every_schedule_has_its_words(kind: str) -> None:
    assert schedule_text(read_schedule(kind)) == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"begin with one of {', '.join(KINDS)}, got ''"),
        ("cosin", f"begin with one of {', '.join(KINDS)}, got cosin; did you mean cosine?"),
        ("constant final=1", "set of constant one of warmup, got final"),
        (
            "cosine finl=1",
            "set of cosine one of warmup, final, got finl; did you mean final?",
        ),
        ("cosine final", "give final a value, final=..., got final"),
        ("cosine final=0 final=0", "set final once, got final=0 final=0"),
    ],
)
def test_a_schedule_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_schedule(text)
    assert str(caught.value) == f"--schedule must {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosine final=2", "final must be a number with 0 <= value < 1, got 2.0"),
        ("cosine final=low", "final must be a number with 0 <= value < 1, got 'low'"),
        ("step at=0.5,0.25", "at must be increasing numbers above 0 and below 1, got (0.5, 0.25)"),
        ("trapezoid rise=0.7", "fall must be at most 1 less the rise, 0.7, got 0.4"),
    ],
)
def test_a_schedules_own_rules_are_named(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_schedule(text)
    assert str(caught.value) == f"--schedule: {message}"
