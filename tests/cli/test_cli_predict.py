"""`convprop predict` on folders, patterns and data sets, and what it writes."""

import csv
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runs import command, run, stripes, unfolded

import convprop as cp
from convprop.cli import app as cli
from convprop.cli import predict as predict_module
from convprop.cli import signals

NAMES = ["plain.png", "a,b.png", 'quo"te.png', "new\nline.png", "semi;colon.png", "re\rturn.png"]
FORMULAS = ["=1+1.png", "+cmd.png", "-x.png", "@y.png", "\ttab.png"]


def pictures(folder: Path, names: list[str]) -> None:
    images, _ = stripes(len(names))
    for name, image in zip(names, images, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)


def rows(path: Path, **options: str) -> list[list[str]]:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file, **options))


def test_every_name_of_a_file_comes_back_from_the_table(tmp_path: Path, model: Path) -> None:
    names = [*NAMES, os.fsdecode(b"\xff\xfe.png")]
    pictures(tmp_path / "in", names)
    assert (
        cli.run(["predict", str(model), str(tmp_path / "in"), "--out", str(tmp_path / "o.csv")])
        == 0
    )
    head, *body = rows(tmp_path / "o.csv")
    assert head == ["file", "label", "probability"]
    wanted = sorted(os.fsencode(tmp_path / "in" / name) for name in names)
    assert [os.fsencode(row[0]) for row in body] == wanted
    assert {len(row) for row in body} == {3}
    # A reader that divides at semicolons, as some countries' spreadsheets do, divides no name.
    semicolon = [row[0] for row in rows(tmp_path / "o.csv", delimiter=";") if "semi" in row[0]]
    assert semicolon[0].startswith(str(tmp_path / "in" / "semi;colon.png"))


def test_no_cell_begins_as_a_formula_does(
    tmp_path: Path, stripes_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path, FORMULAS)
    monkeypatch.chdir(tmp_path)
    net = cp.Network([cp.Dense(3)], (1, 8, 8))
    net.class_names = ["=HYPERLINK(1)", "-1", "＝x"]
    net.save("net")
    assert cli.run(["predict", "net", "*.png", "--out", "o.csv", "--top", "3"]) == 0
    _, *body = rows(Path("o.csv"))
    assert len(body) == len(FORMULAS)
    assert all(Path(row[0]).exists() for row in body)
    assert {row[0][:2] for row in body} == {"./"}
    assert {label for row in body for label in row[1::2]} == {"'=HYPERLINK(1)", "-1", "'＝x"}


