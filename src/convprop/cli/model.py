"""``convprop evaluate`` and ``summary``: how good a trained network is, and what."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from convprop import presets
from convprop.cli.options import (
    Count,
    DataName,
    FileName,
    Threads,
    UsageError,
    unknown_name,
    use_threads,
)
from convprop.cli.terminal import (
    Terminal,
    loss_text,
    percent,
    print_json,
    settings_text,
)
from convprop.data import Dataset, load
from convprop.data.idx import is_idx_folder
from convprop.data.mapped import is_array_folder
from convprop.described import from_dict
from convprop.errors import ModelFileError, invalid
from convprop.geometry import is_integer
from convprop.layers import shape_text
from convprop.network import Network
from convprop.optimizers import OPTIMIZERS, Adam, Optimizer
from convprop.presets import PRESETS, Preset
from convprop.report.measure import Measured, measure
from convprop.report.words import counted
from convprop.shown import shortened

_MOST_CONFUSIONS = 3


def evaluate(
    model: FileName,
    data: DataName,
    /,
    *,
    part: Annotated[str, Parameter(choices=("test", "train"))] = "test",
    threads: Threads = None,
    skip_unreadable: bool = False,
    stream: bool = False,
    json: bool = False,
) -> None:
    """Measure a trained network on labelled images.

    Parameters
    ----------
    model
        A file that convprop train --out wrote.
    data
        digits, mnist, a folder with one subfolder of images per class, an .npz file, or a
        folder of idx files. Image files are resized to what the model takes.
    part
        test (default): the images that training does not see; train: the others.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use.
    skip_unreadable
        Leave out image files that cannot be read, and list them.
    stream
        Read the images of a folder as they are needed, instead of all of them first: for more
        than fit in memory. The result is the same.
    json
        Write the result as one line of JSON on stdout, and all else on stderr.
    """
    terminal = Terminal(stderr=json)
    use_threads(threads)
    network = Network.load(model)
    with terminal.reading(data):
        split = load(
            data, size=size_for(data, network), skip_unreadable=skip_unreadable, stream=stream
        )
    terminal.skipped(split.skipped)
    images = fitted(split.test if part == "test" else split.train, network, model)
    started = time.perf_counter()
    measured = measure(network, images)
    seconds = time.perf_counter() - started
    terminal.labelled("data", f"{data}: {counted(len(images), f'{part} image')}")
    terminal.labelled(
        "result", f"accuracy {percent(measured.accuracy)}", f"loss {loss_text(measured.loss)}"
    )
    terminal.labelled("mistakes", *_mistakes(measured))
    terminal.labelled("time", f"{seconds:.2f} s", f"{len(images) / seconds:,.0f} images/s")
    if json:
        print_json(
            {
                "accuracy": measured.accuracy,
                "loss": measured.loss,
                "images": len(images),
                "part": part,
                "seconds": seconds,
                "images_per_second": len(images) / seconds,
                "class_names": images.class_names,
                "confusion": measured.matrix().tolist(),
                "weights_sha256": network.weights_sha256(),
            }
        )


def size_for(data: str, network: Network) -> tuple[int, int] | None:
    """Return what to resize ``data`` to: files of images are, arrays have to fit."""
    path = Path(data)
    if path.is_dir() and not is_idx_folder(path) and not is_array_folder(path):
        return network.input_shape[1:]
    return None


def fitted(images: Dataset, network: Network, model: Path) -> Dataset:
    """Return ``images`` with labels that index the model's classes, or say what does not fit."""
    if images.image_shape != network.input_shape:
        rule = f"hold images of {shape_text(network.input_shape)} to fit {model}"
        raise invalid(images.name, rule, shape_text(images.image_shape))
    if network.class_names is not None:
        return images.with_classes(network.class_names)
    names, classes = images.class_names, max(network.outputs, 2)
    if len(names) > classes:
        rule = f"have at most {classes} classes to fit {model}"
        raise invalid(images.name, rule, len(names))
    # A class that the data does not have may be predicted, too.
    return replace(images, class_names=[*names, *map(str, range(len(names), classes))])


def _mistakes(measured: Measured) -> list[str]:
    """Say how many images were taken for another class, and which for which most often."""
    names = measured.class_names
    worst = [cell for cell in measured.cells() if cell.true != cell.predicted][:_MOST_CONFUSIONS]
    most = [f"took {names[c.true]} for {names[c.predicted]} ({c.images}x)" for c in worst]
    return [f"{measured.wrong.sum():,} of {len(measured.labels):,}", *most]


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
        terminal.labelled("classes", *(shortened(name, 80) for name in network.class_names))
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


def named_network(model: str) -> tuple[Network, Preset | None]:
    """Return the network of a preset for its customary data, or of a file."""
    if entry := PRESETS.get(model):
        return presets.preset(model, entry.input_shape, entry.classes), entry
    path = Path(model)
    if not path.exists() and not path.suffix and path.name == model:
        raise UsageError(unknown_name("MODEL", "be a file or one of", PRESETS, model))
    return Network.load(path), None
