"""`convprop search`."""

import json
import os
import pty
import shlex
import signal
import subprocess
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import assert_fits, run, start, stripes

import convprop as cp
from convprop.cli import app as cli
from convprop.cli.search import _announce
from convprop.cli.search_plan import Search
from convprop.cli.search_settings import read_tries, usual
from convprop.cli.terminal import Terminal

pytestmark = pytest.mark.slow

TRIES = ("--try", "learning_rate=0.01,1e-7", "--try", "batch_size=8,16")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, stripes_file: Path) -> dict:
    """One search in two processes: its result and where it saved the best settings."""
    out = tmp_path_factory.mktemp("search") / "best.toml"
    arguments = ("search", stripes_file, *TRIES, "--epochs", "9", "--folds", "2", "--json")
    result = run(*arguments, "--jobs", "2", "--out", out)
    assert result.returncode == 0, result.stderr
    return {"record": json.loads(result.stdout), "shown": result.stderr, "out": out}


def without_times(record: dict) -> dict:
    candidates = [{k: v for k, v in c.items() if k != "seconds"} for c in record["candidates"]]
    return record | {"candidates": candidates}


def test_the_table_ranks_what_was_tried(searched: dict, stripes_file: Path) -> None:
    record = searched["record"]
    assert record["rounds"] == [{"candidates": 4, "epochs": 3}, {"candidates": 2, "epochs": 9}]
    assert record["trainings"] == 2 * (4 + 2)
    settings = [candidate["settings"] for candidate in record["candidates"]]
    assert {s["learning_rate"] for s in settings[:2]} == {"0.01"}
    assert {s["learning_rate"] for s in settings[2:]} == {"1e-07"}
    assert [candidate["epochs"] for candidate in record["candidates"]] == [9, 9, 3, 3]
    assert record["candidates"][0]["accuracy"] >= record["candidates"][1]["accuracy"] > 0.9
    assert all(candidate["seconds"] > 0 for candidate in record["candidates"])
    table = searched["shown"].partition("\n\n")[2].rpartition("\n\n")[0]
    assert_fits(table)
    words = [line.split() for line in table.splitlines()]
    assert words[0] == ["learning_rate", "batch_size", "epochs", "accuracy", "±", "time"]
    for place, (line, candidate) in enumerate(zip(words[1:], record["candidates"], strict=True), 1):
        chosen = candidate["settings"]
        assert line[:3] == [str(place), chosen["learning_rate"], chosen["batch_size"]]
        assert line[4] == f"{100 * candidate['accuracy']:.2f}"
        assert line[6] == f"{100 * candidate['spread']:.2f}"