def test_patterns_are_quoted_or_the_shell_s(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a/1.png", "a/deep/2.png", "b.png", "c/3.png", "[x]/4.png"]
    pictures(tmp_path, names)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    os.symlink(tmp_path / "a", tmp_path / "a" / "deep" / "again")
    monkeypatch.chdir(tmp_path)

    def found(*patterns: str) -> list[str]:
        assert cli.run(["predict", str(model), *patterns, "--json"]) == 0
        return [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]

    assert found("*.png") == ["b.png"]
    assert found("[ac]/*.png", "b.png") == ["a/1.png", "c/3.png", "b.png"]
    assert found("[x]") == ["[x]/4.png"]
    # Folders that match are gone through, each file once.
    assert found("*") == sorted(names, key=os.fsencode)
    assert found("a") == ["a/1.png", "a/deep/2.png"]
    assert found("c/**/*.png") == ["c/3.png"]
    assert cli.run(["predict", str(model), "*.tif"]) == 1
    rule = "*.tif must match a file or a folder, got none that it matches"
    assert capsys.readouterr() == ("", f"error: {rule}\n")


@pytest.mark.parametrize(
    "words", ["M --top 2 A B", "M A --top 2 B", "--top 2 M A B", "M A B --top 2"]
)
def test_options_may_stand_anywhere(
    capsys: pytest.CaptureFixture[str], model: Path, stripes_folder: Path, words: str
) -> None:
    files = [str(stripes_folder / name / "0{}.png") for name in ("lying", "standing")]
    given = {"M": str(model), "A": files[0].format(0), "B": files[1].format(1)}
    assert cli.run(["predict", *(given.get(word, word) for word in words.split())]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["lying", "standing"]
    assert [line.split()[-1] for line in lines] == [given["A"], given["B"]]
    assert all(line.count(" %  ") == 2 for line in lines)


def test_several_labels_an_image(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_folder: Path
) -> None:
    net = cp.Network([cp.Dense(4)], (1, 8, 8), seed=3)
    net.class_names = ["one", "two", "three", "four"]
    net.save(tmp_path / "net")
    file = str(stripes_folder / "lying" / "00.png")
    arguments = ["predict", str(tmp_path / "net"), file]

    assert cli.run([*arguments, "--json", "--all-probabilities"]) == 0
    every = json.loads(capsys.readouterr().out)["probabilities"]
    assert list(every) == list(net.class_names)
    ranked = sorted(every.items(), key=lambda pair: -pair[1])

    assert cli.run([*arguments, "--json", "--top", "2"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert list(record["probabilities"].items()) == ranked[:2]
    assert (record["label"], record["probability"]) == ranked[0]

    assert cli.run([*arguments, "--top", "3"]) == 0
    words = capsys.readouterr().out.split()
    assert words[::3][:3] == [name for name, _ in ranked[:3]]
    assert words[-1] == file

    assert cli.run([*arguments, "--csv", "--top", "2"]) == 0
    head, body = csv.reader(capsys.readouterr().out.splitlines())
    assert head[3:] == ["label_2", "probability_2"]
    assert body[1::2] == [name for name, _ in ranked[:2]]

    assert cli.run([*arguments, "--csv", "--all-probabilities"]) == 0
    head, body = csv.reader(capsys.readouterr().out.splitlines())
    assert head[3:] == [f"probability of {name}" for name in net.class_names]
    assert [float(cell) for cell in body[3:]] == list(every.values())

    assert cli.run([*arguments, "--top", "2", "--all-probabilities"]) == 2
    assert capsys.readouterr().err == "error: --top must not come with --all-probabilities\n"

    for option in (["--top", "2"], ["--all-probabilities"]):
        cp.Network([cp.Dense(4)], (1, 8, 8), cp.SquaredError()).save(tmp_path / "net")
        assert cli.run([*arguments, *option]) == 1
        rule = f"{option[0]} must come with a model whose loss gives probabilities"
        assert capsys.readouterr().err == f"error: {rule}, got SquaredError()\n"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "txt"])
def test_the_ending_says_how_to_write(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    model: Path,
    stripes_folder: Path,
    ending: str,
) -> None:
    out = tmp_path / f"out.{ending}"
    assert cli.run(["predict", str(model), str(stripes_folder), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("saved     20 images in ")
    first = {"csv": "file,label,", "jsonl": '{"file": ', "txt": "lying  "}[ending]
    assert out.read_text().startswith(first)
    option = {"csv": ["--csv"], "jsonl": ["--json"], "txt": []}[ending]
    assert cli.run(["predict", str(model), str(stripes_folder), *option]) == 0
    assert capsys.readouterr().out == out.read_text()


def test_an_output_that_cannot_be_written_is_found_first(tmp_path: Path) -> None:
    out = tmp_path / "none" / "o.csv"
    result = run("predict", tmp_path / "no-model", "x.png", "--out", out)
    message = f"--out must name a file that can be written, got {out} (no such file or directory)"
    assert (result.returncode, result.stderr) == (1, f"error: {message}\n")


def test_test_images_of_a_data_set(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, stripes_file: Path
) -> None:
    assert cli.run(["predict", str(model), str(stripes_file), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    whole = cp.data.load(stripes_file, test_fraction=0).train
    files = [record["file"] for record in records]
    assert files == [f"{stripes_file} image {n}" for n in range(100)]
    named = [whole.class_names[n] for n in cp.load(model).predict_classes(whole.images)]
    assert [record["label"] for record in records] == named
    images, labels = stripes(40)
    for name, array in (("images", images), ("labels", labels)):
        np.save(tmp_path / f"{name}.npy", array)
    assert cli.run(["predict", str(model), str(tmp_path)]) == 0
    assert f"  {tmp_path} image 39\n" in capsys.readouterr().out
    for name, array in (("test_images", images[:9]), ("test_labels", labels[:9])):
        np.save(tmp_path / f"{name}.npy", array)
    assert cli.run(["predict", str(model), str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"  {tmp_path} test 8\n" in shown
    assert len(shown.splitlines()) == 9
    for name in ("test_images", "test_labels"):
        (tmp_path / f"{name}.npy").unlink()
    np.save(tmp_path / "class_names.npy", np.array(["lying", "standing"]))
    assert cli.run(["evaluate", str(model), str(tmp_path)]) == 0
    assert f"{tmp_path}: 40 of 40 images\n" in capsys.readouterr().out
    arguments = ["profile", str(model), str(tmp_path), "--steps", "1", "--batch-size", "1"]
    assert cli.run(arguments) == 0
    assert "32 training images" in unfolded(capsys.readouterr().out)


def test_lines_are_written_while_images_are_read(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last file cannot be read, which is found when the others' lines are written."""
    pictures(tmp_path, [f"{n:03}.png" for n in range(128)])
    (tmp_path / "zzz.png").write_bytes(b"no image")
    assert cli.run(["predict", str(model), str(tmp_path), "--csv"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith(f"error: {tmp_path / 'zzz.png'} must be a ")
    assert len(shown.out.splitlines()) == 1 + 128


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path, model: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    for n in range(1, 3000):
        os.link(tmp_path / "0.png", tmp_path / f"{n}.png")
    cp.Network([cp.AveragePool("global"), cp.Dense(2)], (3, 128, 128)).save(tmp_path / "net")
    measure = (
        "import sys; from convprop.cli.app import run\n"
        "from convprop.machine.memory import peak_memory\n"
        "status = run(sys.argv[1:]); print(status, peak_memory())"
    )
    peaks = []
    for pattern in ("1??.png", "*.png"):
        arguments = ("predict", tmp_path / "net", tmp_path / pattern, "--out", tmp_path / "o.csv")
        words = [sys.executable, "-c", measure, *command(arguments)[3:]]
        result = subprocess.run(words, capture_output=True, text=True, check=True)
        status, peak = result.stdout.split()
        assert status == "0"
        peaks.append(int(peak))
    assert len(rows(tmp_path / "o.csv")) == 3001
    # All images at once would be 147 million bytes.
    assert peaks[1] - peaks[0] < 30e6


@pytest.mark.parametrize("given", ["pipe.png", "."])
def test_a_pipe_is_not_waited_for(given: str, tmp_path: Path) -> None:
    images, labels = stripes(30)
    net = cp.Network([cp.Dense(3)], (1, *images.shape[1:]))
    cp.train(net, images, labels, epochs=1)
    net.save(tmp_path / "net.safetensors")
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "pipe.png")
    words = [sys.executable, "-m", "convprop", "predict", str(tmp_path / "net.safetensors"), given]
    finished = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == (
        "error: pipe.png must be a file, got a pipe\n"
        "--skip-unreadable leaves out what cannot be read.\n"
    )


def test_what_cannot_be_looked_into_is_named_or_left_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, stripes_folder: Path
) -> None:
    shutil.copytree(stripes_folder / "lying", tmp_path / "lying")
    loops = [tmp_path / "lying" / "loop.png", tmp_path / "ring"]
    for loop in loops:
        loop.symlink_to(loop.name)
    arguments = ["predict", str(model), str(tmp_path)]
    assert cli.run(arguments) == 1
    assert capsys.readouterr().err == (
        f"error: {loops[0]} must be a readable image, got an error: Too many levels of symbolic"
        " links\n--skip-unreadable leaves out what cannot be read.\n"
    )
    assert cli.run([*arguments, "--skip-unreadable"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == len(list((stripes_folder / "lying").iterdir()))
    assert shown.err.splitlines() == [
        "skipped   2 unreadable files:",
        *(f"          {loop}" for loop in loops),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
@pytest.mark.parametrize("when", ["it reads", "it predicts"])
def test_a_signal_is_answered_by_what_is_written(
    tmp_path: Path,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    when: str,
) -> None:
    data = tmp_path / "some.npz"
    np.savez(data, images=stripes(200)[0])
    words = ["predict", str(model), str(data)]
    assert cli.run(words) == 0
    whole = capsys.readouterr().out.splitlines()
    # What is read is not yet written; what is being predicted will be.
    done = 64 if when == "it reads" else 128
    read, predict = predict_module._images, cp.Network.predict

    def images(*arguments: Any) -> Iterator[Any]:
        for count, chunk in enumerate(read(*arguments)):
            if count == 1 and when == "it reads":
                os.kill(os.getpid(), number)
            yield chunk

    predicted: list[int] = []

    def predicting(network: cp.Network, images: np.ndarray) -> np.ndarray:
        predicted.append(len(images))
        if len(predicted) == 2 and when == "it predicts":
            os.kill(os.getpid(), number)
        return predict(network, images)

    monkeypatch.setattr(predict_module, "_images", images)
    monkeypatch.setattr(cp.Network, "predict", predicting)
    assert cli.run(words) == 128 + number
    shown = capsys.readouterr()
    assert shown.out.splitlines() == whole[:done]
    stopped = f"stopped   by {signals.NAMES[number]} after {done} images,"
    assert unfolded(shown.err) == f"{stopped} written to stdout\n"
    predicted.clear()
    out = tmp_path / "out.csv"
    out.write_text("before")
    assert cli.run([*words, "--out", str(out)]) == 128 + number
    shown = capsys.readouterr()
    rest = f"which are not in {out}: it is written as a whole\n"
    assert (shown.out, unfolded(shown.err)) == ("", f"{stopped} {rest}")
    assert out.read_text() == "before"
    assert sorted(tmp_path.iterdir()) == [out, data]


def test_idx_files_need_no_labels(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, _ = stripes(20)
    head = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(head + images.tobytes())
    assert cli.run(["predict", str(model), str(tmp_path), "--csv"]) == 0
    labels = [line.split(",")[1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert labels == ["lying", "standing"] * 10
    assert cli.run(["evaluate", str(model), str(tmp_path)]) == 1
    assert "must hold t10k-labels-idx1-ubyte" in capsys.readouterr().err
