"""``convprop find-rate``: a sweep of learning rates, its plot, and the rate to train with."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from convprop.cli import options, signals
from convprop.cli.options import UsageError
from convprop.cli.terminal import Terminal, left_out, print_json
from convprop.cli.train_settings import fresh_network, preset_of
from convprop.data import Dataset, load
from convprop.errors import InvalidInput, sentence
from convprop.files.atomic import check_writable, replace_file
from convprop.machine.native import engine
from convprop.machine.threads import get_num_threads
from convprop.network import Network
from convprop.optimizers import OPTIMIZERS, optimizer_for
from convprop.report.pictures import png
from convprop.report.raster import raster
from convprop.report.rates import FEWEST_COLUMNS, rate_chart, rate_text
from convprop.report.svg import svg_file
from convprop.report.words import counted
from convprop.training import rate_finder
from convprop.training.rate_finder import FEWEST_STEPS, RateCurve
from convprop.training.records import BatchRecord
from convprop.version import version

ENDINGS = (".svg", ".png")
STEPS = 200
_COLUMNS = 80


def find_rate(
    data: options.DataName = "digits",
    /,
    *,
    preset: options.PresetName = None,
    optimizer: Annotated[str | None, Parameter(choices=tuple(OPTIMIZERS))] = None,
    batch_size: options.Count = None,
    smallest: Annotated[float, Parameter(converter=options.positive_number)] = 1e-6,
    largest: Annotated[float, Parameter(converter=options.positive_number)] = 10.0,
    steps: options.Count = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    size: options.Size = None,
    out: options.FileName | None = None,
    skip_unreadable: options.SkipUnreadable = False,
    json: options.AsJson = False,
) -> int:
    """Find a learning rate: train while it grows, and see where the loss stops falling.

    Nothing is kept of the training. The suggestion is a quarter of the rate at which the
    smoothed loss is smallest, for --learning-rate of convprop train with the same preset,
    optimizer and batch size. Ctrl-C ends it with the curve so far.

    Parameters
    ----------
    data
        digits (the default), mnist, a folder with one subfolder of images per class, an .npz
        file, or a folder of idx files.
    preset
        The network, with defaults for the next two options; auto is made for the shape of the
        images. If not given, one that suits their size.
    optimizer
        How gradients become steps.
    batch_size
        Images per step.
    smallest
        Where the rate begins; 1e-6 if not given.
    largest
        Where it ends at the latest; 10 if not given.
    steps
        How many steps it takes from one to the other, at least 20; 200 if not given.
    seed
        Seed of the first weights, the order of the images and dropout; 0 if not given.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use. The
        result is the same for any number.
    size
        Resize every image, to a square as in 32 or to rows and columns as in 32x48, at most
        99999 each.
    out
        File to draw the plot in, .svg or .png.
    """
    if out is not None:
        if out.suffix.lower() not in ENDINGS:
            raise UsageError(sentence("--out", f"end in {' or '.join(ENDINGS)}", out))
        with options.written_by("--out"):
            check_writable(out)
    if not smallest < largest:
        raise UsageError(f"--largest must be above --smallest, {smallest:g}, got {largest:g}")
    if steps is not None and steps < FEWEST_STEPS:
        raise UsageError(f"--steps must be at least {FEWEST_STEPS}, got {steps}")
    terminal = Terminal(stderr=json)
    options.use_threads(threads)
    with terminal.reading(data):
        split = load(data, size=size, skip_unreadable=skip_unreadable)
    train = split.train
    suggested = preset_of(preset, train, batch_size)
    chosen = replace(
        suggested,
        batch_size=batch_size or suggested.batch_size,
        optimizer=optimizer_for(suggested.optimizer, optimizer),
    )
    network = fresh_network(chosen, train, seed)
    images = f"{train.name}: {counted(len(train), 'training image')}"
    terminal.labelled("data", images, *left_out(split.left_out))
    terminal.skipped(split.skipped)
    terminal.labelled(
        "network", chosen.name, chosen.optimizer.kind, f"batches of {chosen.batch_size}"
    )
    sweep = _Sweep(terminal, steps or STEPS)
    with signals.ending() as sweep.ending:
        curve = sweep.curve(
            network,
            train,
            optimizer=chosen.optimizer,
            batch_size=chosen.batch_size,
            smallest=smallest,
            largest=largest,
        )
        unwritten = None if out is None else _drawn(curve, out)
        sweep.show(curve)
        if out is not None and unwritten is None:
            terminal.copied("saved", str(out))
        if json:
            print_json(
                {
                    "suggestion": curve.suggestion,
                    "diverged": curve.diverged,
                    "interrupted": curve.interrupted,
                    "rates": curve.rates.tolist(),
                    "losses": curve.losses.tolist(),
                    "smoothed": curve.smoothed.tolist(),
                    "preset": chosen.name,
                    "optimizer": chosen.optimizer.kind,
                    "batch_size": chosen.batch_size,
                    "seed": seed,
                    "threads": get_num_threads(),
                    "isa": engine.isa,
                    "version": version(),
                }
            )
    if unwritten is not None:
        raise unwritten
    if curve.interrupted:
        return 128 + sweep.ended_by
    return options.EXIT_FAILURE if curve.suggestion is None else 0


class _Sweep:
    """A sweep of so many steps that a signal ends between two of them, and what is said of it."""

    def __init__(self, terminal: Terminal, steps: int) -> None:
        self.terminal, self.steps, self.done = terminal, steps, 0
        self.ending = signals.Ending()

    @property
    def ended_by(self) -> signal.Signals:
        """The signal that interrupted it, if one did."""
        return self.ending.signal or signal.SIGINT

    def curve(self, network: Network, train: Dataset, **settings: Any) -> RateCurve:
        """Return what was found, by all steps or by those before the signal."""
        self.ending.note_the_first()
        try:
            return rate_finder.find_rate(
                network,
                train.images,
                train.labels,
                steps=self.steps,
                on_batch=self._on_batch,
                **settings,
            )
        except KeyboardInterrupt:
            self._say_stopped(f"fewer than the {FEWEST_STEPS} that show something")
            raise
        finally:
            self.ending.release()

    def _on_batch(self, batch: BatchRecord) -> None:
        self.done = batch.step
        if self.ending.signal is not None:
            raise KeyboardInterrupt

    def _say_stopped(self, *more: str) -> None:
        after = f"after {self.done} of {counted(self.steps, 'step')}"
        name = signals.NAMES[self.ended_by]
        self.terminal.labelled("stopped", f"by {name} {after}", *more)

    def show(self, curve: RateCurve) -> None:
        """Print the plot, and what follows from it."""
        if curve.interrupted:
            self._say_stopped("so larger rates are not tried")
        end = ", where the loss grew out of bounds" if curve.diverged else ""
        first, last = curve.rates[[0, -1]]
        steps = counted(len(curve.rates), "step")
        self.terminal.labelled("sweep", f"{steps} from {first:g} to {last:.2g}{end}")
        if self.terminal.width < FEWEST_COLUMNS:
            self.terminal.labelled("plot", f"left out: it takes {FEWEST_COLUMNS} columns")
        else:
            for line in rate_text(curve, min(self.terminal.width, _COLUMNS)):
                self.terminal.print(line, soft_wrap=True)
        if curve.suggestion is not None:
            suggested = f"--learning-rate {curve.suggestion:g}"
        elif curve.interrupted:
            suggested = "nothing: the loss might have gone on falling"
        else:
            suggested = "nothing: the loss fell by less than a twentieth"
        self.terminal.labelled("suggested", suggested)


def _drawn(curve: RateCurve, out: Path) -> InvalidInput | None:
    """Draw the plot, and return the error of one that cannot be written: the curve is known."""
    chart = rate_chart(curve)
    content = png(raster(chart)) if out.suffix.lower() == ".png" else svg_file(chart).encode()
    try:
        with options.written_by("--out"):
            replace_file(out, content)
    except InvalidInput as error:
        return error
    return None
