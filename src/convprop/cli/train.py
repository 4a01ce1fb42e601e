"""``convprop train``: load images, train a network on them, save it and say how it does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from cyclopts import Parameter

from convprop import __version__, model_file, presets
from convprop._native import engine
from convprop.cli import options
from convprop.cli.progress import TrainingProgress
from convprop.cli.terminal import (
    Terminal,
    count,
    loss_text,
    percent,
    print_json,
)
from convprop.data import Split, load
from convprop.data.arrays import Shape
from convprop.described import from_dict
from convprop.errors import TrainingDiverged
from convprop.files import check_writable
from convprop.memory import peak_memory
from convprop.network import Network
from convprop.optimizers import OPTIMIZERS, SGD, Optimizer
from convprop.presets import PRESETS, Preset
from convprop.threads import get_num_threads
from convprop.training import BatchRecord, History
from convprop.training import train as train_network

# Rows and columns up to which images are as tiny as the digits, or as small as MNIST's.
_TINY, _SMALL = 15, 40


def train(
    data: options.DataName = "digits",
    /,
    *,
    preset: Annotated[str | None, Parameter(choices=presets.NAMES)] = None,
    epochs: options.Count = None,
    batch_size: options.Count = None,
    learning_rate: Annotated[float | None, Parameter(converter=options.positive_number)] = None,
    optimizer: Annotated[str | None, Parameter(choices=tuple(OPTIMIZERS))] = None,
    seed: Annotated[int, Parameter(converter=options.seed_number)] = 0,
    threads: options.Threads = None,
    validation: Annotated[float | None, Parameter(converter=options.proper_fraction)] = None,
    out: options.FileName | None = None,
    size: Annotated[
        tuple[int, int] | None,
        Parameter(converter=options.image_size, n_tokens=1, metavar="SIZE"),
    ] = None,
    skip_unreadable: bool = False,
    json: bool = False,
) -> int:
    """Train a network on images, and report how well it does on others.

    Parameters
    ----------
    data
        digits (the default), mnist, a folder with one subfolder of images per class, an .npz
        file, or a folder of idx files.
    preset
        The network, with defaults for the next four options; if not given, one that suits
        the size of the images.
    epochs
        How many times to go through the training images.
    batch_size
        Images per step.
    learning_rate
        The largest step size of the preset's schedule.
    optimizer
        How gradients become steps.
    seed
        Seed of the first weights, the order of the images and dropout; 0 if not given.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use. The
        result is the same for any number.
    validation
        Fraction of the training images to hold out and measure after every epoch.
    out
        File to save the trained network in; Ctrl-C saves it too.
    size
        Resize every image, to a square as in 32 or to rows and columns as in 32x48.
    skip_unreadable
        Leave out image files that cannot be read, and list them.
    json
        Write the result as one line of JSON on stdout, and all else on stderr.
    """
    terminal = Terminal(stderr=json)
    if out is not None:
        check_writable(out)
    options.use_threads(threads)
    with terminal.reading(data):
        split = load(data, size=size, skip_unreadable=skip_unreadable)
    suggested = PRESETS[preset or _preset_for(split.train.image_shape)]
    course = replace(
        suggested,
        epochs=epochs or suggested.epochs,
        batch_size=batch_size or suggested.batch_size,
        optimizer=_optimizer(suggested.optimizer, optimizer, learning_rate),
    )
    class_names = split.train.class_names
    network = presets.preset(course.name, split.train.image_shape, len(class_names), seed)
    network.class_names = class_names
    _announce(terminal, split, network, course, chosen=preset is None)
    progress = TrainingProgress(terminal, course.epochs, validation is not None)
    history = _fit(network, split, course, validation, progress, out)
    result = _result(network, split, course, progress, history)
    _report(terminal, course, result, out)
    if json:
        print_json(result)
    return options.EXIT_INTERRUPTED if history.interrupted else 0


def _preset_for(shape: Shape) -> str:
    """Return the preset that suits images of (C, H, W) when none is named."""
    channels, height, width = shape
    if min(height, width) <= _TINY:
        return "digits"
    if max(height, width) <= _SMALL:
        return "lenet5" if channels == 1 else "cifar-tutorial"
    return "vgg-small"


def _optimizer(suggested: Optimizer, kind: str | None, learning_rate: float | None) -> Optimizer:
    """Return the preset's optimizer, or the one named with its own defaults."""
    chosen = suggested
    if kind is not None and kind != suggested.kind:
        momentum = {"momentum": 0.9} if kind == SGD.kind else {}
        chosen = from_dict({"kind": kind, **momentum}, OPTIMIZERS, "--optimizer")
    return chosen if learning_rate is None else replace(chosen, learning_rate=learning_rate)


