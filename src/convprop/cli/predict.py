"""``convprop predict``: what a trained network says of images, as they are read."""

from __future__ import annotations

import csv as tables
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from signal import SIGINT
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from convprop.cli import remarks
from convprop.cli.model_data import load_for
from convprop.cli.options import (
    Count,
    FileName,
    FileNames,
    Threads,
    UsageError,
    use_threads,
    written_by,
)
from convprop.cli.output import put
from convprop.cli.signals import NAMES, ending
from convprop.cli.terminal import Terminal, json_line, left_out, percent
from convprop.data import read_images
from convprop.data.sources import holds_arrays
from convprop.errors import invalid
from convprop.files.atomic import check_writable, replacing
from convprop.losses import SquaredError
from convprop.network import Network
from convprop.report.words import counted, digits_beside
from convprop.shown import class_shown, printable

# So many images are read and predicted together: enough for the engine, and soon there.
_CHUNK = 64

_FORMATS = {".csv": "csv", ".json": "json", ".jsonl": "json"}

# What makes a spreadsheet compute a cell instead of showing it; the last four are full-width.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def predict(
    model: FileName,
    /,
    *files: FileNames,
    top: Count = None,
    all_probabilities: bool = False,
    out: FileName | None = None,
    threads: Threads = None,
    json: bool = False,
    csv: bool = False,
    skip_unreadable: bool = False,
) -> int:
    """Say what images show: a label and its probability a line, or the numbers predicted.

    Lines are written as the images are read, however many there are; to a file only together.
    Ctrl-C ends it after the lines that it says are written.

    Parameters
    ----------
    model
        A file that convprop train --out wrote.
    files
        Image files, folders of them at any depth, and quoted patterns, `photos/*.jpg` or
        `photos/**/*.png`; they are resized to what the model takes. Or one of digits, mnist, an
        .npz file, a folder of idx or .npy files: its test images, all where it has no such part;
        of arrays no labels are needed.
    top
        So many labels an image, the most probable ones first; 1 if not given.
    all_probabilities
        The probability of every class, in the place of --top.
    out
        File to write to, instead of stdout. Its ending, .csv, .json or .jsonl, says how, unless
        an option does.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use.
    json
        One JSON object a line, with the probability of every class, or of the --top ones; or with
        the outputs of a model that predicts numbers.
    csv
        Comma-separated values: file, label, probability; or file, output_1 and so on. What a
        spreadsheet would take for a formula gets ./ in front of a file and ' in front of a label;
        --json changes neither.
    skip_unreadable
        Leave out files and folders that cannot be read, and list them.
    """
    if json and csv:
        raise UsageError("--json must not come with --csv")
    if top is not None and all_probabilities:
        raise UsageError("--top must not come with --all-probabilities")
    if out is not None:
        with written_by("--out"):
            check_writable(out)
    use_threads(threads)
    network = Network.load(model)
    for option, given in (("--top", top), ("--all-probabilities", all_probabilities)):
        if given and isinstance(network.loss, SquaredError):
            rule = "come with a model whose loss gives probabilities"
            raise invalid(option, rule, repr(network.loss))
    chosen = "json" if json else "csv" if csv else None
    if chosen is None and out is not None:
        chosen = _FORMATS.get(out.suffix.lower())
    wanted = _Wanted(_class_names(network), top or 1, top is not None, all_probabilities)
    skipped: list[str] = []
    others: list[str] = []
    chunks = _images(files, network, model, skipped if skip_unreadable else None, others)
    text = StringIO()
    say = _say_numbers if network.predicts_numbers else _say_classes
    write = say(network, chosen or "lines", text, wanted)
    done = 0
    terminal = Terminal(stderr=True)
    with ending() as signals:
        try:
            with remarks.as_lines(terminal), _output(out) as put:
                for images, names in chunks:
                    # What is counted as written is written.
                    signals.hold()
                    write(images, names)
                    put(text.getvalue())
                    text.seek(0)
                    text.truncate()
                    done += len(names)
                    signals.release()
                    if signals.signal is not None:
                        raise KeyboardInterrupt
        except KeyboardInterrupt:
            ended_by = signals.signal or SIGINT
            where = "written to stdout"
            if out is not None:
                where = f"which are not in {out}: it is written as a whole"
            after = f"after {counted(done, 'image')}"
            terminal.labelled("stopped", f"by {NAMES[ended_by]} {after}", where)
            terminal.skipped(skipped)
            return 128 + ended_by
    terminal.skipped(skipped)
    for told in left_out(len(others)):
        terminal.labelled("others", told)
    if out is not None:
        terminal.labelled("saved", f"{counted(done, 'image')} in {out}")
    return 0


class _Wanted(NamedTuple):
    """What is to be written of an image, and the names of the classes."""

    names: tuple[str, ...]
    top: int
    only_top: bool
    everything: bool


class _Prediction(NamedTuple):
    """What a network says of one file: all classes, the most probable first.

    ``values`` are in the order of the classes, None where the loss gives no probabilities.
    """

    file: str
    order: list[int]
    values: list[float] | None


_Write = Callable[[Iterable[_Prediction]], None]
_Say = Callable[[NDArray[Any], list[str]], None]
"""Writes what a network says of images, whose files are named."""


def _class_names(network: Network) -> tuple[str, ...]:
    return network.class_names or tuple(map(str, range(max(network.outputs, 2))))


@contextmanager
def _output(out: Path | None) -> Iterator[Callable[[str], None]]:
    """Give what writes to stdout at once, or to a file that is there when all is written."""
    if out is None:
        yield put
        return
    with written_by("--out"), replacing(out) as write:
        # A file's name may hold bytes that are no UTF-8; they are written as they are.
        yield lambda text: write(text.encode("utf-8", "surrogateescape"))


