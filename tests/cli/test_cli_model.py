"""`convprop evaluate`, `predict`, `summary` and `check`."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import assert_fits, run, stripes, unfolded

import convprop as cp
from convprop import data
from convprop.check import Row
from convprop.check.bits import BitRow
from convprop.cli import app as cli
from convprop.cli import check as check_command


def test_evaluate(
    capsys: pytest.CaptureFixture[str], model: Path, stripes_file: Path, stripes_folder: Path
) -> None:
    words = ["evaluate", str(model), str(stripes_file), "--json"]
    assert cli.run([*words, "--part", "test"]) == 0
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
    data_line = (
        f"data      {stripes_folder}: 16 of 20 images (those that training on it would see)\n"
    )
    assert shown.out.startswith(data_line)
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
        f"mistakes  {len(part)} of {len(part)}, true standing called lying ({lying}x),"
        f" true lying called standing ({standing}x)"
    )
    assert mistakes in unfolded(capsys.readouterr().out)


def test_evaluate_streamed_says_the_same(
    capsys: pytest.CaptureFixture[str], model: Path, stripes_file: Path, stripes_folder: Path
) -> None:
    records = []
    for option in ([], ["--stream"]):
        words = ["evaluate", str(model), str(stripes_folder), "--part", "train", "--json"]
        assert cli.run([*words, *option]) == 0
        records.append(json.loads(capsys.readouterr().out))
        for timed in ("seconds", "images_per_second"):
            del records[-1][timed]
    assert records[0] == records[1]
    assert cli.run(["evaluate", str(model), str(stripes_file), "--stream"]) == 1
    rule = f"{stripes_file} must be a folder of images or of .npy files to be streamed"
    assert capsys.readouterr().err == f"error: {rule}, got an .npz file\n"


@pytest.mark.slow
def test_evaluate_streamed_holds_no_more_than_some_batches(tmp_path: Path) -> None:
    for name in ("dark", "light"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / "data" / name / "0.png")
        for n in range(1, 3000):
            os.link(tmp_path / "data" / name / "0.png", tmp_path / "data" / name / f"{n}.png")
    cp.Network([cp.AveragePool("global"), cp.Dense(2)], (3, 64, 64)).save(tmp_path / "net")
    measured = (
        "import sys; from convprop.cli.app import run\n"
        "from convprop.machine.memory import peak_memory\n"
        "run(sys.argv[1:]); print(peak_memory())"
    )
    arguments = ["evaluate", tmp_path / "net", tmp_path / "data", "--part", "train"]
    peaks = []
    for option in ([], ["--stream"]):
        words = [sys.executable, "-c", measured, *map(str, arguments), *option]
        result = subprocess.run(words, capture_output=True, text=True, check=True)
        assert "4,800 of 6,000 images" in result.stdout
        peaks.append(int(result.stdout.splitlines()[-1]))
    # All images take 59 million bytes, and ten batches, as many as are ever read, 31 million.
    assert peaks[0] - peaks[1] > 20e6


def test_evaluate_of_fewer_classes_than_a_model_without_names_has(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    net = cp.Network([cp.Dense(5)], (1, 8, 8))
    net.parameters["dense1.bias"][...] = [0, 0, 0, 0, 1e9]
    net.save(tmp_path / "net")
    assert cli.run(["evaluate", str(tmp_path / "net"), str(stripes_file), "--json"]) == 0
    shown = capsys.readouterr()
    mistakes = "true lying called 4 (50x), true standing called 4 (50x)"
    assert mistakes in unfolded(shown.err)
    assert np.array(json.loads(shown.out)["confusion"])[:2, 4].tolist() == [50, 50]


def test_data_that_does_not_fit_the_model_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    images, labels = stripes(20, (9, 8))
    path = tmp_path / "s.npz"
    np.savez(path, images=images, labels=labels, class_names=["lying", "standing"])
    assert cli.run(["evaluate", str(model), str(path)]) == 1
    rule = f"{path} must hold images of 1x8x8 to fit {model}, got 1x9x8 (image files would be"
    rule += " resized)"
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
        net.class_names = ["0", "1"]
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
    hint = "--skip-unreadable leaves out what cannot be read."
    assert capsys.readouterr() == ("", f"error: {rule}\n{hint}\n")
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
    assert (
        "optimizer adamw (learning rate 0.0028284271247461905, beta1 0.9, beta2 0.999"
        in unfolded(shown)
    )
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


def test_profile_of_a_preset_and_of_a_model(
    capsys: pytest.CaptureFixture[str], model: Path, stripes_file: Path
) -> None:
    assert cli.run(["profile", "lenet5", "--steps", "2", "--batch-size", "20"]) == 0
    shown = capsys.readouterr().out
    assert_fits(shown)
    assert shown.startswith("Layer ")
    assert "\nnetwork   lenet5, input 1x28x28, 20 random images\n" in shown
    assert "\nmeasured  2 steps, batches of 20, float32, adam, " in shown

    assert cli.run(["profile", str(model), str(stripes_file), "--steps", "2", "--json"]) == 0
    shown = capsys.readouterr()
    assert "80 training images" in unfolded(shown.err)
    record = json.loads(shown.out)
    known = {"model": str(model), "data": str(stripes_file), "batch_size": 16, "steps": 2}
    assert {name: record[name] for name in known} == known
    seconds = sum(entry["seconds"] for entry in record["passes"])
    assert seconds == pytest.approx(record["seconds_per_step"])
    conv = next(entry for entry in record["passes"] if "conv1" in entry["layers"])
    assert set(conv) == {"layers", "pass", "seconds", "gflops", "share_of_limit", "bytes"}

    assert cli.run(["profile", "digits", str(stripes_file), "--steps", "1"]) == 0
    assert "batches of 32" in capsys.readouterr().out


def test_profile_refuses_data_that_does_not_fit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    images, labels = stripes(20, (9, 8))
    names = ["lying", "standing"]
    np.savez(tmp_path / "s.npz", images=images, labels=labels, class_names=names)
    assert cli.run(["profile", str(model), str(tmp_path / "s.npz")]) == 1
    rule = f"must hold images of 1x8x8 to fit {model}, got 1x9x8 (image files would be resized)"
    assert capsys.readouterr().err == f"error: {tmp_path / 's.npz'} {rule}\n"


def test_summary_predicts_the_peak_of_training(
    capsys: pytest.CaptureFixture[str], model: Path
) -> None:
    arguments = ["--batch-size", "32", "--images", "500", "--threads", "1"]
    before = cp.get_num_threads()
    try:
        for name, optimizer in (("keras-mnist", "adamw"), (str(model), "adamw")):
            assert cli.run(["summary", name, *arguments]) == 0
            shown = capsys.readouterr().out
            assert_fits(shown)
            assert "\nTraining in batches of 32, threads: 1 " in shown
            assert re.search(rf"^weights: copies, {optimizer} +[\d,]+ B$", shown, re.M)
            assert re.search(r"^images and labels \(500\) +[\d,]+ B$", shown, re.M)
    finally:
        cp.set_num_threads(before)
    assert cli.run(["summary", "lenet5", "--images", "5"]) == 2
    assert capsys.readouterr().err == "error: --images must come with --batch-size\n"


@pytest.mark.parametrize("command", ["check", "evaluate", "predict", "profile", "summary"])
def test_every_command_that_computes_takes_threads(
    capsys: pytest.CaptureFixture[str],
    model: Path,
    stripes_file: Path,
    stripes_folder: Path,
    command: str,
) -> None:
    data = {"evaluate": [stripes_file], "predict": [stripes_folder]}
    before = cp.get_num_threads()
    try:
        words = [command, model, *data.get(command, []), "--threads", before + 1]
        assert cli.run([*map(str, words)]) == 0
        assert cp.get_num_threads() == before + 1
    finally:
        cp.set_num_threads(before)


def bit_rows(differing: list[str]) -> list[BitRow]:
    right, wrong = "0123456789abcdef" * 4, "fedcba9876543210" * 4
    found = wrong if differing else right
    return [
        BitRow("x86_64_v4", "conv", [1, 2, 3, 7], 258, right, right, []),
        BitRow("x86_64_v3", "conv", [1, 2, 7], 258, right, right, []),
        BitRow("x86_64_v3", "conv", [3], 258, found, right, differing),
        BitRow("x86_64_v3", "convolutional-40-float64", [1, 2, 3, 7], 1, right, right, []),
    ]


def test_check_bits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    monkeypatch.setattr(
        check_command, "check_every_engine", lambda count: steps.append(count) or bit_rows([])
    )
    assert cli.run(["check", "--bits"]) == 0
    shown = capsys.readouterr().out
    assert_fits(shown)
    lines = shown.splitlines()
    assert re.sub(" +", " ", lines[0]) == "engine for x86_64_v4 threads this machine recorded"
    same = "0123456789 0123456789 ok"
    assert re.sub(" +", " ", lines[1]) == f" conv 258 results 1 2 3 7 {same}"
    assert re.sub(" +", " ", lines[6]) == f" convolutional-40-float64 2 steps 1 2 3 7 {same}"
    assert lines[-1] == "result    the same bits as recorded"

    assert cli.run(["check", "--bits", "--full", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["steps"], record["same"], len(record["rows"])) == (200, True, 4)
    assert record["rows"][1]["threads"] == [1, 2, 7]
    assert record["rows"][1]["found"] == "0123456789abcdef" * 4
    assert steps == [2, 200]


def test_check_bits_fails_when_any_differ(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = bit_rows(["1x1 forward float32", "1x1 forward float64", "same forward float32"])
    monkeypatch.setattr(check_command, "check_every_engine", lambda steps: rows)
    assert cli.run(["check", "--bits"]) == 1
    shown = capsys.readouterr().out
    assert_fits(shown)
    assert "\n    differs in 1x1 forward float32 and 2 others\n" in shown
    assert re.search(r" 3 +fedcba9876 +0123456789 +FAILS$", shown, re.M)
    assert shown.endswith("\nresult    1 line of 4 DIFFERS\n")
    assert cli.run(["check", "--bits", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["same"] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("lenet5 --bits", "MODEL cannot be given with --bits, which has networks of its own"),
        ("--full", "--full can be given with --bits only"),
        ("lenet5 --json", "--json can be given with --bits only"),
    ],
)
def test_check_refuses_options_that_do_not_fit(
    capsys: pytest.CaptureFixture[str], options: str, message: str
) -> None:
    assert cli.run(["check", *options.split()]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"error: {message}\n")
