"""`convprop train --checkpoint-every --resume`: processes ended in every way, and gone on with."""

import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import pytest
from runs import QUICK, interrupt_at, run, unfolded

import convprop as cp
from convprop.cli import app as cli
from convprop.cli.progress import TrainingProgress
from convprop.training.checkpoint import Checkpoints

# Long enough to be ended within, with all that a checkpoint has to hold.
LONG = shlex.split(
    "--epochs 150 --batch-size 16 --validation 0.2 --average 0.9 --clip-norm 1"
    " --augment 'shift=1 noise=0.1' --early-stopping 150 --schedule constant --threads 1"
)
EVERY = ("--checkpoint-every", "0.1s")

# Trains with pauses after some steps: on any machine there is time to end it within.
SLOW = """
import time
from convprop.cli import main
from convprop.cli.progress import TrainingProgress

steps, on_batch = 0, TrainingProgress.on_batch

def slow(progress, batch):
    global steps
    steps += 1
    if steps > 20:
        time.sleep(0.15)
    on_batch(progress, batch)

TrainingProgress.on_batch = slow
main()
"""


def steps_of(checkpoints: Checkpoints) -> int:
    """Return how far the newest checkpoint is."""
    return max((int(path.name[-8:]) for path in checkpoints.files()), default=0)


def end(process: subprocess.Popen[str], how: signal.Signals, out: Path, after: int) -> str:
    """Send a signal as soon as a checkpoint of more steps is there; return what was printed."""
    limit = time.monotonic() + 30
    while steps_of(Checkpoints(out)) <= after:
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.005)
    process.send_signal(how)
    output, errors = process.communicate(timeout=30)
    assert errors == ""
    return output