def _images(
    files: Sequence[Path],
    network: Network,
    model: Path,
    skipped: list[str] | None,
    others: list[str],
) -> Iterator[tuple[NDArray[Any], list[str]]]:
    """Return images and their names, some at a time."""
    name = str(files[0])
    # A file or a folder of that name goes before the set.
    taken = name in ("digits", "mnist") and files[0].exists()
    if len(files) > 1 or taken or not holds_arrays(name):
        return read_images(
            files,
            network.input_shape,
            resize=True,
            skipped=skipped,
            left_out=others,
            chunk=_CHUNK,
        )
    split = load_for(network, model, name, test_fraction=0.0, labels=False)
    images, part = (split.train, "image") if split.drawn else (split.test, "test")
    rows = (np.arange(n, min(n + _CHUNK, len(images))) for n in range(0, len(images), _CHUNK))
    return ((images.images[some], [f"{name} {part} {row}" for row in some]) for some in rows)


def _predictions(network: Network, images: NDArray[Any], files: list[str]) -> Iterator[_Prediction]:
    outputs = network.predict(images)
    if network.outputs == 1:
        outputs = np.hstack([1 - outputs, outputs])
    order = np.argsort(-outputs, axis=1, kind="stable").tolist()
    unknown = isinstance(network.loss, SquaredError)
    for file, ranked, values in zip(files, order, outputs.tolist(), strict=True):
        yield _Prediction(file, ranked, None if unknown else values)


def _lines(target: TextIO, wanted: _Wanted) -> _Write:
    """Write labels and probabilities in columns, then the file."""
    names = [class_shown(name) for name in wanted.names]
    width = max(map(len, names))
    shown = len(names) if wanted.everything else wanted.top

    def write(predictions: Iterable[_Prediction]) -> None:
        for file, order, values in predictions:
            cells = [
                f"{names[n]:<{width}}  {percent(None if values is None else values[n]):>8}"
                for n in order[:shown]
            ]
            target.write("  ".join([*cells, printable(file)]) + "\n")

    return write


def _json(target: TextIO, wanted: _Wanted) -> _Write:
    def write(predictions: Iterable[_Prediction]) -> None:
        for file, order, values in predictions:
            chosen = order[: wanted.top] if wanted.only_top else range(len(wanted.names))
            best = order[0]
            record: dict[str, Any] = {
                "file": file,
                "label": wanted.names[best],
                "probability": values and values[best],
                "probabilities": values and {wanted.names[n]: values[n] for n in chosen},
            }
            target.write(json_line(record) + "\n")

    return write


def _csv(target: TextIO, wanted: _Wanted) -> _Write:
    """Write a table, quoted where a reader of any kind might see more cells than there are."""
    plain = tables.writer(target, lineterminator="\n")
    quoted = tables.writer(target, lineterminator="\n", quoting=tables.QUOTE_NONNUMERIC)
    labels = [_cell(name) for name in wanted.names]
    head = ["file", "label", "probability"]
    for place in range(2, min(wanted.top, len(labels)) + 1):
        head += [f"label_{place}", f"probability_{place}"]
    if wanted.everything:
        head += [f"probability of {name}" for name in wanted.names]
    odd = any(map(_is_odd, wanted.names))
    (quoted if odd else plain).writerow(head)

    def write(predictions: Iterable[_Prediction]) -> None:
        for file, order, values in predictions:
            row: list[str | float | None] = [_file_cell(file)]
            for n in order[: wanted.top]:
                row += [labels[n], None if values is None else values[n]]
            if wanted.everything and values is not None:
                row.extend(values)
            (quoted if odd or _is_odd(file) else plain).writerow(row)

    return write


def _is_odd(text: str) -> bool:
    """Whether some readers would divide the text, though it has no comma."""
    return any(c in text for c in ";\t\r")


def _cell(text: str) -> str:
    """Return a label that no spreadsheet computes: a number, or text."""
    if not text.startswith(_FORMULA_STARTS):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def _file_cell(file: str) -> str:
    """Return another name of the same file that no spreadsheet takes for a formula."""
    return f"./{file}" if file.startswith(_FORMULA_STARTS) else file


_CLASS_WRITERS: dict[str, Callable[[TextIO, _Wanted], _Write]] = {
    "lines": _lines,
    "json": _json,
    "csv": _csv,
}


def _say_classes(network: Network, form: str, target: TextIO, wanted: _Wanted) -> _Say:
    write = _CLASS_WRITERS[form](target, wanted)
    return lambda images, files: write(_predictions(network, images, files))


def _say_numbers(network: Network, form: str, target: TextIO, _: _Wanted) -> _Say:
    """Write all numbers that a network predicts of each image."""
    table = tables.writer(target, lineterminator="\n")
    quoted = tables.writer(target, lineterminator="\n", quoting=tables.QUOTE_NONNUMERIC)
    if form == "csv":
        table.writerow(["file", *(f"output_{n}" for n in range(1, network.outputs + 1))])

    scaling = network.target_scaling or ([0.0] * network.outputs, [1.0] * network.outputs)
    # Those of float32, and of the numbers' offset what is above their scale.
    digits = [digits_beside(o, s, 7) for o, s in np.transpose(scaling).tolist()]

    def say(images: NDArray[Any], files: list[str]) -> None:
        for file, values in zip(files, network.predict(images).tolist(), strict=True):
            if form == "csv":
                (quoted if _is_odd(file) else table).writerow([_file_cell(file), *values])
            elif form == "json":
                target.write(json_line({"file": file, "outputs": values}) + "\n")
            else:
                cells = [f"{v:>z{n + 6}.{n}g}" for v, n in zip(values, digits, strict=True)]
                target.write("  ".join([*cells, printable(file)]) + "\n")

    return say
