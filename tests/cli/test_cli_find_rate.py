"""`convprop find-rate`: its plot, its files, and a flag that convprop train takes."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from runs import assert_fits, unfolded

import convprop as cp
from convprop.cli import app as cli
from convprop.cli import signals
from convprop.cli.find_rate import _Sweep
from convprop.training.rate_finder import find_rate
from convprop.training.records import BatchRecord

SMALL = ("--batch-size", "16", "--steps", "60")


def test_it_prints_a_plot_and_a_flag_to_use(
    tmp_path: Path,
    stripes_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.npz").symlink_to(stripes_file)
    assert cli.run(["find-rate", "s.npz", *SMALL, "--out", "rates.svg"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert_fits(printed.out)
    assert printed.out.isascii()
    lines = printed.out.splitlines()
    assert lines[:2] == [
        "data      s.npz: 80 training images",
        "network   digits, adamw, batches of 16",
    ]
    sweep = r"sweep     \d+ steps from 1e-06 to 0\.\d+, where the loss grew out of bounds"
    assert re.fullmatch(sweep, lines[2])
    assert len(lines) == 19
    assert sum("*" in line for line in lines) > 5
    flag = lines[-2].removeprefix("suggested ").split()
    assert lines[-1] == "saved     rates.svg"
    ElementTree.parse("rates.svg")
    assert flag[0] == "--learning-rate"
    options = ("--epochs", "3", "--batch-size", "16", "--json")
    assert cli.run(["train", "s.npz", *flag, *options]) == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] == 1.0


def test_json_is_what_the_library_finds(
    tmp_path: Path, stripes_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rates.png"
    options = ("--optimizer", "sgd", "--seed", "3", "--largest", "1", "--json")
    assert cli.run(["find-rate", str(stripes_file), *SMALL, *options, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert "suggested --learning-rate" in shown.err
    train = cp.data.load(stripes_file).train
    curve = find_rate(
        cp.preset("digits", (1, 8, 8), 2, seed=3),
        train.images,
        train.labels,
        optimizer=cp.SGD(0.1, momentum=0.9),
        batch_size=16,
        largest=1.0,
        steps=60,
    )
    np.testing.assert_array_equal(record["losses"], curve.losses)
    np.testing.assert_array_equal(record["rates"], curve.rates)
    assert record["suggestion"] == curve.suggestion
    assert (record["preset"], record["optimizer"], record["batch_size"]) == ("digits", "sgd", 16)
    with Image.open(out) as picture:
        assert picture.size == (900, 600)


def test_nothing_to_suggest_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flat.npz"
    np.savez(file, images=np.full((60, 8, 8), 7, dtype=np.uint8), labels=np.arange(60) % 2)
    assert cli.run(["find-rate", str(file), "--preset", "mlp", "--steps", "40"]) == 1
    shown = capsys.readouterr().out
    assert shown.endswith("suggested nothing: the loss fell by less than a twentieth\n")
    assert_fits(shown.replace(str(file), "flat.npz"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--out plot.gif", "--out must end in .svg or .png, got plot.gif"),
        ("--smallest 1 --largest 0.1", "--largest must be above --smallest, 1, got 0.1"),
        ("--steps 5", "--steps must be at least 20, got 5"),
    ],
)
def test_what_is_refused(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert cli.run(["find-rate", "no-such-data", *line.split()]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


HEARD = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


def signal_at(step: int, number: signal.Signals) -> Callable[[_Sweep, BatchRecord], None]:
    """Return what sends this process a signal at a step of a sweep."""
    on_batch = _Sweep._on_batch

    def then(sweep: _Sweep, batch: BatchRecord) -> None:
        if batch.step == step:
            os.kill(os.getpid(), number)
        on_batch(sweep, batch)

    return then


@pytest.mark.parametrize("number", HEARD)
def test_a_signal_shows_the_curve_so_far(
    tmp_path: Path,
    stripes_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    words = ["find-rate", str(stripes_file), *SMALL, "--json", "--out", str(tmp_path / "r.svg")]
    assert cli.run(words) == 0
    whole = json.loads(capsys.readouterr().out)
    monkeypatch.setattr(_Sweep, "_on_batch", signal_at(30, number))
    assert cli.run(words) == 128 + number
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert (record["interrupted"], record["suggestion"]) == (True, None)
    assert record["losses"] == whole["losses"][:30]
    name = signals.NAMES[number]
    assert (
        f"\nstopped   by {name} after 30 of 60 steps, so larger rates are not tried\n"
        in unfolded(shown.err)
    )
    assert sum("*" in line for line in shown.err.splitlines()) > 5
    assert "suggested nothing: the loss might have gone on falling\n" in shown.err
    assert shown.err.endswith(f"saved     {tmp_path / 'r.svg'}\n")
    ElementTree.parse(tmp_path / "r.svg")


@pytest.mark.parametrize("number", HEARD)
def test_few_steps_show_nothing(
    stripes_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    monkeypatch.setattr(_Sweep, "_on_batch", signal_at(19, number))
    words = ["find-rate", str(stripes_file), *SMALL]
    if number == signal.SIGINT:
        assert cli.run(words) == 130
    else:
        with pytest.raises(SystemExit) as ended:
            cli.run(words)
        assert ended.value.code == 128 + number
    shown = capsys.readouterr()
    stopped = f"stopped   by {signals.NAMES[number]} after 19 of 60 steps,"
    assert unfolded(shown.out).splitlines()[2] == (
        f"{stopped} fewer than the 20 that show something"
    )
    assert shown.err == ("error: interrupted\n" if number == signal.SIGINT else "")
