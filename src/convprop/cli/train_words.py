"""What ``convprop train`` says before and after training, and its result as facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convprop.cli.estimate import Estimate
from convprop.cli.schedule_option import schedule_text
from convprop.cli.terminal import Terminal, left_out, loss_text, percent
from convprop.cli.train_settings import (
    OPTIONS,
    TrainOptions,
    TrainSettings,
    option_text,
    recipe,
)
from convprop.data import Split
from convprop.data.arrays import stratified_split
from convprop.errors import ConvpropError, InvalidInput, invalid
from convprop.machine.memory import peak_memory
from convprop.machine.native import engine
from convprop.machine.threads import get_num_threads
from convprop.network import Network
from convprop.optimizers import optimizer_for
from convprop.presets import Preset
from convprop.report.words import counted
from convprop.training import History
from convprop.training.identity import OtherTraining
from convprop.version import version

FEW_STEPS = 100
"""Fewer leave most networks near where they began."""


def held_out(split: Split, validation: float | None, seed: int) -> int:
    """Return how many of the training images are put aside for validation."""
    if validation is None:
        return 0
    return len(stratified_split(split.train.labels, validation, seed)[1])


def announce(
    terminal: Terminal,
    split: Split,
    network: Network,
    preset: Preset,
    *,
    validation: int,
    given: TrainOptions,
) -> None:
    """Say what is about to be trained on what, and how; ``validation`` images are held out."""
    train, test = split.train, split.test
    trained = len(train) - validation
    parts = [f"{trained:,} training"] + ([f"{validation:,} validation"] if validation else [])
    channels, height, width = train.image_shape
    colour = {1: "grey", 3: "RGB", 4: "RGBA"}.get(channels, f"{channels}-channel")
    size = f"{height}x{width}"
    terminal.labelled(
        "data",
        f"{train.name}: {', '.join(parts)} and {len(test):,} test images",
        f"{size} {colour}",
        counted(len(train.class_names), "class"),
        *left_out(split.left_out),
    )
    terminal.skipped(split.skipped)
    why = f" (chosen for {size} images)" if given.preset is None else ""
    terminal.labelled(
        "network", f"{preset.name}{why}", counted(parameter_count(network), "parameter")
    )
    smoothing = [f"label smoothing {preset.label_smoothing:g}"] if preset.label_smoothing else []
    usual = recipe(preset.name).schedule
    scheduled = [] if preset.schedule == usual else [schedule_text(preset.schedule)]
    terminal.labelled(
        "training",
        f"{counted(preset.epochs, 'epoch')} in batches of {min(preset.batch_size, trained)}",
        _rate(preset, given),
        *scheduled,
        *smoothing,
        f"seed {network.seed}",
        counted(get_num_threads(), "thread"),
    )
    steps = preset.epochs * -(-trained // preset.batch_size)
    if steps < FEW_STEPS:
        advice = "more --epochs or a smaller --batch-size may teach it more"
        terminal.labelled("few", f"{counted(steps, 'step')} in all", advice)


def _rate(preset: Preset, given: TrainOptions) -> str:
    """Return the optimizer and its rate, and of one that follows the batch what it is by itself."""
    kind, rate, usual = preset.optimizer.kind, preset.optimizer.learning_rate, recipe(preset.name)
    by_itself = optimizer_for(usual.optimizer, given.optimizer).learning_rate
    if given.learning_rate is not None or rate == by_itself:
        return f"{kind} at {rate:g}"
    return f"{kind} at {rate:.3g} ({by_itself:g} for batches of {usual.batch_size})"


def say_start(
    terminal: Terminal, settings: TrainSettings, history: History, expected: Estimate
) -> None:
    """Say where training goes on from, and what it will take."""
    for fault in history.passed_over:
        terminal.labelled("damaged", fault)
    if history.resumed_from is not None:
        terminal.labelled(
            "resumed",
            f"from {history.resumed_from}",
            f"after {counted(history.steps, 'step')}",
            f"{len(history)} of {counted(settings.preset.epochs, 'epoch')} done",
        )
    elif settings.options.resume:
        which = "no good checkpoint" if history.passed_over else "no checkpoint"
        terminal.labelled("resumed", f"nothing: there is {which}, so from the start")
    parts = []
    if expected.epoch_seconds is not None:
        left = expected.epoch_seconds * (settings.preset.epochs - len(history))
        most = "at most " if settings.options.early_stopping is not None else ""
        parts = [f"{duration(expected.epoch_seconds)} an epoch", f"{most}{duration(left)} in all"]
    terminal.labelled("expected", *parts, f"{expected.peak_bytes / 1e6:.0f} MB at the peak")


def say_fall(terminal: Terminal, given: TrainOptions, last: int | None) -> None:
    """Say that early stopping has decided for the epoch ``last``, and what comes before it."""
    why = f"nothing has got better for {counted(given.early_stopping or 0, 'epoch')}"
    terminal.labelled("falling", why, f"so the rate falls until epoch {last}")


def refusal(error: OtherTraining, preset: str) -> InvalidInput:
    """Return a refusal to resume with what was given as options in the place of arguments."""
    name, trained, given = error.setting, error.trained, error.given
    if name == "optimizer" and trained.kind == given.kind:
        for name in ("learning_rate", "weight_decay", "rate_factors", "decay_factors"):
            trained, given = getattr(error.trained, name), getattr(error.given, name)
            if trained != given:
                break
    elif name == "optimizer":
        trained, given = trained.kind, given.kind
    elif name == "loss":
        name, trained, given = "label_smoothing", trained.label_smoothing, given.label_smoothing
    elif name == "stopping":
        name = "early_stopping"
        trained, given = (value and value.patience for value in (trained, given))
    elif name == "balanced":
        name = "balanced_batches"
    rule = f"go on with the training of {error.path}"
    if name == "layers":
        return invalid("--resume", rule, f"other layers: those of {option_text('preset', preset)}")
    if name not in OPTIONS or trained == given:
        return InvalidInput(f"--{error}")
    rule = f"{rule}, which had {option_text(name, trained)}"
    return invalid("--resume", rule, option_text(name, given))


def unsaved(error: InvalidInput, left: list[Path], again: str) -> ConvpropError:
    """Return the end of a training whose network cannot be saved, with what is left of it.

    ``left`` are its checkpoints, the newest first; ``again`` is the command that goes on.
    """
    if not left:
        return ConvpropError(str(error), "The network is not saved, and there is no checkpoint.")
    kept = f"The network is not saved. The last checkpoint is {left[0]}; to go on from it:"
    return ConvpropError(str(error), kept, again)


def duration(seconds: float) -> str:
    """Return a time to two or three digits: "0.062 s", "4.1 s", "12 min", "3.2 h"."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 100 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def parameter_count(network: Network) -> int:
    """Return how many numbers are learned."""
    return sum(array.size for array in network.parameters.values())


