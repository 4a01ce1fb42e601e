"""`convprop show`: the pictures are the training's own, and the sheet says whose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import assert_fits, stripes

import convprop as cp
from browser import assert_fits as assert_page_fits
from browser import chromium, shown
from convprop.cli import app as cli
from convprop.data import Dataset, load
from convprop.report.sheet import cells, chosen_rows, versions
from convprop.training.augmentation import mixup_share
from convprop.training.batches import Batches, Data
from convprop.training.course import Course
from pages import Page, assert_accessible, assert_self_contained, pixels_of


def dataset(count: int = 50, classes: int = 3, dtype: type = np.uint8) -> Dataset:
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (count, 3, 7, 9)).astype(dtype)
    labels = (np.arange(count) % classes).astype(np.int32)
    return Dataset(images, labels, [f"kind {k}" for k in range(classes)], "made")


EVERYTHING = cp.Augment(shift=1, flip="both", rotation=9, brightness=0.3, noise=0.1, erase=0.3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("mixup", [0.0, 0.8])
def test_versions_are_what_training_sees(dtype: type, mixup: float) -> None:
    train = dataset(dtype=dtype)
    augment = cp.Augment(**{**EVERYTHING.__dict__, "mixup": mixup})
    network = cp.Network([cp.Dense(3)], (3, 7, 9))
    # One batch in the order given: what an epoch's only step gets.
    settings = (cp.Adam(1e-3), cp.schedules.Constant(), 3, 50, 11, False)
    course = Course(*settings, augment, None, None, None, False)
    cp.train(network, train.images, train.labels, epochs=1)
    batches = Batches(Data(train.images, train.labels, True), course, network)
    rows = np.arange(50)
    made = list(versions(train, rows, augment, 3, 11))
    for epoch, images in enumerate(made, 1):
        batch = batches.batch(train.images, rows, rows, epoch, epoch)
        np.testing.assert_array_equal(images, batch.images)
    if not mixup:
        some = np.array([4, 40, 7])
        for all_, few in zip(made, versions(train, some, augment, 3, 11), strict=True):
            np.testing.assert_array_equal(all_[some], few)


def test_cells_hold_images_enlarged_and_say_what_was_mixed() -> None:
    train = dataset()
    rows = np.array([0, 4, 8])
    lines = cells(train, rows, cp.Augment(mixup=1.0), 2, 5)
    assert [len(line) for line in lines] == [3, 3, 3]
    for row, line in zip(rows, lines, strict=True):
        enlarged = train.images[row].transpose(1, 2, 0).repeat(12, 0).repeat(12, 1)
        np.testing.assert_array_equal(np.asarray(line[0].picture), enlarged)
    assert [line[0].caption for line in lines] == ["kind 0", "kind 1", "kind 2"]
    for epoch in (1, 2):
        share = mixup_share(1.0, 5, epoch)
        said = [line[epoch].caption for line in lines]
        assert said == [f"{100 - 100 * share:.0f}% kind {k}" for k in (2, 1, 0)]
        mixed = share * train.images[0] + (1 - share) * train.images[8].astype(float)
        pixels = np.asarray(lines[0][epoch].picture)[6::12, 6::12].transpose(2, 0, 1)
        np.testing.assert_allclose(pixels, mixed, atol=0.51)


def test_large_images_are_reduced_and_tiny_values_shown() -> None:
    faint = np.zeros((2, 1, 300, 200), dtype=np.uint8)
    faint[1] = 16
    train = Dataset(faint, np.array([0, 1], dtype=np.int32), ["a", "b"], "made")
    (first,), (second,) = cells(train, np.array([0, 1]), None, 0, 0)
    assert first.picture.size == second.picture.size == (75, 112)
    assert first.picture.getextrema() == (0, 0)
    assert second.picture.getextrema() == (255, 255)


def test_every_class_has_its_turn() -> None:
    labels = np.repeat([0, 1, 2], [1000, 20, 3]).astype(np.int32)
    for most, counts in ((2, None), (3, [1, 1, 1]), (8, [3, 3, 2]), (30, [14, 13, 3])):
        rows = chosen_rows(labels, most, 1)
        assert len(set(rows)) == len(rows) == most
        assert list(labels[rows]) == sorted(labels[rows])
        if counts is not None:
            assert sorted(np.bincount(labels[rows])) == sorted(counts)
        assert set(chosen_rows(labels, most - 1, 1)) < set(rows)
    assert list(chosen_rows(labels, 5, 1)) != list(chosen_rows(labels, 5, 2))
    assert len(chosen_rows(labels, 2000, 1)) == 1023


def test_a_sheet_of_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["show", "--augment", "shift=1 rotation=10"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert_fits(printed.out)
    assert printed.out.splitlines() == [
        "data      digits: 1,438 training images, 1x8x8, 10 classes",
        "augment   shift=1, rotation=10, seed 0",
        "saved     digits-sheet.png, 8 images in 6 versions",
    ]
    with Image.open(tmp_path / "digits-sheet.png") as picture:
        sheet = np.asarray(picture.convert("L"))
    train = load("digits").train
    rows = chosen_rows(train.labels, 8, 0)
    made = list(versions(train, rows, cp.Augment(shift=1, rotation=10), 6, 0))
    for number, row in enumerate(rows):
        top = 66 + 140 * number
        shown = [sheet[top : top + 112, x : x + 112] for x in (20, *range(152, 800, 122))]
        expected = [train.images[row, 0], *(images[number, 0] for images in made)]
        scale = 255 / train.images[rows].max()
        for found, image in zip(shown, expected, strict=True):
            np.testing.assert_allclose(found[7::14, 7::14], image * scale, atol=0.51)
            assert (found.reshape(8, 14, 8, 14).std(axis=(1, 3)) == 0).all()


@pytest.fixture
def sheet(tmp_path: Path, stripes_folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The page of a folder whose classes have names that are no names."""
    hostile = stripes_folder.parent / "hostile"
    if not hostile.exists():
        hostile.mkdir()
        for old, new in (("lying", "<script>x"), ("standing", 'a"&amp;')):
            (hostile / new).symlink_to(stripes_folder / old, target_is_directory=True)
    out = tmp_path / "sheet.html"
    options = ["--augment", "flip=both,mixup=0.5", "--images", "4", "--versions", "3"]
    assert cli.run(["show", str(hostile), *options, "--size", "12x10", "--out", str(out)]) == 0
    assert "1x12x10" in capsys.readouterr().out
    return out


