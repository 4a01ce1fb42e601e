"""The command line: what it prints, what it leaves behind, and its exit statuses.

Commands run as processes of their own where that is what is proved, and in this one where
it is not.
"""

import csv
import io
import json
import os
import pty
import re
import runpy
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convprop as cp
from convprop import data
from convprop.check import Row
from convprop.cli import app as cli
from convprop.cli import check as check_command
from convprop.cli import train as train_command

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))

# Enough to learn the stripes in a fraction of a second.
QUICK = ("--epochs", "3", "--batch-size", "16")


def stripes(count: int, size: tuple[int, int] = (8, 8)) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images (N, H, W) of noisy stripes that lie (0) or stand (1), and labels."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    lying = np.broadcast_to(200 * (np.arange(size[0]) % 2)[:, None], size)
    standing = np.broadcast_to(200 * (np.arange(size[1]) % 2), size)
    pure = np.where(labels[:, None, None] == 0, lying, standing)
    return (pure + random.integers(0, 50, pure.shape)).astype(np.uint8), labels


@pytest.fixture(scope="session")
def stripes_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz file of 80 training and 20 test images."""
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    images, labels = stripes(100)
    np.savez(path, images=images, labels=labels, class_names=["lying", "standing"])
    return path


@pytest.fixture(scope="session")
def stripes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kind of images as PNG files, one subfolder a class, of another size."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("lying", "standing"):
        (folder / name).mkdir()
    images, labels = stripes(20)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        name = ("lying", "standing")[label]
        Image.fromarray(image).resize((16, 16), 0).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, stripes_file: Path) -> Path:
    """A network that tells the stripes apart."""
    path = tmp_path_factory.mktemp("model") / "stripes.safetensors"
    assert cli.run(["train", str(stripes_file), *QUICK, "--out", str(path)]) == 0
    return path


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the terminal that runs the tests into them."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "convprop", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        **options,  # type: ignore[call-overload]
    )


def start(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "convprop", *map(str, arguments)],
        text=True,
        stdin=subprocess.DEVNULL,
        **options,  # type: ignore[call-overload]
    )


def unfolded(text: str) -> str:
    """Put labelled lines together that were folded to fit."""
    return text.replace(",\n          ", ", ")


def assert_fits(text: str) -> None:
    """Expect plain lines of at most 80 columns."""
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if len(line) > 80] == []


# --- training


def test_train_prints_plain_lines_where_there_is_no_terminal(
    tmp_path: Path, stripes_file: Path
) -> None:
    os.link(stripes_file, tmp_path / "s.npz")
    result = run("train", "s.npz", *QUICK, "--validation", "0.2", "--threads", "1", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert_fits(result.stdout)
    shown = result.stdout.splitlines()
    assert shown[:4] == [
        "data      s.npz: 80 training and 20 test images, 8x8 grey, 2 classes",
        "network   digits (chosen for 8x8 images), 19,330 parameters",
        "training  3 epochs in batches of 16, adam at 0.003, seed 0, 1 thread",
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
        "parameters": 19330,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "batch_size": 16,
        "train_images": 80,
        "test_images": 20,
        "classes": 2,
        "interrupted": False,
        "version": cp.__version__,
    }
    assert {name: record[name] for name in known} == known
    assert record["test_accuracy"] > 0.9
    assert 0 < record["test_loss"] < 1
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
    images, labels = stripes(40, (32, 32))
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
    assert train_command._preset_for(shape) == preset
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
    assert shown.err == f"error: {expected}\n"

    assert cli.run([*wanted, "--skip-unreadable"]) == 0
    shown = capsys.readouterr()
    assert "10x12 grey" in shown.out
    assert f"skipped   1 unreadable file:\n          {damaged}\n" in shown.out


def test_a_diverging_loss_ends_training_and_keeps_the_last_good_weights(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    out = tmp_path / "model.safetensors"
    rate = ("--optimizer", "sgd", "--learning-rate", "1e30")
    assert cli.run(["train", str(stripes_file), *QUICK, *rate, "--out", str(out)]) == 1
    shown = capsys.readouterr().err
    assert re.match(r"error: the loss became (nan|inf) at step \d \(epoch 1\); ", shown)
    assert shown.endswith(f"\nThe last good weights are saved in {out}.\n")
    assert np.isfinite(cp.load(out).parameters["dense1.weight"]).all()


# --- Ctrl-C, pipes and terminals


def lines_until(process: subprocess.Popen[str], text: str) -> None:
    """Read the process's stdout up to a line that holds ``text``."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was not printed")