def _announce(
    terminal: Terminal, split: Split, network: Network, course: Preset, *, chosen: bool
) -> None:
    """Say what is about to be trained on what, and how."""
    train, test = split.train, split.test
    channels, height, width = train.image_shape
    colour = {1: "grey", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels}-channel")
    size = f"{height}x{width}"
    terminal.labelled(
        "data",
        f"{train.name}: {len(train):,} training and {len(test):,} test images",
        f"{size} {colour}",
        count(len(train.class_names), "class"),
    )
    terminal.skipped(split.skipped)
    why = f" (chosen for {size} images)" if chosen else ""
    terminal.labelled(
        "network", f"{course.name}{why}", count(_parameter_count(network), "parameter")
    )
    terminal.labelled(
        "training",
        f"{count(course.epochs, 'epoch')} in batches of {course.batch_size}",
        f"{course.optimizer.kind} at {course.optimizer.learning_rate:g}",
        f"seed {network.seed}",
        count(get_num_threads(), "thread"),
    )


def _parameter_count(network: Network) -> int:
    return sum(array.size for array in network.parameters.values())


def _fit(
    network: Network,
    split: Split,
    course: Preset,
    validation: float | None,
    progress: TrainingProgress,
    out: Path | None,
) -> History:
    """Train, and save what was learned however training ends."""
    nothing_learned = False
    with _first_interrupt() as interrupts, progress:

        def on_batch(batch: BatchRecord) -> None:
            progress.on_batch(batch)
            if interrupts:
                raise KeyboardInterrupt

        try:
            history = train_network(
                network,
                split.train.images,
                split.train.labels,
                optimizer=course.optimizer,
                schedule=course.schedule,
                epochs=course.epochs,
                batch_size=course.batch_size,
                validation=validation,
                on_batch=on_batch,
                on_epoch=progress.on_epoch,
            )
        except TrainingDiverged as error:
            nothing_learned = error.step == 0
            if out is None:
                raise
            saved = "Nothing is saved" if nothing_learned else "The last good weights are saved"
            raise TrainingDiverged(f"{error}\n{saved} in {out}.") from None
        finally:
            if out is not None and progress.images and not nothing_learned:
                settings = {"preset": course.name} | (network.training_settings or {})
                model_file.save(network, out, settings)
    return history


def _result(
    network: Network, split: Split, course: Preset, progress: TrainingProgress, history: History
) -> dict[str, Any]:
    """Measure the network on the test images; return that and all else that JSON reports."""
    test = network.evaluate(split.test.images, split.test.labels)
    return {
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "train_seconds": progress.seconds,
        "images_per_second": progress.images / progress.seconds,
        "peak_memory_bytes": peak_memory(),
        "weights_sha256": network.weights_sha256(),
        "interrupted": history.interrupted,
        "epochs": len(history),
        "steps": history.steps,
        "history": [epoch._asdict() for epoch in history],
        "train_images": len(split.train),
        "test_images": len(split.test),
        "classes": len(split.train.class_names),
        "preset": course.name,
        "parameters": _parameter_count(network),
        "optimizer": course.optimizer.kind,
        "learning_rate": course.optimizer.learning_rate,
        "batch_size": course.batch_size,
        "seed": network.seed,
        "threads": get_num_threads(),
        "isa": engine.isa,
        "version": __version__,
    }


def _report(terminal: Terminal, course: Preset, result: dict[str, Any], out: Path | None) -> None:
    """Say how the network does and where it is."""
    if result["interrupted"]:
        finished = f"{result['epochs']} of {count(course.epochs, 'epoch')}"
        terminal.labelled(
            "stopped", f"by Ctrl-C after {finished} ({count(result['steps'], 'step')})"
        )
    terminal.labelled(
        "test",
        f"accuracy {percent(result['test_accuracy'])}",
        f"loss {loss_text(result['test_loss'])} on {count(result['test_images'], 'image')}",
    )
    terminal.labelled(
        "time",
        f"{result['train_seconds']:.2f} s",
        f"{result['images_per_second']:,.0f} images/s",
        f"{result['peak_memory_bytes'] / 1e6:.0f} MB at the peak",
    )
    terminal.labelled("weights", result["weights_sha256"])
    terminal.labelled(
        "saved", "nothing (--out FILE saves the network)" if out is None else str(out)
    )


@contextmanager
def _first_interrupt() -> Iterator[list[int]]:
    """Put the first SIGINT into the list yielded, to be looked at between two steps.

    A second one raises KeyboardInterrupt at once. A process that was started with SIGINT
    ignored, as by nohup, goes on ignoring it.
    """
    received: list[int] = []
    previous = signal.getsignal(signal.SIGINT)
    if previous is signal.SIG_IGN:
        yield received
        return

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, remember)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, previous)
