"""``convprop evaluate``: how good a trained network is on images whose answers are known."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from convprop.cli import options, remarks
from convprop.cli.config_file import read_settings
from convprop.cli.model_data import load_for
from convprop.cli.options import UsageError
from convprop.cli.terminal import Terminal, left_out, loss_text, percent, print_json
from convprop.data import Dataset, Split
from convprop.network import Network
from convprop.report.measure import Measured, measure, together
from convprop.report.regression import joined, predictions
from convprop.report.words import counted, plain, quantity
from convprop.shown import class_shown

_MOST_CONFUSIONS = 3
_MOST_OUTPUTS = 20
_MOST_IN_SQUARE = 1000

PARTS = ("all", "test", "train")


def evaluate(
    model: options.FileName,
    data: options.DataName,
    /,
    *,
    part: Annotated[str | None, Parameter(choices=PARTS)] = None,
    threads: options.Threads = None,
    skip_unreadable: options.SkipUnreadable = False,
    stream: options.Stream = False,
    json: options.AsJson = False,
) -> None:
    """Measure a trained network on labelled images.

    Of a network that tells classes apart, accuracy and loss; of one that predicts numbers, R²
    and the mean absolute error.

    Parameters
    ----------
    model
        A file that convprop train --out wrote, or a network's save.
    data
        digits, mnist, a folder with one subfolder of images per class, an .npz file, or a
        folder of idx files. Image files are resized to what the model takes, and grey ones are
        coloured for it, or the reverse; some of its classes may be missing, and a folder that
        has the name of one may hold its images itself.
    part
        all: every image there is; test: those that training does not see; train: the others.
        If not given, the test part of data that has one of its own (digits, mnist, a folder
        with train and test or val, arrays for testing), and every image of other data.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use.
    """
    terminal = Terminal(stderr=json)
    options.use_threads(threads)
    network = Network.load(model)
    with terminal.reading(data):
        split = load_for(
            network,
            model,
            data,
            test_fraction=0.2 if part in ("test", "train") else 0.0,
            skip_unreadable=skip_unreadable,
            stream=stream,
        )
    part = part or ("all" if split.drawn else "test")
    wanted = {"all": (split.train, split.test), "test": (split.test,), "train": (split.train,)}
    chosen = [images for images in wanted[part] if len(images)]
    unreadable = sum(not name.endswith(os.sep) for name in split.skipped)
    count, there = sum(map(len, chosen)), len(split.train) + len(split.test) + unreadable
    of_how_many = f"{data}: {count:,} of {_part(split, part, there)}"
    terminal.labelled("data", of_how_many, *left_out(split.left_out))
    terminal.skipped(split.skipped)
    if part == "all" and (settings := _trained_on(model, data)):
        others = "--part test measures those that it held back"
        terminal.labelled("trained", f"on {data} by {settings}", others)
    started = time.perf_counter()
    show = _show_numbers if chosen[0].labels.ndim == 2 else _show_classes
    with remarks.as_lines(terminal) as said:
        record = show(terminal, network, chosen)
    seconds = time.perf_counter() - started
    terminal.labelled("time", f"{seconds:.2f} s", f"{count / seconds:,.0f} images/s")
    if json:
        print_json(
            {
                **record,
                "images": count,
                "images_in_data": there,
                "part": part,
                "seconds": seconds,
                "images_per_second": count / seconds,
                "weights_sha256": network.weights_sha256(),
                "warnings": said,
            }
        )


def _part(split: Split, part: str, there: int) -> str:
    """Say of how many images, and which of them they are."""
    images = counted(there, "image")
    if part == "all":
        return images
    which = "those that training on it would hold back" if split.drawn else "its test part"
    if part == "train":
        which = "those that training on it would see" if split.drawn else "its training part"
    return f"{images} ({which})"


def _show_classes(terminal: Terminal, network: Network, parts: list[Dataset]) -> dict[str, Any]:
    measured = together([measure(network, part) for part in parts])
    classes = len(measured.class_names)
    terminal.labelled(
        "result", f"accuracy {percent(measured.accuracy)}", f"loss {loss_text(measured.loss)}"
    )
    terminal.labelled("mistakes", *_mistakes(measured))
    return {
        "accuracy": measured.accuracy,
        "loss": measured.loss,
        "class_names": list(measured.class_names),
        # Of many classes the square would be all but empty, and larger than the memory.
        "confusion": measured.matrix().tolist() if classes <= _MOST_IN_SQUARE else None,
        "confusions": [list(cell) for cell in measured.cells()],
    }


def _mistakes(measured: Measured) -> list[str]:
    """Say how many images were taken for another class, and which for which most often."""
    names = measured.class_names
    worst = [cell for cell in measured.cells() if cell.true != cell.predicted][:_MOST_CONFUSIONS]
    most = [
        f"true {class_shown(names[c.true])} called {class_shown(names[c.predicted])} ({c.images}x)"
        for c in worst
    ]
    return [f"{measured.wrong.sum():,} of {len(measured.labels):,}", *most]


def _show_numbers(terminal: Terminal, network: Network, parts: list[Dataset]) -> dict[str, Any]:
    found = joined([predictions(network, part.images, part.labels) for part in parts])
    keys = ("output", "r2", "mean_absolute_error", "rmse")
    measures = found.r2().tolist(), found.mean_absolute_error().tolist(), found.rmse().tolist()
    rows = list(zip(found.names, *measures, strict=True))
    words = [
        (f"R² {plain(r2)}", f"mean absolute error {quantity(error)}", f"RMSE {quantity(rmse)}")
        for _, r2, error, rmse in rows
    ]
    if len(rows) == 1:
        terminal.labelled("result", *words[0])
    else:
        terminal.labelled("result", f"mean R² {plain(found.mean_r2())}")
        for (name, *_), (first, *others) in zip(rows[:_MOST_OUTPUTS], words, strict=False):
            terminal.labelled("", f"{name}: {first}", *others)
    if len(rows) > _MOST_OUTPUTS:
        terminal.labelled("", f"... ({len(rows):,} outputs in all; --json has every one)")
    return {
        "r2": found.mean_r2(),
        "mean_absolute_error": float(found.mean_absolute_error().mean()),
        "outputs": [dict(zip(keys, row, strict=True)) for row in rows],
    }


def _trained_on(model: Path, data: str) -> Path | None:
    """Return the settings beside a model, if they say that it was trained on data of that name."""
    settings = Path(f"{model}.toml")
    try:
        trained = read_settings(settings)[0].get("data")
    except (OSError, UsageError):
        return None
    same = isinstance(trained, str) and Path(trained).resolve() == Path(data).resolve()
    return settings if same else None