def test_a_page(sheet: Path) -> None:
    html = sheet.read_text(encoding="utf-8")
    page = Page(html)
    assert_self_contained(html, page)
    assert_accessible(page)
    assert len(page.all("img")) == 16
    assert [c for c in page.captions if "%" not in c] == ["<script>x"] * 2 + ['a"&amp;'] * 2
    assert pixels_of(page.all("img")[0]["src"]).shape == (108, 90)


@pytest.mark.slow
def test_a_page_fits_any_width(sheet: Path) -> None:
    with chromium() as browser:
        for width in (360, 768, 1280):
            with shown(browser, sheet, width) as tab:
                assert_page_fits(tab)


def test_images_alone_and_of_one_class(
    tmp_path: Path, stripes_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.npz").symlink_to(stripes_file)
    for options, size in (((), (884, 898)), (("--class", "lying", "--images", "3"), (396, 198))):
        assert cli.run(["show", "s.npz", *options]) == 0
        with Image.open("s-sheet.png") as picture:
            assert picture.size == size


def test_floating_point_images(tmp_path: Path) -> None:
    images, labels = stripes(20)
    np.savez(tmp_path / "f.npz", images=images / np.float32(255), labels=labels)
    out = tmp_path / "sheet.png"
    options = ["--augment", "noise=0.5", "--versions", "1", "--out", str(out)]
    assert cli.run(["show", str(tmp_path / "f.npz"), *options]) == 0
    with Image.open(out) as picture:
        assert picture.convert("L").getextrema() == (0, 255)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--versions 3", "--versions must come with --augment"),
        ("--out sheet.gif", "--out must end in .png or .html, got sheet.gif"),
        ("--images 6000", "--images and --versions must give at most 5,000 pictures"),
        ("--class stading", None),
        ("--augment shfit=2", None),
    ],
)
def test_what_is_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stripes_file: Path,
    line: str,
    message: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["show", str(stripes_file), *line.split()]) == 2
    shown = capsys.readouterr().err
    if message is not None:
        assert shown == f"error: {message}\n"
    else:
        assert shown.endswith(("; did you mean standing?\n", "; did you mean shift?\n"))
    assert list(tmp_path.iterdir()) == []