@pytest.mark.slow
def test_a_training_ended_in_every_way_ends_with_the_same_weights(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    assert cli.run(["train", str(stripes_file), *LONG, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    out = tmp_path / "net.safetensors"
    arguments = ["train", str(stripes_file), *LONG, "--out", str(out), *EVERY]
    slow = [sys.executable, "-c", SLOW, *arguments]
    done, again = 0, ""
    ways = (signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
    for number, how in enumerate(ways):
        resume = ["--resume"] if number else []
        process = subprocess.Popen(
            [*slow, *resume], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        shown = end(process, how, out, done)
        if number:
            assert f"resumed   from {out}.checkpoint-{done:08d}, after " in unfolded(shown)
        if how is not signal.SIGKILL:
            name = "Ctrl-C" if how is signal.SIGINT else how.name
            assert f"stopped   by {name} after " in shown
            kept = r"\d steps\), the weights are those of epoch \d+$"
            assert re.search(kept, unfolded(shown), re.M)
            again = shown.splitlines()[-1].removeprefix("go on     convprop ")
            assert cp.load(out).training_settings is not None
        # Two, and one more where the process was killed before it removed the oldest.
        assert 1 <= len(Checkpoints(out).files()) <= (3 if how is signal.SIGKILL else 2)
        done = steps_of(Checkpoints(out))
    result = run(*shlex.split(again), "--json")
    assert result.returncode == 0
    record = json.loads(result.stdout)
    assert (record["resumed_steps"], record["steps"]) == (done, expected["steps"])
    same = ("weights_sha256", "epochs", "best_epoch", "test_accuracy", "test_loss")
    assert [record[name] for name in same] == [expected[name] for name in same]
    assert cp.load(out).weights_sha256() == expected["weights_sha256"]
    # The checkpoints have done their duty; of the epochs, the log has each once.
    names = [f"net.safetensors{ending}" for ending in ("", ".jsonl", ".toml")]
    beside = [name for name in os.listdir(tmp_path) if not name.endswith(".tmp")]
    assert sorted(beside) == names
    lines = [json.loads(line) for line in Path(f"{out}.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", *["epoch"] * 150, "end"]
    assert [line["epoch"] for line in lines[1:-1]] == [*range(1, 151)]
    assert lines[0]["resumed_from"] == f"{out}.checkpoint-{done:08d}"
    for line, epoch in zip(lines[1:-1], expected["history"], strict=True):
        assert line["loss"] == epoch["loss"]


def test_nothing_is_left_to_do_where_training_has_ended(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    out = tmp_path / "net.safetensors"
    arguments = ["train", str(stripes_file), *QUICK, "--out", str(out), "--resume", "--json"]
    assert cli.run(arguments) == 0
    shown = capsys.readouterr()
    assert "resumed   nothing: there is no checkpoint, so from the start\n" in shown.err
    first = json.loads(shown.out)
    log = Path(f"{out}.jsonl").read_bytes()
    assert cli.run(arguments) == 0
    shown = capsys.readouterr()
    assert shown.err.startswith(
        f"finished  {out}.toml says so,\n          there is nothing left to do\ntest      "
    ) or shown.err.startswith(f"finished  {out}.toml says so, there is nothing left to do\ntest")
    again = json.loads(shown.out)
    same = ("weights_sha256", "test_accuracy", "test_loss", "steps", "epochs", "settings")
    assert [again.get(name) for name in same] == [first.get(name) for name in same]
    assert (again["resumed_steps"], again["train_seconds"]) == (15, 0)
    assert Path(f"{out}.jsonl").read_bytes() == log
    assert cli.run([*arguments, "--report", str(tmp_path / "report.html")]) == 0
    assert "nothing more is written" in capsys.readouterr().err
    # Another training cannot go on with this one; a file that was changed is trained again.
    content = out.read_bytes()
    others = [("seed", "1", "--seed 0"), ("augment", "shift=1", "no --augment")]
    for option, value, trained in others:
        assert cli.run([*arguments, f"--{option}", value]) == 2
        assert capsys.readouterr().err == (
            f"error: {out} is finished, with {trained}: --resume cannot go on with"
            f" --{option} {value}; leave it out to begin anew\n"
        )
    assert out.read_bytes() == content
    out.unlink()
    assert cli.run([*arguments, "--seed", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["train_seconds"] > 0


def test_the_report_and_the_settings_of_an_interrupted_training_say_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
) -> None:
    out, report = tmp_path / "a net.safetensors", tmp_path / "report.html"
    arguments = ["train", str(stripes_file), *QUICK, "--out", str(out), "--report", str(report)]

    def told() -> tuple[str, str]:
        page = report.read_text()
        shown = re.search(r'<section id="command".*?</section>', page, re.S)
        assert shown
        heading, command = unescape(re.sub(r"<[^>]*>", "", shown[0])).strip().split("\n")
        assert page.count("<dt>seed</dt>") == 1
        return heading, command

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_batch", interrupt_at(7))
        assert cli.run(arguments) == 130
        again = capsys.readouterr().out.splitlines()[-1].removeprefix("go on     ")
        assert told() == ("To go on with it", again)
        assert " --resume " in again
        assert cli.run([*arguments[:-4], *arguments[-2:]]) == 130
        heading, again = told()
        assert (heading, "--resume" in again) == ("To do it again", False)
    comment, command = Path(f"{out}.toml").read_text().replace("\n# ", "\n").splitlines()[:2]
    assert comment == "# What a net.safetensors was trained with. To go on:"
    capsys.readouterr()
    assert cli.run([*shlex.split(command)[1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed_steps"] == 7
    comment, command = Path(f"{out}.toml").read_text().replace("\n# ", "\n").splitlines()[:2]
    assert comment == "# What a net.safetensors was trained with. To train it again:"
    weights = cp.load(out).weights_sha256()
    out.unlink()
    assert cli.run(shlex.split(command)[1:]) == 0
    assert cp.load(out).weights_sha256() == weights


def interrupt(data: Path, out: Path) -> list[str]:
    """Interrupt a training after 7 steps, then after 9, and return its arguments."""
    arguments = ["train", str(data), *QUICK, "--out", str(out)]
    for step, more in ((7, []), (9, ["--resume"])):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainingProgress, "on_batch", interrupt_at(step))
            assert cli.run([*arguments, *more]) == 130
    names = [path.name[-8:] for path in Checkpoints(out).files()]
    assert names == ["00000009", "00000007"]
    return arguments


@pytest.fixture
def interrupted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> list[str]:
    """Return the arguments of a training that was interrupted."""
    arguments = interrupt(stripes_file, tmp_path / "net.safetensors")
    capsys.readouterr()
    return arguments


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, stripes_file: Path) -> list[str]:
    """Return the arguments of another one, for tests that leave its files as they are."""
    return interrupt(stripes_file, tmp_path_factory.mktemp("kept") / "net.safetensors")


def test_damaged_checkpoints_are_named_and_passed_over(
    capsys: pytest.CaptureFixture[str], interrupted: list[str]
) -> None:
    out = interrupted[-1]
    newest, older = Checkpoints(out).files()
    newest.write_bytes(newest.read_bytes()[:1000])
    assert cli.run([*interrupted, "--resume"]) == 0
    shown = unfolded(capsys.readouterr().out)
    assert f"damaged   {newest}: not a whole checkpoint (" in shown
    assert f"resumed   from {older}, after 7 steps, 1 of 3 epochs done\n" in shown
    assert Checkpoints(out).files() == []


def test_no_checkpoint_is_good(capsys: pytest.CaptureFixture[str], interrupted: list[str]) -> None:
    for path in Checkpoints(interrupted[-1]).files():
        path.write_bytes(b"")
    assert cli.run([*interrupted, "--resume"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("damaged   ") == 2
    assert "resumed   nothing: there is no good checkpoint, so from the start\n" in shown


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ("--clip-norm 1", ", which had no --clip-norm, got --clip-norm 1.0"),
        ("--average 0.9", ", which had no --average, got --average 0.9"),
        ("--seed 1", ", which had --seed 0, got --seed 1"),
        ("--optimizer sgd", ", which had --optimizer adamw, got --optimizer sgd"),
        (
            "--learning-rate 1",
            f", which had --learning-rate {0.004 * math.sqrt(0.5)}, got --learning-rate 1.0",
        ),
        (
            "--weight-decay 0.5",
            f", which had --weight-decay {0.01 * (0.5 / math.sqrt(0.5))}, got --weight-decay 0.5",
        ),
        (
            "--rate-factors bias=2",
            ", which had no --rate-factors, got --rate-factors bias=2.0",
        ),
        (
            "--lookahead steps=3",
            ", which had no --lookahead, got --lookahead 'steps=3 share=0.5'",
        ),
        ("--schedule cosine", ", which had --schedule one-cycle, got --schedule cosine"),
        (
            "--augment 'shift=3 noise=1'",
            ", which had no --augment, got --augment 'shift=3 noise=1'",
        ),
        ("--label-smoothing 0", ", which had --label-smoothing 0.1, got --label-smoothing 0.0"),
        ("--early-stopping 5", ", which had no --early-stopping, got --early-stopping 5"),
        ("--balanced-batches", ", which had no --balanced-batches, got --balanced-batches"),
        ("--validation 0.2", ", got other images, labels or weights"),
        ("--size 9", ", which had input_shape=(1, 8, 8), got input_shape=(1, 9, 9)"),
        ("--preset mlp", ", got other layers: those of --preset mlp"),
    ],
)
def test_another_training_is_not_gone_on_with(
    capsys: pytest.CaptureFixture[str], kept: list[str], options: str, received: str
) -> None:
    capsys.readouterr()
    files = [Path(kept[-1]), *Checkpoints(kept[-1]).files()]
    before = [file.read_bytes() for file in files]
    assert cli.run([*kept, "--resume", *shlex.split(options)]) == 1
    error = f"error: --resume must go on with the training of {files[1]}{received}\n"
    assert capsys.readouterr().err == error
    assert [file.read_bytes() for file in files] == before


def test_checkpoints_are_not_lost_by_a_forgotten_flag(
    capsys: pytest.CaptureFixture[str], interrupted: list[str]
) -> None:
    out = interrupted[-1]
    files = Checkpoints(out).files()
    assert cli.run([*interrupted, "--checkpoint-every", "1m"]) == 2
    assert capsys.readouterr() == (
        "",
        f"error: {files[0]} is of a training that has not ended: go on with --resume, or remove"
        " it to begin anew\n",
    )
    assert Checkpoints(out).files() == files
    # A training without checkpoints of its own begins anew, and says so.
    assert cli.run(interrupted) == 0
    given_up = f"anew      {files[0]} is given up (--resume would have gone on with it)\n"
    assert given_up in (capsys.readouterr().out)
    assert Checkpoints(out).files() == []


@pytest.mark.parametrize("option", [("--resume",), ("--checkpoint-every", "30s")])
def test_checkpoints_need_a_file_to_lie_beside(
    capsys: pytest.CaptureFixture[str], option: tuple[str, ...]
) -> None:
    assert cli.run(["train", *option]) == 2
    assert capsys.readouterr() == ("", f"error: {option[0]} must come with --out\n")
