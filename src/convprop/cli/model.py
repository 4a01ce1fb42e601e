"""``convprop summary``, and the networks that a command line can name."""

from __future__ import annotations

from pathlib import Path

from convprop import auto, presets
from convprop.checks import is_integer
from convprop.cli.options import (
    PRESET_NAMES,
    Count,
    DataName,
    Threads,
    UsageError,
    unknown_name,
    use_threads,
)
from convprop.cli.terminal import (
    Terminal,
    settings_text,
)
from convprop.described import from_dict
from convprop.errors import ModelFileError, invalid
from convprop.network import Network
from convprop.optimizers import OPTIMIZERS, Adam, Optimizer
from convprop.presets import PRESETS, Preset
from convprop.report.words import counted
from convprop.shown import class_shown, first_of

_MOST_NAMES = 100
"""Of the classes, which a table of layers is not about."""


def summary(
    model: DataName,
    /,
    *,
    batch_size: Count = None,
    images: Count = None,
    threads: Threads = None,
) -> None:
    """Show a network's layers, with the shape, size and cost of each.

    Parameters
    ----------
    model
        A file that convprop train --out wrote, or a preset.
    batch_size
        Show also how much memory training takes at its peak, with so many images a step.
    images
        How many images of bytes it will train on; one batch if not given.
    threads
        CPU threads it will use, 1 to 1024; if not given, as many as the process may use.
    """
    if images is not None and batch_size is None:
        raise UsageError("--images must come with --batch-size")
    terminal = Terminal()
    use_threads(threads)
    network, entry = named_network(model)
    optimizer, _ = training_of(network, entry)
    table = network.summary(batch_size, images=images, optimizer=optimizer)
    terminal.print(table, soft_wrap=True)
    terminal.print()
    if entry is not None:
        terminal.labelled("preset", *entry.about.split(", "))
        terminal.labelled(
            "training",
            f"{counted(entry.epochs, 'epoch')} in batches of {entry.batch_size}",
            f"{entry.optimizer.kind} at {entry.optimizer.learning_rate:g}",
        )
        return
    if network.class_names is not None:
        names = [class_shown(name) for name in network.class_names]
        terminal.labelled("classes", *first_of(names, _MOST_NAMES))
    if network.target_scaling is not None:
        what = counted(network.outputs, "number")
        terminal.labelled("predicts", f"{what} of an image")
    if settings := network.training_settings:
        terminal.labelled("training", *settings_text(settings).split(", "))
    terminal.labelled("weights", network.weights_sha256())


def training_of(network: Network, entry: Preset | None) -> tuple[Optimizer, int]:
    """Return the optimizer and the batch size of a preset, or those that trained a file's."""
    if entry is not None:
        return entry.optimizer, entry.batch_size
    settings = network.training_settings or {}
    described, batch_size = settings.get("optimizer"), settings.get("batch_size")
    try:
        optimizer = from_dict(described, OPTIMIZERS, "optimizer")
    except ModelFileError:
        # None, or a note of a user's own: whoever saves a network may keep any settings with it.
        optimizer = Adam()
    return optimizer, batch_size if is_integer(batch_size, 1) else 64


def check_size_of_preset(model: str | None, data: str | None, size: tuple[int, int] | None) -> None:
    """Refuse --size where there is nothing to resize: only data of a preset can have any size."""
    if size is not None and (data is None or model is None or model not in PRESET_NAMES):
        raise UsageError("--size must come with a preset and DATA; a model's are resized to fit it")


def named_network(model: str) -> tuple[Network, Preset | None]:
    """Return the network of a preset for its customary data, or of a file."""
    if entry := PRESETS.get(model):
        return presets.preset(model, entry.input_shape, entry.classes), entry
    path = Path(model)
    if model == auto.NAME and not path.exists():
        rule = "be a file or a preset with a shape of its own"
        cure = "convprop train DATA --preset auto --out FILE"
        received = f"auto, which is made for the shape of data: {cure} makes such a file"
        raise UsageError(str(invalid("MODEL", rule, received)))
    if not path.exists() and not path.suffix and path.name == model:
        raise UsageError(unknown_name("MODEL", "be a file or one of", PRESETS, model))
    return Network.load(path), None