def result(
    split: Split,
    preset: Preset,
    network: Network,
    history: History,
    facts: dict[str, Any],
    images: int,
    validation: int,
) -> dict[str, Any]:
    """Measure the network on the test images; return that and all else that JSON reports.

    ``images`` are how many training went through in this process; ``validation`` images were
    held out.
    """
    seconds = history.seconds
    test = network.evaluate(split.test.images, split.test.labels)
    return {
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "train_seconds": seconds,
        "images_per_second": images / seconds if seconds else None,
        "waited": _waited(split, history),
        "peak_memory_bytes": peak_memory(),
        "weights_sha256": network.weights_sha256(),
        "interrupted": history.interrupted,
        "stopped": history.stopped,
        "best_epoch": history.best_epoch,
        "resumed_steps": history.resumed,
        "epochs": len(history),
        "steps": history.steps,
        "history": [epoch._asdict() for epoch in history],
        "train_images": len(split.train) - validation,
        "validation_images": validation,
        "test_images": len(split.test),
        "classes": len(split.train.class_names),
        "preset": preset.name,
        "parameters": parameter_count(network),
        "optimizer": preset.optimizer.kind,
        "learning_rate": preset.optimizer.learning_rate,
        "batch_size": min(preset.batch_size, len(split.train) - validation),
        "seed": network.seed,
        "isa": engine.isa,
        "version": version(),
    } | facts


def _waited(split: Split, history: History) -> float | None:
    """Return the share of the epochs' time in which the images were still being read."""
    if isinstance(split.train.images, np.ndarray) or not history:
        return None
    return sum(epoch.waited for epoch in history) / sum(epoch.seconds for epoch in history)


def report(
    terminal: Terminal, preset: Preset, result: dict[str, Any], out: Path | None, ended_by: str
) -> None:
    """Say how the network does, and where it is; ``ended_by`` is what interrupted it."""
    after = f"after {result['epochs']} of {counted(preset.epochs, 'epoch')}"
    epoch = result["best_epoch"]
    best = [] if epoch is None else [f"the weights are those of epoch {epoch}"]
    if result["interrupted"]:
        steps = counted(result["steps"], "step")
        terminal.labelled("stopped", f"by {ended_by} {after} ({steps})", *best)
    elif result["stopped"]:
        terminal.labelled("stopped", f"early {after}", *best)
    elif best and epoch != result["epochs"]:
        terminal.labelled("best", *best)
    terminal.labelled(
        "test",
        f"accuracy {percent(result['test_accuracy'])}",
        f"loss {loss_text(result['test_loss'])} on {counted(result['test_images'], 'image')}",
    )
    if result["images_per_second"] is not None:
        waited = f"{percent(result['waited'])} waiting for images"
        terminal.labelled(
            "time",
            f"{result['train_seconds']:.2f} s",
            f"{result['images_per_second']:,.0f} images/s",
            *([] if result["waited"] is None else [waited]),
            f"{result['peak_memory_bytes'] / 1e6:.0f} MB at the peak",
        )
    terminal.labelled("weights", result["weights_sha256"])
    terminal.labelled(
        "saved", "nothing (--out FILE saves the network)" if out is None else str(out)
    )