def test_one_process_finds_the_same(
    searched: dict, stripes_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["search", str(stripes_file), *TRIES, "--epochs", "9", "--folds", "2", "--json"]
    assert cli.run(arguments) == 0
    assert without_times(json.loads(capsys.readouterr().out)) == without_times(searched["record"])


def test_train_runs_the_best_settings(
    searched: dict, stripes_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tomllib.loads(searched["out"].read_text())
    assert settings == searched["record"]["best"]
    best = searched["record"]["candidates"][0]["settings"]
    assert settings == {
        "data": str(stripes_file),
        "preset": "digits",
        "epochs": 9,
        "learning_rate": 0.01,
        "label_smoothing": 0.1,
        "batch_size": int(best["batch_size"]),
        "seed": 0,
    }
    assert cli.run(["train", "--config", str(searched["out"]), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert (trained["learning_rate"], trained["epochs"]) == (0.01, 9)
    assert trained["batch_size"] == settings["batch_size"]


def test_networks_optimizers_and_augmentation_are_tried_too(
    tmp_path: Path, stripes_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "best.toml"
    line = (
        f"search {stripes_file} --try optimizer=sgd,adam --try preset=mlp,digits --folds 2"
        f" --try 'augment=none,shift=1 noise=2' --epochs 1 --candidates 3 --out {out}"
    )
    assert cli.run(shlex.split(line)) == 0
    shown = capsys.readouterr().out
    assert "\nrounds    3 of 8 candidates for 1 epoch\n" in shown
    assert_fits(shown.partition("\n")[2].rpartition("\nsaved ")[0])
    first = next(row for row in shown.splitlines() if row.startswith("1 "))
    settings = tomllib.loads(out.read_text())
    assert settings["optimizer"] in first
    assert settings["preset"] in first
    assert settings.get("augment") == ({"shift": 1, "noise": 2} if "shift" in first else None)
    assert "batch_size" not in settings
    assert cli.run(["train", "--config", str(out)]) == 0


def test_a_training_that_diverges_is_the_last(
    stripes_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"search {stripes_file} --try learning_rate=1e30,0.01 --epochs 2 --folds 2 --json"
    assert cli.run(line.split()) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    assert [c["settings"]["learning_rate"] for c in record["candidates"]] == ["0.01", "1e+30"]
    assert record["candidates"][1]["accuracy"] is None
    assert " diverged " in shown.err
    assert record["best"]["learning_rate"] == 0.01


def long_search(tmp_path: Path, data: Path, jobs: str, **streams: int) -> subprocess.Popen[str]:
    """Start a search of many trainings, and return it when the first is done."""
    process = start(
        *(
            "search",
            data,
            "--try",
            "learning_rate=.1,.2,.3,.4,.5,.6,.7,.8",
            "--epochs",
            "300",
        ),
        *("--try", "batch_size=2", "--jobs", jobs, "--out", tmp_path / "best.toml"),
        env=os.environ | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams,
    )
    for _ in range(1200):
        if [path for path in tmp_path.glob("convprop-*/records") if path.stat().st_size]:
            break
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(
    ("jobs", "number", "to_all"),
    [
        ("1", signal.SIGINT, False),
        ("2", signal.SIGINT, True),
        ("1", signal.SIGTERM, False),
        ("2", signal.SIGTERM, False),
        ("2", signal.SIGTERM, True),
        ("2", signal.SIGHUP, False),
    ],
)
def test_a_signal_ends_all_processes_and_shows_what_is_known_by_then(
    tmp_path: Path, stripes_file: Path, jobs: str, number: signal.Signals, to_all: bool
) -> None:
    process = long_search(tmp_path, stripes_file, jobs)
    (os.killpg if to_all else os.kill)(process.pid, number)
    # Reads until the last process that has these pipes is gone.
    shown, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (128 + number, "")
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert f"\nstopped   by {name} after " in shown
    assert "\n1  0." in shown
    assert tomllib.loads((tmp_path / "best.toml").read_text())["batch_size"] == 2
    assert list(tmp_path.glob("convprop-*")) == []


def test_a_terminal_that_is_closed_does_not_lose_what_is_known(
    tmp_path: Path, stripes_file: Path
) -> None:
    ours, theirs = pty.openpty()
    process = long_search(tmp_path, stripes_file, "1", stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.close(ours)
    # The kernel sends it to the processes of the session that the terminal belongs to.
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=10) == 128 + signal.SIGHUP
    assert tomllib.loads((tmp_path / "best.toml").read_text())["batch_size"] == 2


def test_no_process_outlives_a_search_that_is_killed(tmp_path: Path, stripes_file: Path) -> None:
    process = long_search(tmp_path, stripes_file, "2")
    process.kill()
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGKILL


def test_an_optimizer_that_is_tried_is_the_one_that_train_takes(
    capsys: pytest.CaptureFixture[str], stripes_file: Path
) -> None:
    from convprop.cli.search_worker import TimedClassifier

    for kind in cp.presets.PRESETS["digits"].optimizer.kind, "sgd":
        arguments = [str(stripes_file), "--preset", "digits", "--optimizer", kind, "--epochs", "1"]
        assert cli.run(["train", *arguments, "--json"]) == 0
        trained = json.loads(capsys.readouterr().out)
        split = cp.data.load(str(stripes_file))
        tried = TimedClassifier("digits", optimizer=kind, epochs=1, random_state=0)
        tried.fit(split.train.images, split.train.labels)
        assert tried.network_.weights_sha256() == trained["weights_sha256"]


NAMES = (
    "learning_rate, batch_size, optimizer, preset, augment, label_smoothing, clip_norm, average,"
    " class_weight"
)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--try rate=1", f"--try must name one of {NAMES}, got rate; did you mean learning_rate?"),
        ("--try =1", f"--try must name one of {NAMES}, got ''"),
        (
            "--try epochs=3",
            "--try must leave epochs to --epochs, the most that any candidate gets, got epochs=3",
        ),
        (
            "--try learning_rate=0.1,x",
            "--try learning_rate must be a finite number above 0, got x",
        ),
        ("--try batch_size", "--try batch_size must be a whole number of at least 1, got ''"),
        ("--try batch_size=8,8", "--try batch_size must hold each value once, got 8,8"),
        (
            "--try batch_size=8 --try batch-size=9",
            "--try must name batch_size once, got it again",
        ),
        ("--try class_weight=all", "--try class_weight must be one of balanced, or none, got all"),
        ("--try preset=mlp --preset digits", "--preset must not come with --try preset"),
        (
            "--jobs 2 --threads 1",
            "--threads must not come with --jobs: processes share the processors",
        ),
        ("--folds 1", "--folds must be at least 2, got 1"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert cli.run(["search", "no-such-data", *line.split()]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_more_folds_than_images_of_a_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = stripes(12)
    labels[:] = [0] * 9 + [1] * 3
    np.savez(tmp_path / "s.npz", images=images, labels=labels)
    assert cli.run(["search", str(tmp_path / "s.npz")]) == 1
    assert capsys.readouterr().err == (
        "error: --folds must be at most the 2 training images of '1', got 3\n"
    )


@pytest.mark.parametrize(
    ("candidates", "epochs", "rounds"),
    [
        (1, 20, [(1, 20)]),
        (2, 20, [(2, 20)]),
        (6, 20, [(6, 6), (2, 18)]),
        (9, 20, [(9, 2), (3, 6), (1, 18)]),
        (27, 20, [(27, 1), (9, 3), (3, 9)]),
        (5, 1, [(5, 1)]),
    ],
)
def test_the_rounds_are_scikit_learn_s(
    candidates: int, epochs: int, rounds: list[tuple[int, int]], tmp_path: Path
) -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin

    # Without this import the next one fails.
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV

    class Constant(ClassifierMixin, BaseEstimator):
        def __init__(self, which: int = 0, epochs: int = 1) -> None:
            self.which, self.epochs = which, epochs

        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.full(len(X), self.which % 2)

    choices = {"batch_size": list(range(candidates))}
    plan = Search(choices, "digits", epochs, 100, 2, 0, 1, tmp_path / "records")
    assert plan.rounds == rounds
    search = HalvingGridSearchCV(
        Constant(),
        {"which": list(range(candidates))},
        resource="epochs",
        min_resources=plan.rounds[0][1],
        max_resources=epochs,
        cv=2,
    ).fit(np.zeros((20, 1)), np.arange(20) % 2)
    assert list(zip(search.n_candidates_, search.n_resources_, strict=True)) == rounds


def test_the_plan_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = stripes(20)
    np.savez(tmp_path / "s.npz", images=images, labels=labels)
    split = cp.data.load(str(tmp_path / "s.npz"))
    choices = {"batch_size": list(range(1, 1201)), "seed": [1, 2]}
    plan = Search(choices, "digits", 1, 1000, 2, 0, 1, tmp_path / "records")
    _announce(Terminal(), split, plan)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "rounds    1,000 of 2,400 candidates for 1 epoch"


def test_words_become_values() -> None:
    choices = read_tries(["augment=none,shift=2 flip=both", "average=none,0.99", "batch-size=4"])
    assert choices == {
        "augment": [None, cp.Augment(shift=2, flip="both")],
        "average": [None, 0.99],
        "batch_size": [4],
    }
    rates = [0.0013, 0.004, 0.012]
    assert usual(0.004, 32, 640) == {"learning_rate": rates, "batch_size": [32, 64]}
    assert usual(0.004, 32, 639) == {"learning_rate": rates, "batch_size": [8, 32]}
    assert usual(0.004, 2, 10)["batch_size"] == [1, 2]


def test_files_that_are_skipped_are_listed_with_the_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, image, label in zip(range(24), *stripes(24), strict=True):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / str(label) / f"{name}.png")
    (tmp_path / "0" / "bad.png").write_bytes(b"no image")
    few = ["--try", "batch_size=4", "--epochs", "1", "--folds", "2", "--skip-unreadable"]
    assert cli.run(["search", str(tmp_path), *few]) == 0
    labels = [line[:10].strip() for line in capsys.readouterr().out.splitlines()[:5]]
    assert labels == ["data", "skipped", "", "try", "rounds"]
