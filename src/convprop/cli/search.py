"""``convprop search``: try settings, the good ones longer than the others, and rank them."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from convprop.cli import options, signals
from convprop.cli.config_file import to_toml
from convprop.cli.options import UsageError
from convprop.cli.search_plan import Candidate, Search
from convprop.cli.search_settings import DIVERGED, combinations, read_tries, usual, word
from convprop.cli.terminal import MOST_COLUMNS, Terminal, clock, left_out, percent, print_json
from convprop.cli.train_settings import TrainOptions, fresh_network, preset_of
from convprop.data import Dataset, Split, load
from convprop.errors import ConvpropError, InvalidInput, invalid
from convprop.files.atomic import check_writable, replace_file
from convprop.machine.threads import starting_threads
from convprop.report.words import counted

MOST_CANDIDATES = 27

_WATCH_SECONDS = 0.5


def search(
    data: options.DataName,
    /,
    *,
    tries: Annotated[
        list[str] | None,
        Parameter(name="--try", json_list=False, metavar="NAME=VALUE,..."),
    ] = None,
    preset: options.PresetName = None,
    epochs: options.Count = None,
    candidates: options.Count = None,
    folds: options.Count = None,
    seed: options.Seed = 0,
    size: options.Size = None,
    jobs: options.Count = None,
    threads: options.Threads = None,
    out: options.FileName | None = None,
    skip_unreadable: options.SkipUnreadable = False,
    json: options.AsJson = False,
) -> int:
    """Find good settings for a training, by successive halving.

    All candidates are trained for a few epochs, the best third of them for three times as many,
    and so on. Each is scored on parts of the training images that it has not seen, one after
    the other; the test images are not looked at.

    Parameters
    ----------
    data
        As for convprop train.
    tries
        A setting of convprop train and the values to try, as in learning_rate=0.001,0.003;
        repeat it for others: batch_size, optimizer, preset, augment, label_smoothing, clip_norm,
        average, class_weight. If not given, learning rates and batch sizes around the preset's.
    preset
        The network, if it is not tried; auto is made for the shape of the images. If not given,
        one that suits their size.
    epochs
        The most that a candidate is trained; if not given, the preset's.
    candidates
        Of more combinations than this, 27 if not given, so many are drawn by chance.
    folds
        Into so many parts the training images are divided; 3 if not given.
    seed
        Of everything that is left to chance; 0 if not given.
    size
        Resize every image, to a square as in 32 or to rows and columns as in 32x48, at most
        99999 each.
    jobs
        How many processes train at once; 1 if not given. The scores are the same for any number.
    threads
        CPU threads to use, 1 to 1024, where --jobs is 1.
    out
        TOML file for the best settings, which convprop train --config reads.
    """
    terminal = Terminal(stderr=json)
    choices = read_tries(tries or [])
    if preset is not None and "preset" in choices:
        raise UsageError("--preset must not come with --try preset")
    if threads is not None and (jobs or 1) > 1:
        raise UsageError("--threads must not come with --jobs: processes share the processors")
    if folds == 1:
        raise UsageError(str(invalid("--folds", "be at least 2", 1)))
    if out is not None:
        with options.written_by("--out"):
            check_writable(out)
    options.use_threads(threads)
    with terminal.reading(data):
        split = load(data, size=size, skip_unreadable=skip_unreadable)
    train = split.train
    given = TrainOptions(
        preset=preset or choices.get("preset", [None])[0],
        epochs=epochs,
        seed=seed,
        size=size,
        skip_unreadable=skip_unreadable,
    )
    settings = given.resolved(train, len(train))
    usual_preset = settings.preset
    if not choices:
        choices = usual(usual_preset.optimizer.learning_rate, usual_preset.batch_size, len(train))
    for name in choices.get("preset", [usual_preset.name]):
        fresh_network(preset_of(name, train), train)
    parts = folds or 3
    _check_folds(train, parts)
    with signals.ending() as ending, _folder() as folder:
        plan = Search(
            choices,
            usual_preset.name,
            usual_preset.epochs,
            candidates or MOST_CANDIDATES,
            parts,
            seed,
            jobs or 1,
            Path(folder, "records"),
        )
        _announce(terminal, split, plan)
        ended_by, failure = _run(terminal, plan, train, ending)
        ranked, done = plan.ranked(), len(plan.finished())
        best = ranked[0] if ranked and ranked[0].mean != DIVERGED else None
        chosen = None if best is None else _best(settings.options, plan, best).table(data)
        unsaved = None
        if chosen is not None and out is not None:
            # Before anything is shown: where SIGHUP has come, the terminal may be gone.
            unsaved = _save(out, data, chosen)
        if ended_by is not None:
            total = plan.folds * sum(number for number, _ in plan.rounds)
            after = f"after {done} of {counted(total, 'training')}"
            terminal.labelled("stopped", f"by {signals.NAMES[ended_by]} {after}")
        _report(terminal, plan, ranked)
        if chosen is not None and out is not None and unsaved is None:
            terminal.labelled("saved", f"{out} (convprop train --config {out} trains with it)")
        if json:
            print_json(_record(data, plan, ranked, chosen, done, ended_by or failure))
        # What is known by then has been shown.
        for error in (failure, unsaved):
            if error is not None:
                raise error
        return 0 if ended_by is None else 128 + ended_by


def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for the records of the search."""
    try:
        return tempfile.TemporaryDirectory(prefix="convprop-")
    except OSError as error:
        received = f"{os.environ.get('TMPDIR', 'none')} ({(error.strerror or str(error)).lower()})"
        raise invalid("TMPDIR", "name a folder that has room", received) from None