@pytest.mark.parametrize("saved", [True, False])
def test_ctrl_c_keeps_what_was_learned(tmp_path: Path, stripes_file: Path, saved: bool) -> None:
    out = tmp_path / "model.safetensors"
    options = ("--out", str(out)) if saved else ()
    endless = ("--epochs", "1000000", "--batch-size", "16")
    process = start(
        "train",
        stripes_file,
        *endless,
        *options,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    lines_until(process, "3/1000000")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    stopped = re.search(
        r"^stopped   by Ctrl-C after ([\d,]+) of 1,000,000 epochs \(([\d,]+) steps\)$", output, re.M
    )
    assert stopped
    epochs, steps = (int(number.replace(",", "")) for number in stopped.groups())
    assert 3 <= epochs <= steps / 5 < epochs + 1
    digest = re.search(r"^weights   (\w+)$", output, re.M)
    assert digest
    if saved:
        assert output.endswith(f"saved     {out}\n")
        assert cp.load(out).weights_sha256() == digest[1]
        assert os.listdir(tmp_path) == [out.name]
    else:
        assert output.endswith("saved     nothing (--out FILE saves the network)\n")


def test_a_second_ctrl_c_does_not_lose_the_network(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cp.Network, "evaluate", interrupt)
    out = tmp_path / "model.safetensors"
    assert cli.run(["train", str(stripes_file), *QUICK, "--out", str(out)]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"
    assert cp.load(out).class_names == ("lying", "standing")


def test_a_process_that_ignores_sigint_goes_on_ignoring_it(stripes_file: Path) -> None:
    process = start(
        "train",
        stripes_file,
        "--epochs",
        "40",
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    lines_until(process, "1/40")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "40/40" in output


def test_a_reader_that_goes_away_ends_the_command_quietly(
    stripes_file: Path, model: Path, stripes_folder: Path
) -> None:
    commands = (("predict", model, stripes_folder), ("train", stripes_file))
    reader, writer = os.pipe()
    os.close(reader)
    started = [start(*command, stdout=writer, stderr=subprocess.PIPE) for command in commands]
    os.close(writer)
    for process in started:
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (141, "")


def read_terminal(arguments: list[str]) -> str:
    """Run a command on a terminal of 80 columns and return what it writes there."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = start(*arguments, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    end = time.monotonic() + 30
    while time.monotonic() < end and select.select([ours], [], [], 30)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # The other side is closed.
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return written.decode()


def test_a_terminal_gets_a_live_bar_that_leaves_only_the_epochs_behind(
    stripes_file: Path,
) -> None:
    shown = read_terminal(["train", str(stripes_file), "--epochs", "60", "--batch-size", "8"])
    bar = re.compile(r"epoch (\d+)/60  loss \d+\.\d{4}  \d+\.\d\d %  [\d,]+ images/s  \d:\d\d left")
    frames = [re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", frame) for frame in re.split(r"[\r\n]+", shown)]
    bars = [frame for frame in frames if bar.search(frame)]
    assert bars
    assert all(frame.startswith(("━", "╸", "╺")) and len(frame) <= 80 for frame in bars)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # The cursor is back.
    assert len([frame for frame in frames if re.match(r" +\d+/60 ", frame)]) == 60
    assert "\x1b[2K" in shown[shown.rindex(" left") :]  # The last bar is wiped out.


def test_characters_that_the_output_cannot_hold_are_replaced(
    tmp_path: Path, stripes_file: Path
) -> None:
    with np.load(stripes_file) as stored:
        np.savez(
            tmp_path / "s.npz",
            images=stored["images"],
            labels=stored["labels"],
            class_names=["couché", "debout"],
        )
    out = tmp_path / "model.safetensors"
    assert cli.run(["train", str(tmp_path / "s.npz"), *QUICK, "--out", str(out)]) == 0
    result = run("summary", out, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    assert "classes   couch?, debout\n" in result.stdout


# --- evaluate, predict, summary, check


def test_evaluate(
    capsys: pytest.CaptureFixture[str], model: Path, stripes_file: Path, stripes_folder: Path
) -> None:
    assert cli.run(["evaluate", str(model), str(stripes_file), "--json"]) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    network, test = cp.load(model), data.load(stripes_file).test
    loss, accuracy = network.evaluate(test.images, test.labels)
    assert (record["loss"], record["accuracy"], record["images"]) == (loss, accuracy, 20)
    assert record["class_names"] == ["lying", "standing"]
    assert np.trace(record["confusion"]) == accuracy * 20
    assert np.sum(record["confusion"]) == 20

    assert cli.run(["evaluate", str(model), str(stripes_folder), "--part", "train"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"data      {stripes_folder}: 16 train images\n")
    assert re.search(r"^result    accuracy 100\.00 %, loss \d\.\d{4}$", shown.out, re.M)
    assert "\nmistakes  0 of 16\n" in shown.out


def test_evaluate_names_the_commonest_mistakes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    images, labels = stripes(40)
    # The names are exchanged, and three of four images lie.
    chosen = np.flatnonzero((labels == 0) | (np.arange(40) % 3 == 0))
    names = ["standing", "lying"]
    np.savez(tmp_path / "s.npz", images=images[chosen], labels=labels[chosen], class_names=names)
    part = data.load(tmp_path / "s.npz").train
    lying, standing = np.bincount(part.labels)
    assert lying > standing
    assert cli.run(["evaluate", str(model), str(tmp_path / "s.npz"), "--part", "train"]) == 0
    mistakes = (
        f"mistakes  {len(part)} of {len(part)}, took standing for lying ({lying}x),"
        f" took lying for standing ({standing}x)"
    )
    assert mistakes in unfolded(capsys.readouterr().out)


def test_data_that_does_not_fit_the_model_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    images, labels = stripes(20, (9, 8))
    path = tmp_path / "s.npz"
    np.savez(path, images=images, labels=labels)
    assert cli.run(["evaluate", str(model), str(path)]) == 1
    rule = f"{path} must hold images of 1x8x8 to fit {model}, got 1x9x8"
    assert capsys.readouterr().err == f"error: {rule}\n"
    np.savez(path, images=images[:, :8], labels=labels, class_names=["lying", "slanting"])
    assert cli.run(["evaluate", str(model), str(path)]) == 1
    rule = f"{path} must hold only classes among 'lying', 'standing', got 'slanting'"
    assert capsys.readouterr().err == f"error: {rule}\n"


def test_predict_prints_a_label_and_its_probability_a_line(
    capsys: pytest.CaptureFixture[str], model: Path, stripes_folder: Path
) -> None:
    files = [stripes_folder / "standing" / "01.png", stripes_folder / "lying"]
    arguments = ["predict", str(model), *map(str, files)]
    assert cli.run(arguments) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert re.fullmatch(rf"standing  [ 1]\d\d\.\d\d %  {files[0]}", lines[0])
    assert len(lines) == 11
    assert all(re.match(r"lying     [ 1]\d\d\.\d\d %  ", line) for line in lines[1:])

    assert cli.run([*arguments, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["label"] for record in records] == ["standing"] + ["lying"] * 10
    assert records[0]["file"] == str(files[0])
    assert set(records[0]["probabilities"]) == {"lying", "standing"}
    assert records[0]["probability"] == records[0]["probabilities"]["standing"]
    assert sum(records[0]["probabilities"].values()) == pytest.approx(1)

    assert cli.run([*arguments, "--csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["file", "label", "probability"]
    assert rows[1] == [str(files[0]), "standing", str(records[0]["probability"])]
    assert len(rows) == 12


def test_predict_with_one_output_and_with_none_that_is_a_probability(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_folder: Path
) -> None:
    files = [str(stripes_folder / "lying" / "00.png"), str(stripes_folder / "standing" / "01.png")]
    losses = cp.BinaryCrossEntropy(), cp.SquaredError()
    for loss in losses:
        net = cp.Network([cp.Dense(1)], (1, 8, 8), loss)
        net.parameters["dense1.weight"] = np.tile([-0.01, 0.01], (1, 32))
        net.save(tmp_path / "model.safetensors")
        images, _ = next(data.read_images(files, net.input_shape, resize=True))
        standing = net.predict(images)[:, 0]
        assert cli.run(["predict", str(tmp_path / "model.safetensors"), *files, "--json"]) == 0
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [record["label"] for record in records] == [str(int(p > 0.5)) for p in standing]
        if isinstance(loss, cp.SquaredError):
            assert [record["probability"] for record in records] == [None, None]
            assert cli.run(["predict", str(tmp_path / "model.safetensors"), *files]) == 0
            assert re.match(r"\d +-  /", capsys.readouterr().out)
        else:
            wanted = np.maximum(standing, 1 - standing)
            assert [record["probability"] for record in records] == pytest.approx(wanted, abs=1e-6)


def test_predict_names_a_file_that_cannot_be_read_or_skips_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, stripes_folder: Path
) -> None:
    bad, good = tmp_path / "bad.png", stripes_folder / "lying" / "00.png"
    bad.write_bytes(b"no image")
    arguments = ["predict", str(model), str(bad), str(good)]
    assert cli.run(arguments) == 1
    rule = f"{bad} must be a PNG, JPEG, BMP, TIFF or WebP image, got something else"
    assert capsys.readouterr() == ("", f"error: {rule}\n")
    assert cli.run([*arguments, "--skip-unreadable"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("lying ")
    assert shown.err == f"skipped   1 unreadable file:\n          {bad}\n"


def test_summary_of_a_model_and_of_a_preset(
    capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    assert cli.run(["summary", str(model)]) == 0
    shown = capsys.readouterr().out
    assert_fits(shown)
    network = cp.load(model)
    assert shown.startswith(network.summary() + "\n\nclasses   lying, standing\ntraining  preset ")
    assert shown.endswith(f"weights   {network.weights_sha256()}\n")

    for name, preset in cp.presets.PRESETS.items():
        assert cli.run(["summary", name]) == 0
        shown = capsys.readouterr().out
        assert_fits(shown)
        assert f"preset    {preset.about}\n" in unfolded(shown)


def test_check_proves_the_formulas_and_fits_the_terminal() -> None:
    result = run("check")
    assert (result.returncode, result.stderr) == (0, "")
    assert_fits(result.stdout)
    assert re.search(r"^  Eq\. 6 = Eq\. 7 +(0|\d\.\de-1\d) +1\.0e-14   ok$", result.stdout, re.M)
    assert result.stdout.endswith("\nresult    all agree\n")


def test_check_of_a_model_and_of_a_preset(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    for name in (str(model), "digits"):
        assert cli.run(["check", name]) == 0
        shown = capsys.readouterr().out
        assert "  conv2: weight gradient" in shown
        assert f"\nchecked   {name}, " in unfolded(shown)


def test_check_fails_when_anything_differs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row("group", "good", 0.0, 0.0), Row("group", "bad", 2e-3, 1e-14)]
    rows.append(Row("group", "worse", float("nan"), 1e-14))
    monkeypatch.setattr(check_command, "check_machine", lambda: rows)
    assert cli.run(["check"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split() == ["good", "0", "0", "ok"]
    assert shown[2].split() == ["bad", "2.0e-03", "1.0e-14", "FAILS"]
    assert shown[3].split() == ["worse", "nan", "1.0e-14", "FAILS"]
    assert shown[-1] == "result    2 lines of 3 FAIL"


# --- help, wrong usage, failures


def test_version_is_printed_by_the_installed_script() -> None:
    script = Path(sys.executable).with_name("convprop")
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"convprop {cp.__version__}\n"


@pytest.mark.parametrize("command", ["", *(c.__name__ for c in cli.COMMANDS)])
def test_help_fits_and_ends_with_an_example_that_is_understood(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert cli.run([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert_fits(shown)
    example = re.search(r"^Example: convprop (.+)$", shown, re.M)
    assert example
    cli.build_app().parse_args(example[1].split())


SEE = "\nSee 'convprop {} --help'.\n"
OPTIMIZERS = "sgd, adam, adamw, rmsprop, adadelta"
PRESETS = "digits, lenet5, lenet-theano, keras-mnist, cifar-tutorial, vgg-small"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "train --preset lenet",
            f"--preset must be one of {PRESETS}, got lenet; did you mean lenet5?",
        ),
        (
            "train --optimizer adan",
            f"--optimizer must be one of {OPTIMIZERS}, got adan; did you mean adam?",
        ),
        ("train --optimizer x", f"--optimizer must be one of {OPTIMIZERS}, got x"),
        ("train --epochs 0", "--epochs must be a whole number of at least 1, got 0"),
        ("train --epochs 1.5", "--epochs must be a whole number of at least 1, got 1.5"),
        ("train --epochs none", "--epochs must be a whole number of at least 1, got none"),
        ("train --batch-size -3", "--batch-size must be a whole number of at least 1, got -3"),
        ("train --threads x", "--threads must be a whole number of at least 1, got x"),
        ("train --seed -1", "--seed must be a whole number from 0 to 2**64 - 1, got -1"),
        ("train --learning-rate fast", "--learning-rate must be a finite number above 0, got fast"),
        ("train --learning-rate nan", "--learning-rate must be a finite number above 0, got nan"),
        ("train --learning-rate 0", "--learning-rate must be a finite number above 0, got 0"),
        ("train --validation 1", "--validation must be a number above 0 and below 1, got 1"),
        (
            "train --size 0x32",
            "--size must be a number of pixels, or rows and columns as in 32x48, got 0x32",
        ),
        ("train --epochs", "--epochs must have a value, got none"),
        ("train --optimiser sgd", "Unknown option: --optimiser. Did you mean --optimizer?"),
        ("train digits mnist", "one argument too many: mnist"),
        ("predict model.safetensors", "FILES must be given, got none"),
        ("evaluate model.safetensors", "DATA must be given, got none"),
        ("evaluate m d --part al", "--part must be one of test, train, got al"),
        ("summary", "MODEL must be given, got none"),
    ],
)
def test_wrong_usage_is_said_in_one_line_with_status_2(
    capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert cli.run(line.split()) == 2
    assert capsys.readouterr() == ("", f"error: {message}{SEE.format(line.split()[0])}")


def test_an_unknown_command_or_name_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["trian"]) == 2
    assert capsys.readouterr().err == (
        "error: Unknown command trian. Did you mean train? Available commands: train, evaluate,"
        " predict, summary, check.\nSee 'convprop --help'.\n"
    )
    for command in ("summary", "check"):
        assert cli.run([command, "vgg"]) == 2
        assert capsys.readouterr().err == (
            f"error: MODEL must be a file or one of {PRESETS}, got vgg; did you mean vgg-small?\n"
        )
    assert cli.run(["predict", "model", "file", "--json", "--csv"]) == 2
    assert capsys.readouterr().err == "error: --json must not come with --csv\n"


def test_an_output_that_cannot_be_written_is_found_before_anything_else(tmp_path: Path) -> None:
    out = tmp_path / "missing" / "model.safetensors"
    result = run("train", "no-such-data", "--out", out)
    message = f"path must name a file that can be written, got {out} (no such file or directory)"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"error: {message}\n"


def test_a_failure_is_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    missing, torn = tmp_path / "missing.safetensors", tmp_path / "torn.safetensors"
    torn.write_bytes(model.read_bytes()[:-10])
    for arguments, message in (
        (("summary", missing), f"{missing}: No such file or directory"),
        (("predict", missing, "x.png"), f"{missing}: No such file or directory"),
        (
            ("train", "no-data"),
            "data must be 'digits', 'mnist', a folder or an .npz file,"
            " got 'no-data' (which does not exist)",
        ),
        (("predict", model, "x.png"), "x.png must be a file or a folder, got neither"),
    ):
        assert cli.run([*map(str, arguments)]) == 1
        assert capsys.readouterr() == ("", f"error: {message}\n")
    assert cli.run(["evaluate", str(torn), "digits"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"error: {torn}: not a whole safetensors file (")


def test_a_preset_that_is_too_large_for_the_images_says_so(
    capsys: pytest.CaptureFixture[str], stripes_file: Path
) -> None:
    assert cli.run(["train", str(stripes_file), "--preset", "lenet5"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    rule = "error: images must be at least 12x12 for the preset lenet5, got 8x8 ("
    assert shown.err.startswith(rule)
    assert "input 1x8x8 -> conv1 6x8x8 -> " in shown.err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory"),
        (MemoryError("Unable to allocate 3 TiB"), "not enough memory: Unable to allocate 3 TiB"),
        (PermissionError(13, "Permission denied", "/data"), "/data: Permission denied"),
        (OSError("odd"), "odd"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(train_command, "load", refuse)
    assert cli.run(["train"]) == 1
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_an_error_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(train_command, "load", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run(["train"])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    shown = capsys.readouterr().out
    if path.stem == "backward_pass":
        differences = [
            float(d) for d in re.findall(r"differs from Eq\. \d+ by at most (\S+)", shown)
        ]
        assert len(differences) == 4
        assert max(differences) < 1e-14
    else:
        accuracy = re.search(r"([\d.]+)% of|test images: .*accuracy ([\d.]+)%", shown)
        assert accuracy
        assert float(accuracy[1] or accuracy[2]) > 90
