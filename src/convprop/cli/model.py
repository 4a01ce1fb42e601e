"""``convprop evaluate`` and ``summary``: how good a trained network is, and what."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter
from numpy.typing import NDArray

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
from convprop.errors import invalid
from convprop.geometry import is_integer
from convprop.layers import shape_text
from convprop.network import Network
from convprop.optimizers import OPTIMIZERS, Adam, Optimizer
from convprop.presets import PRESETS, Preset
from convprop.report.words import counted

_MOST_CONFUSIONS = 3


def evaluate(
    model: FileName,
    data: DataName,
    /,
    *,
    part: Annotated[str, Parameter(choices=("test", "train"))] = "test",
    threads: Threads = None,
    skip_unreadable: bool = False,
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
    json
        Write the result as one line of JSON on stdout, and all else on stderr.
    """
    terminal = Terminal(stderr=json)
    use_threads(threads)
    network = Network.load(model)
    with terminal.reading(data):
        split = load(data, size=size_for(data, network), skip_unreadable=skip_unreadable)
    terminal.skipped(split.skipped)
    images = fitted(split.test if part == "test" else split.train, network, model)
    started = time.perf_counter()
    loss, accuracy = network.evaluate(images.images, images.labels)
    seconds = time.perf_counter() - started
    predicted = network.predict_classes(images.images)
    terminal.labelled("data", f"{data}: {counted(len(images), f'{part} image')}")
    terminal.labelled("result", f"accuracy {percent(accuracy)}", f"loss {loss_text(loss)}")
    terminal.labelled("mistakes", *_mistakes(images, predicted))
    terminal.labelled("time", f"{seconds:.2f} s", f"{len(images) / seconds:,.0f} images/s")
    if json:
        print_json(
            {
                "accuracy": accuracy,
                "loss": loss,
                "images": len(images),
                "part": part,
                "seconds": seconds,
                "images_per_second": len(images) / seconds,
                "class_names": images.class_names,
                "confusion": _confusion(images, predicted).tolist(),
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
    if len(images.class_names) > max(network.outputs, 2):
        rule = f"have at most {max(network.outputs, 2)} classes to fit {model}"
        raise invalid(images.name, rule, len(images.class_names))
    return images


def _confusion(images: Dataset, predicted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many images of each class (row) were taken for each class (column)."""
    classes = len(images.class_names)
    pairs = images.labels.astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def _mistakes(images: Dataset, predicted: NDArray[np.int64]) -> list[str]:
    """Say how many images were taken for another class, and which for which most often."""
    confusion = _confusion(images, predicted)
    np.fill_diagonal(confusion, 0)
    names, classes = images.class_names, len(images.class_names)
    worst = np.argsort(-confusion, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    pairs = [(*divmod(int(place), classes), int(confusion.flat[place])) for place in worst]
    most = [f"{names[i]} for {names[j]} ({times}x)" for i, j, times in pairs if times]
    return [f"{confusion.sum():,} of {len(images):,}", *(f"took {pair}" for pair in most)]


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
        terminal.labelled("classes", *network.class_names)
    if settings := network.training_settings:
        terminal.labelled("training", *settings_text(settings).split(", "))
    terminal.labelled("weights", network.weights_sha256())


def training_of(network: Network, entry: Preset | None) -> tuple[Optimizer, int]:
    """Return the optimizer and the batch size of a preset, or those that trained a file's."""
    if entry is not None:
        return entry.optimizer, entry.batch_size
    settings = network.training_settings or {}
    described, batch_size = settings.get("optimizer"), settings.get("batch_size")
    optimizer = from_dict(described, OPTIMIZERS, "optimizer") if described else Adam()
    return optimizer, batch_size if is_integer(batch_size, 1) else 64


def named_network(model: str) -> tuple[Network, Preset | None]:
    """Return the network of a preset for its customary data, or of a file."""
    if entry := PRESETS.get(model):
        return presets.preset(model, entry.input_shape, entry.classes), entry
    path = Path(model)
    if not path.exists() and not path.suffix and path.name == model:
        raise UsageError(unknown_name("MODEL", "be a file or one of", PRESETS, model))
    return Network.load(path), None