def _check_folds(train: Dataset, folds: int) -> None:
    counts = np.bincount(train.labels, minlength=len(train.class_names))
    rarest = int(np.argmin(counts))
    if counts[rarest] < folds:
        rule = f"be at most the {counts[rarest]} training images of {train.class_names[rarest]!r}"
        raise invalid("--folds", rule, folds)


def _announce(terminal: Terminal, split: Split, plan: Search) -> None:
    train = split.train
    images = f"{train.name}: {len(train):,} training images in {plan.folds} parts"
    terminal.labelled("data", images, *left_out(split.left_out))
    terminal.skipped(split.skipped)
    for name, values in plan.choices.items():
        terminal.labelled("try", f"{name} {' | '.join(map(word, values))}")
    candidates = [counted(number, "candidate") for number, _ in plan.rounds]
    if (there := combinations(plan.choices)) > plan.most:
        candidates[0] = f"{plan.candidates:,} of {counted(there, 'candidate')}"
    terminal.labelled(
        "rounds",
        *(
            f"{number} for {counted(epochs, 'epoch')}"
            for number, (_, epochs) in zip(candidates, plan.rounds, strict=True)
        ),
    )


def _run(
    terminal: Terminal, plan: Search, train: Dataset, ending: signals.Ending
) -> tuple[signal.Signals | None, ConvpropError | MemoryError | None]:
    """Search, and return the signal or the error that ended it, if one did."""
    images = train.images
    if not isinstance(images, np.ndarray):
        images = images[np.arange(len(train))]
    try:
        with _progress(terminal, plan), starting_threads():
            plan.run(images, train.labels)
    except KeyboardInterrupt:
        return ending.signal or signal.SIGINT, None
    except (ConvpropError, MemoryError) as error:
        if not plan.finished():
            raise
        return None, error
    return None, None


@contextmanager
def _progress(terminal: Terminal, plan: Search) -> Iterator[None]:
    """Show on a terminal how many trainings are done, as the records tell."""
    if not terminal.is_terminal:
        yield
        return
    work = plan.folds * sum(number * epochs for number, epochs in plan.rounds)
    bar = Progress(
        BarColumn(bar_width=30),
        TextColumn("{task.description}"),
        TextColumn("{task.percentage:>3.0f} %"),
        console=terminal,
        auto_refresh=False,
        transient=True,
    )
    over = threading.Event()
    task = bar.add_task("", total=work)

    def watch() -> None:
        while not over.wait(_WATCH_SECONDS):
            done = plan.finished()
            if ranked := plan.ranked():
                text = f"{len(done)} trainings, best {percent(max(ranked[0].mean, 0.0))}"
                completed = sum(record["epochs"] for record in done)
                bar.update(task, description=text, completed=completed, refresh=True)

    watcher = threading.Thread(target=watch, daemon=True)
    with bar:
        # Without it nothing is shown, which is no reason not to search.
        with suppress(RuntimeError):
            watcher.start()
        try:
            yield
        finally:
            over.set()
            if watcher.ident is not None:
                watcher.join()


def _best(options: TrainOptions, plan: Search, best: Candidate) -> TrainOptions:
    """Return the options of a training as the best candidate's, of all epochs."""
    chosen = dict(zip(plan.choices, best.values, strict=True))
    names = ("batch_size", "optimizer", "learning_rate", "weight_decay")
    untold: dict[str, Any] = dict.fromkeys(names)
    return replace(options, **untold | chosen)


def _report(terminal: Terminal, plan: Search, ranked: list[Candidate]) -> None:
    if not ranked:
        terminal.labelled("result", "no training has ended, so nothing is known")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right")
    for name in plan.choices:
        table.add_column(name, overflow="fold")
    for name in ("epochs", "accuracy", "±", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, candidate in enumerate(ranked, start=1):
        failed = DIVERGED in candidate.scores
        table.add_row(
            str(place),
            *candidate.words,
            str(candidate.epochs),
            "diverged" if failed else percent(candidate.mean),
            "" if failed else f"{100 * candidate.spread:.2f}",
            f"{candidate.seconds:.1f} s" if candidate.seconds < 60 else clock(candidate.seconds),
        )
    # A table that is too wide would be cut off, its numbers too; the terminal folds it.
    needed = Measurement.get(terminal, terminal.options.update(max_width=MOST_COLUMNS), table)
    if needed.minimum > terminal.width:
        table.width = needed.minimum
    terminal.print()
    terminal.print(table, crop=False)
    terminal.print()


def _save(out: Path, data: str, settings: dict[str, Any]) -> InvalidInput | None:
    """Write the best settings; return the error where they cannot be written."""
    comment = f"The best settings that convprop search found for {data!r}."
    try:
        with options.written_by("--out"):
            replace_file(out, to_toml(settings, comment).encode())
    except InvalidInput as error:
        return error
    return None


def _record(
    data: str,
    plan: Search,
    ranked: list[Candidate],
    best: dict[str, Any] | None,
    done: int,
    ended_by: object,
) -> dict[str, Any]:
    return {
        "data": data,
        "best": best,
        "interrupted": ended_by is not None,
        "trainings": done,
        "folds": plan.folds,
        "seed": plan.seed,
        "rounds": [{"candidates": number, "epochs": epochs} for number, epochs in plan.rounds],
        "candidates": [
            {
                "settings": dict(zip(plan.choices, candidate.words, strict=True)),
                "epochs": candidate.epochs,
                "accuracy": None if DIVERGED in candidate.scores else candidate.mean,
                "spread": None if DIVERGED in candidate.scores else candidate.spread,
                "seconds": candidate.seconds,
            }
            for candidate in ranked
        ],
    }
