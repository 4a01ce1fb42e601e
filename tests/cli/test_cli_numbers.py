"""Commands with a network that predicts numbers: they are printed, and measured as such."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import assert_fits, unfolded
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import convprop as cp
from convprop.cli import app as cli

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (60, 8, 8), dtype=np.uint8)
BRIGHT = 1000 + IMAGES.mean(axis=(1, 2))
BOTH = np.column_stack([BRIGHT, -IMAGES[:, 0].mean(axis=1) / 1000])


@pytest.fixture(scope="module", params=[1, 2])
def learned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, cp.ConvNetRegressor, np.ndarray]:
    """A model file, an .npz file, the regressor that was saved, and its targets (N, K)."""
    folder = tmp_path_factory.mktemp("numbers")
    y = BRIGHT if request.param == 1 else BOTH
    net = cp.ConvNetRegressor([cp.Dense(request.param)], epochs=20, random_state=0).fit(IMAGES, y)
    net.network_.save(folder / "net")
    np.savez(folder / "numbers.npz", images=IMAGES, labels=y)
    for n in range(3):
        Image.fromarray(IMAGES[n]).save(folder / f"{n};.png")
    return folder / "net", folder / "numbers.npz", net, y.reshape(60, -1)


@pytest.mark.parametrize(("offset", "scale"), [(1.7e9, 30), (-1e13, 1), (0, 1e-9), (5, 1e9)])
def test_predict_prints_as_many_digits_as_tell_the_numbers_apart(
    offset: float, scale: float, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    y = offset + scale * (BRIGHT - BRIGHT.mean()) / BRIGHT.std()
    net = cp.ConvNetRegressor([cp.Dense(1)], epochs=5, random_state=0).fit(IMAGES, y)
    net.network_.save(tmp_path / "net")
    np.savez(tmp_path / "numbers.npz", images=IMAGES, labels=y)
    assert cli.run(["predict", str(tmp_path / "net"), str(tmp_path / "numbers.npz")]) == 0
    shown = [float(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    np.testing.assert_allclose(shown, net.predict(IMAGES), rtol=0, atol=1e-5 * scale + 2e-3)
    assert len(set(shown)) > 50


def test_predict_takes_arrays_without_labels(
    learned: tuple[Path, Path, cp.ConvNetRegressor, np.ndarray],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    model, _, net, _ = learned
    np.savez(tmp_path / "new.npz", images=IMAGES[:3])
    assert cli.run(["predict", str(model), str(tmp_path / "new.npz"), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["outputs"] for record in records] == net.predict(IMAGES[:3]).reshape(
        3, -1
    ).tolist()
    assert cli.run(["evaluate", str(model), str(tmp_path / "new.npz")]) == 1
    assert "must hold an array named labels, got images" in capsys.readouterr().err


def test_grey_arrays_of_another_size_are_told_in_their_own_shape(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cp.Network([cp.Dense(2)], (3, 4, 4)).save(tmp_path / "net")
    np.savez(tmp_path / "new.npz", images=IMAGES, labels=np.arange(60) % 2)
    assert cli.run(["evaluate", str(tmp_path / "net"), str(tmp_path / "new.npz")]) == 1
    assert "images of 3x4x4 to fit" in (said := unfolded(capsys.readouterr().err))
    assert "got 1x8x8" in said


@pytest.mark.parametrize("columns", [1, 3])
def test_numbers_that_are_no_classes_are_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, columns: int
) -> None:
    """A network of the squared error may have been taught classes, but not by fractions."""
    cp.Network([cp.Dense(2)], (1, 8, 8), cp.SquaredError()).save(tmp_path / "net")
    np.savez(tmp_path / "new.npz", images=IMAGES, labels=RANDOM.random((60, columns)))
    assert cli.run(["evaluate", str(tmp_path / "net"), str(tmp_path / "new.npz")]) == 1
    said = unfolded(capsys.readouterr().err)
    assert f"must hold 2 numbers for each image to fit {tmp_path / 'net'}, got {columns}" in said


def test_predict_prints_no_minus_zero(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    network = cp.Network([cp.Dense(1)], (1, 8, 8), cp.SquaredError())
    network.parameters["dense1.weight"][...] = 0.0
    network.parameters["dense1.bias"][...] = -0.0
    network.save(tmp_path / "net")
    Image.fromarray(IMAGES[0]).save(tmp_path / "0.png")
    assert cli.run(["predict", str(tmp_path / "net"), str(tmp_path / "0.png")]) == 0
    assert capsys.readouterr().out.split()[0] == "0"


def test_predict_prints_all_numbers(
    learned: tuple[Path, Path, cp.ConvNetRegressor, np.ndarray],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    model, _, net, y = learned
    said = net.predict(IMAGES[:3]).reshape(3, -1)
    files = [str(model.parent / f"{n};.png") for n in range(3)]
    arguments = ["predict", str(model), *files]

    assert cli.run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, values, file in zip(lines, said, files, strict=True):
        *numbers, name = line.split()
        assert name == file
        assert [float(text) for text in numbers] == pytest.approx(values.tolist(), rel=1e-6)

    assert cli.run([*arguments, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records == [
        {"file": file, "outputs": values.tolist()} for file, values in zip(files, said, strict=True)
    ]

    assert cli.run([*arguments, "--csv"]) == 0
    head, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["file", *(f"output_{n + 1}" for n in range(y.shape[1]))]
    assert [row[0] for row in rows] == files
    assert [list(map(float, row[1:])) for row in rows] == said.tolist()

    assert cli.run([*arguments, "--out", str(tmp_path / "said.csv")]) == 0
    assert (tmp_path / "said.csv").read_text().splitlines()[0] == ",".join(head)


def test_predict_reads_the_images_of_an_array_file(
    learned: tuple[Path, Path, cp.ConvNetRegressor, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    model, numbers, net, _ = learned
    assert cli.run(["predict", str(model), str(numbers), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["outputs"] for r in records] == net.predict(IMAGES).reshape(60, -1).tolist()


def test_evaluate_measures_numbers(
    learned: tuple[Path, Path, cp.ConvNetRegressor, np.ndarray],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, numbers, net, y = learned
    # What is said of the data has its name, which is to fit however long the folder's is.
    monkeypatch.chdir(numbers.parent)
    assert cli.run(["evaluate", str(model), numbers.name, "--json"]) == 0
    shown = capsys.readouterr()
    record = json.loads(shown.out)
    said = net.predict(IMAGES).reshape(60, -1)
    outputs = [list(found.values())[1:] for found in record["outputs"]]
    for true, predicted, measures in zip(y.T, said.T, outputs, strict=True):
        wanted = [
            measure(true, predicted)
            for measure in (r2_score, mean_absolute_error, root_mean_squared_error)
        ]
        assert measures == pytest.approx(wanted, rel=1e-4)
    assert record["r2"] == pytest.approx(net.score(IMAGES, y), rel=1e-4)
    assert record["mean_absolute_error"] == pytest.approx(mean_absolute_error(y, said), rel=1e-4)
    assert "accuracy" not in shown.err + shown.out
    assert_fits(shown.err)
    mean = "" if y.shape[1] == 1 else "mean "
    assert f"\nresult    {mean}R² {record['r2']:.4f}" in shown.err
    assert (record["images"], record["images_in_data"]) == (60, 60)


def test_inspect_and_summary_tell_of_the_numbers(
    learned: tuple[Path, Path, cp.ConvNetRegressor, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    model, _, net, y = learned
    assert cli.run(["inspect", str(model), "--json"]) == 0
    scaling = json.loads(capsys.readouterr().out)["description"]["target_scaling"]
    assert scaling == {"offset": net.target_mean_.tolist(), "scale": net.target_scale_.tolist()}
    assert cli.run(["inspect", str(model)]) == 0
    shown = unfolded(capsys.readouterr().out)
    assert ", format version 2\n" in shown
    assert f"\noutputs   times {'(' if y.shape[1] > 1 else ''}{net.target_scale_[0]:.7g}" in shown
    assert cli.run(["summary", str(model)]) == 0
    what = "1 number" if y.shape[1] == 1 else "2 numbers"
    assert f"\npredicts  {what} of an image\n" in capsys.readouterr().out


@pytest.mark.parametrize("with_data", [False, True])
def test_profile(
    learned: tuple[Path, Path, cp.ConvNetRegressor, np.ndarray],
    capsys: pytest.CaptureFixture[str],
    with_data: bool,
) -> None:
    model, numbers, _, _ = learned
    data = [str(numbers)] if with_data else []
    assert cli.run(["profile", str(model), *data, "--steps", "1"]) == 0
    said = "numbers.npz: 48 training images" if with_data else "60 random images"
    assert said in unfolded(capsys.readouterr().out)


def test_what_does_not_fit_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_folder: Path
) -> None:
    net = cp.Network([cp.Dense(2)], (1, 8, 8), cp.SquaredError())
    net.target_scaling = [0, 0], [1, 1]
    model, numbers = str(tmp_path / "net"), str(tmp_path / "numbers.npz")
    net.save(model)
    np.savez(numbers, images=IMAGES, labels=BRIGHT)
    rule = f"must hold 2 numbers for each image to fit {model}, got 1"
    for line, message in (
        (["evaluate", model, numbers], f"{numbers} {rule}"),
        (["evaluate", model, "digits"], f"digits {rule}"),
        (["profile", model, numbers], f"{numbers} {rule}"),
        (
            ["evaluate", model, str(stripes_folder)],
            f"{stripes_folder} must hold numbers to predict (an .npz file can), got files of"
            " images",
        ),
        (
            ["explore", model],
            f"{model} must be a network that tells classes apart, which the page can show, got one"
            " that predicts numbers: convprop predict shows them, convprop evaluate how near they"
            " come, and in Python Network.explore its raw outputs",
        ),
        (
            ["train", numbers],
            f"{numbers} must have labels that are integers or strings of shape (N,), got dtype"
            " float64 and shape (60,) (numbers to predict are for ConvNetRegressor or"
            " convprop.train)",
        ),
    ):
        assert cli.run(line) == 1
        assert capsys.readouterr().err == f"error: {message}\n"


def test_a_network_that_the_squared_error_has_taught_classes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    """Without names its outputs are printed; labels still tell how often it is right."""
    net = cp.Network([cp.Dense(2)], (1, 8, 8), cp.SquaredError())
    labels = np.arange(60) % 2
    np.savez(tmp_path / "data.npz", images=IMAGES, labels=labels)
    net.save(tmp_path / "net")
    data = str(tmp_path / "data.npz")
    assert cli.run(["evaluate", str(tmp_path / "net"), data, "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)["accuracy"]
    assert accuracy == net.evaluate(IMAGES, labels).accuracy
    net.class_names = ["even", "odd"]
    net.save(tmp_path / "net")
    assert cli.run(["predict", str(tmp_path / "net"), data]) == 0
    assert capsys.readouterr().out.split()[0] in ("even", "odd")
