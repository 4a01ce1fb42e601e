"""Many classes and long names: what is shown of them is bounded, JSON has them whole."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from runs import stripes

import convprop as cp
from convprop.cli import app as cli
from convprop.data.dataset import MOST_NAMED
from convprop.report import sheet
from convprop.report.classification import MOST_LISTED, classes_section
from convprop.report.confusion import confusion_section
from convprop.report.measure import Measured

MOST_TEXT = 5000
"""Characters: some sixty lines of a terminal."""


def data(path: Path, names: list[str]) -> Path:
    images, labels = stripes(30)
    np.savez(path, images=images, labels=labels, class_names=names)
    return path


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Data whose classes have names of 50,000 characters, a network and a report of it."""
    folder = tmp_path_factory.mktemp("long")
    file = data(folder / "long.npz", [letter * 50_000 for letter in "ab"])
    model, report = folder / "model", folder / "report.html"
    words = ["train", str(file), "--epochs", "1", "--out", str(model), "--report", str(report)]
    assert cli.run(words) == 0
    return file, model, report


@pytest.mark.parametrize(
    "line",
    [
        "evaluate MODEL DATA",
        "predict MODEL DATA",
        "predict MODEL DATA --all-probabilities",
        "inspect MODEL",
        "summary MODEL",
        "train DATA --epochs 1",
        "show DATA --out OUT.png",
        "show DATA --out OUT.html",
        "show DATA --class x",
        "search DATA --folds 29",
        "evaluate MODEL digits",
    ],
)
def test_long_names_are_abbreviated(
    tmp_path: Path,
    long_names: tuple[Path, Path, Path],
    capsys: pytest.CaptureFixture[str],
    line: str,
) -> None:
    file, model, _ = long_names
    words = line.replace("MODEL", str(model)).replace("DATA", str(file)).split()
    assert cli.run([word.replace("OUT", str(tmp_path / "out")) for word in words]) in (0, 1, 2)
    shown = "".join(capsys.readouterr())
    # A line an image says of each what it says.
    assert 0 < len(shown) < MOST_TEXT * (3 if words[0] == "predict" else 1)
    for page in tmp_path.glob("*.html"):
        assert len(page.read_text()) < 1e6
        assert "more characters) ..." in page.read_text()


def test_pages_abbreviate_long_names_and_json_has_them_whole(
    long_names: tuple[Path, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file, model, report = long_names
    assert len(report.read_text()) < 100_000
    assert f"{'a' * 60}... (49," in report.read_text()
    assert cli.run(["evaluate", str(model), str(file), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["class_names"] == [letter * 50_000 for letter in "ab"]
    assert sum(map(sum, record["confusion"])) == 30
    cells = {(true, taken): images for true, taken, images in record["confusions"]}
    for (true, taken), images in cells.items():
        assert record["confusion"][true][taken] == images
    assert sum(cells.values()) == 30


def test_a_caption_is_cut_without_trying_every_length() -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(13)
    tried: list[str] = []

    class Counting:
        def getlength(self, text: str) -> float:
            tried.append(text)
            return font.getlength(text)

    cut = sheet._shortened("m" * 500, Counting(), 112)
    assert cut.endswith("...")
    assert font.getlength(cut) <= 112 < font.getlength(f"m{cut}")
    assert len(tried) < 20


def test_names_that_nothing_is_of_are_refused_by_the_thousand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = data(tmp_path / "many.npz", [f"c{n}" for n in range(MOST_NAMED + 1)])
    for words in (["train", str(file)], ["show", str(file)], ["find-rate", str(file)]):
        assert cli.run(words) == 1
        assert capsys.readouterr().err == (
            f"error: {file} must have at most 10,000 class_names for 30 training images, got"
            " 10,001: name only the classes that there are\n"
        )


def test_a_network_of_many_classes_is_measured_by_what_occurs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"c{n}" for n in range(3000)]
    file = data(tmp_path / "many.npz", names)
    net = cp.Network([cp.Dense(3000)], (1, 8, 8))
    net.class_names = names
    net.save(tmp_path / "model")
    assert cli.run(["evaluate", str(tmp_path / "model"), str(file), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["confusion"] is None
    assert sum(images for *_, images in record["confusions"]) == 30
    assert record["class_names"] == names
    for command in ("summary", "inspect"):
        assert cli.run([command, str(tmp_path / "model")]) == 0
        shown = capsys.readouterr().out
        assert "... (3,000 in all)" in shown
        assert len(shown) < MOST_TEXT


def test_a_report_of_many_classes_takes_no_square_and_lists_what_occurs() -> None:
    classes, images = 40_000, 3000
    labels = np.arange(images, dtype=np.int64)
    measured = Measured(
        tuple(f"c{n}" for n in range(classes)),
        labels,
        (labels + labels % 2).astype(np.int64),
        np.full(images, 0.5),
        np.full(images, 0.5),
        1.0,
        True,
    )
    tracemalloc.start()
    try:
        pages = [confusion_section(measured), classes_section(measured)]
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert max(map(len, pages)) < 500_000
    assert f"{MOST_LISTED:,} of the 3,001 classes that occur, of 40,000" in pages[1]
    assert pages[1].count("<tr>") == MOST_LISTED + 30 + 3
