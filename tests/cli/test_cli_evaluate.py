"""`convprop evaluate`: which images it takes, what it says of how many, and of what kinds."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import stripes, unfolded

import convprop as cp
from convprop.cli import app as cli


def said(capsys: pytest.CaptureFixture[str], *line: str | Path) -> tuple[str, dict]:
    """Return the line about the data, and the record."""
    assert cli.run(["evaluate", *map(str, line), "--json"]) == 0
    shown = capsys.readouterr()
    return unfolded(shown.err).splitlines()[0], json.loads(shown.out)


def folder_of(path: Path, count: int, mode: str = "L", names: tuple[str, ...] = ("lying",)) -> Path:
    """Write images of 16 x 16 pixels, so many of each class."""
    images, labels = stripes(2 * count)
    for label, name in enumerate(("lying", "standing")):
        for n, image in enumerate(images[labels == label] if name in names else ()):
            (path / name).mkdir(parents=True, exist_ok=True)
            file = path / name / f"{n}.png"
            Image.fromarray(image).resize((16, 16), 0).convert(mode).save(file)
    return path


def test_all_that_is_given_is_taken_unless_it_has_a_test_part(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    model: Path,
    stripes_file: Path,
    stripes_folder: Path,
) -> None:
    for source, count in ((stripes_folder, 20), (stripes_file, 100)):
        line, record = said(capsys, model, source)
        assert line == f"data      {source}: {count} of {count} images"
        assert (record["images"], record["images_in_data"]) == (count, count)
        assert record["part"] == "all"
        assert np.sum(record["confusion"]) == count
        line, record = said(capsys, model, source, "--part", "test")
        hold = "those that training on it would hold back"
        assert line == f"data      {source}: {count // 5} of {count} images ({hold})"
    both = ("lying", "standing")
    folder_of(tmp_path / "parts" / "train", 4, names=both)
    folder_of(tmp_path / "parts" / "val", 3, names=both)
    for part, line in (
        ([], "6 of 14 images (its test part)"),
        (["--part", "train"], "8 of 14 images (its training part)"),
        (["--part", "all"], "14 of 14 images"),
    ):
        assert said(capsys, model, tmp_path / "parts", *part)[0].endswith(f": {line}")


def test_parts_measured_together_are_the_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    images, labels = stripes(30)
    images[::3] = images[::3].transpose(0, 2, 1)  # So that some are mistaken.
    labels = np.array(["lying", "standing"])[labels]
    np.savez(tmp_path / "one.npz", images=images, labels=labels)
    parts = {"images": images[:20], "labels": labels[:20]}
    parts |= {"test_images": images[20:], "test_labels": labels[20:]}
    np.savez(tmp_path / "two.npz", **parts)
    one, two = (
        said(capsys, model, tmp_path / name, "--part", "all")[1] for name in ("one.npz", "two.npz")
    )
    assert 0 < one["accuracy"] < 1
    for name in ("accuracy", "confusion", "images", "images_in_data"):
        assert one[name] == two[name]
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-12)


@pytest.mark.parametrize("option", [[], ["--stream"]])
def test_a_folder_of_one_class_and_its_folder_itself(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, option: list[str]
) -> None:
    folder_of(tmp_path, 3)
    for source in (tmp_path, tmp_path / "lying"):
        line, record = said(capsys, model, source, *option)
        assert line == f"data      {source}: 3 of 3 images"
        assert record["confusion"] == [[3, 0], [0, 0]]
        assert cli.run(["profile", str(model), str(source), "--steps", "1"]) == 0
        assert f"{source}: 2 training images" in unfolded(capsys.readouterr().out)


@pytest.mark.parametrize(("own", "given"), [(1, "RGB"), (3, "L"), (3, "RGBA"), (4, "L")])
def test_the_images_get_the_model_s_channels(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, own: int, given: str
) -> None:
    folder = folder_of(tmp_path / "images", 4, given, ("lying", "standing"))
    net = cp.Network([cp.Dense(2)], (own, 8, 8))
    net.class_names = ["lying", "standing"]
    net.save(tmp_path / "net")
    for option in ([], ["--stream"]):
        assert said(capsys, tmp_path / "net", folder, *option)[1]["images"] == 8


def test_grey_arrays_are_coloured_for_a_model(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    net = cp.Network([cp.Dense(2)], (3, 8, 8))
    net.class_names = ["lying", "standing"]
    net.save(tmp_path / "net")
    _, record = said(capsys, tmp_path / "net", stripes_file)
    whole = cp.data.load(stripes_file, test_fraction=0).train
    coloured = np.repeat(whole.images, 3, axis=1)
    assert record["accuracy"] == net.evaluate(coloured, whole.labels).accuracy


def test_files_left_out_are_counted_in_the_line_about_the_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    folder_of(tmp_path, 20, names=("lying", "standing"))
    Image.new("L", (8, 8)).save(tmp_path / "lying" / "moving.gif")
    (tmp_path / "notes.txt").write_text("seen in May")
    left_out = "2 files left out (not PNG, JPEG, BMP, TIFF or WebP)"
    assert said(capsys, model, tmp_path)[0].endswith(f": 40 of 40 images, {left_out}")
    quick = ["--epochs", "1", "--size", "8"]
    for line in (
        ["train", str(tmp_path), *quick],
        ["search", str(tmp_path), *quick, "--candidates", "1", "--folds", "2"],
        ["find-rate", str(tmp_path), "--size", "8", "--steps", "20"],
        ["show", str(tmp_path), "--images", "1", "--out", str(tmp_path / "sheet.png")],
        ["profile", "digits", str(tmp_path), "--size", "8", "--steps", "1"],
    ):
        cli.run(line)
        shown = unfolded(capsys.readouterr().out)
        about = next(row for row in shown.splitlines() if str(tmp_path) in row)
        assert about.split(", ", 1)[1].endswith(left_out), line[0]
        (tmp_path / "sheet.png").unlink(missing_ok=True)


def test_it_says_where_it_was_trained_on_the_images(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path, model: Path
) -> None:
    assert cli.run(["evaluate", str(model), str(stripes_file)]) == 0
    said_by = f"\ntrained   on {stripes_file} by {model}.toml"
    note = f"{said_by}, --part test measures those that it held back\n"
    assert note in unfolded(capsys.readouterr().out)
    assert cli.run(["evaluate", str(model), str(stripes_file), "--part", "test"]) == 0
    assert "\ntrained " not in capsys.readouterr().out
    other = tmp_path / "other.npz"
    other.write_bytes(stripes_file.read_bytes())
    assert cli.run(["evaluate", str(model), str(other)]) == 0
    assert "\ntrained " not in capsys.readouterr().out


def test_a_known_set_has_a_test_part(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    net = cp.Network([cp.Dense(10)], (1, 8, 8))
    net.save(tmp_path / "net")
    line, _ = said(capsys, tmp_path / "net", "digits")
    assert line == "data      digits: 359 of 1,797 images (its test part)"


def test_mistakes_say_which_is_the_truth(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, stripes_file: Path
) -> None:
    """Of two classes by one output, and by two."""
    for outputs, loss in ((1, cp.BinaryCrossEntropy()), (2, cp.SoftmaxCrossEntropy())):
        net = cp.Network([cp.Dense(outputs)], (1, 8, 8), loss)
        net.class_names = ["lying", "standing"]
        net.parameters["dense1.weight"][...] = 0
        net.parameters["dense1.bias"][...] = [1e3, -1e3][-outputs:] if outputs == 2 else [-1e3]
        net.save(tmp_path / "net")
        assert cli.run(["evaluate", str(tmp_path / "net"), str(stripes_file)]) == 0
        shown = capsys.readouterr().out
        assert "\nmistakes  50 of 100, true standing called lying (50x)\n" in shown
        assert re.search(r"^result    accuracy 50\.00 %, loss ", shown, re.M)


def test_what_cannot_be_read_is_among_how_many(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    folder_of(tmp_path, 3)
    (tmp_path / "lying" / "torn.png").write_bytes(b"no image")
    line, record = said(capsys, model, tmp_path, "--skip-unreadable")
    assert line == f"data      {tmp_path}: 3 of 4 images"
    assert (record["images"], record["images_in_data"]) == (3, 4)


def test_predict_counts_what_it_leaves_out_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path
) -> None:
    folder_of(tmp_path, 3)
    Image.new("L", (8, 8)).save(tmp_path / "moving.gif")
    (tmp_path / "lying" / "notes.txt").write_text("seen in May")
    assert cli.run(["predict", str(model), str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert shown.err == "others    2 files left out (not PNG, JPEG, BMP, TIFF or WebP)\n"
    assert cli.run(["predict", str(model), str(tmp_path / "lying" / "0.png")]) == 0
    assert capsys.readouterr().err == ""
