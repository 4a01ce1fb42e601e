"""``convprop profile``: where the time of a training step goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop import auto
from convprop.about.profile import STEPS
from convprop.about.profile import profile as profile_network
from convprop.cli.model import check_size_of_preset, named_network, training_of
from convprop.cli.model_data import load_for
from convprop.cli.options import (
    PRESET_NAMES,
    AsJson,
    Count,
    DataName,
    Size,
    Threads,
    UsageError,
    use_threads,
)
from convprop.cli.terminal import Terminal, left_out, print_json
from convprop.cli.train_settings import fresh_network, preset_of
from convprop.data import Split, load
from convprop.errors import invalid
from convprop.layers import shape_text
from convprop.machine.native import engine
from convprop.network import Network
from convprop.presets import Preset
from convprop.report.words import counted

_STREAMED_BATCHES = 20


def profile(
    model: DataName,
    data: DataName | None = None,
    /,
    *,
    batch_size: Count = None,
    steps: Count = None,
    threads: Threads = None,
    size: Size = None,
    json: AsJson = False,
) -> None:
    """Show where the time of a training step goes, layer by layer and pass by pass.

    GFLOP/s count a multiply-add as two operations; the limit is what this machine does in
    registers alone. MB are what a pass has to read and write once.

    Parameters
    ----------
    model
        A file that convprop train --out wrote, or a preset; auto, with data for its shape.
    data
        Images to train on, as for convprop train; random ones if not given.
    batch_size
        Images per step; the preset's or the training's if not given.
    steps
        How many steps to measure; 30 if not given. Of each pass the faster half counts.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use.
    size
        Of a preset's data: resize every image, as for convprop train.
    """
    terminal = Terminal(stderr=json)
    check_size_of_preset(model, data, size)
    if data is None and model == auto.NAME and not Path(model).exists():
        rule = "be given with auto, which is made for the shape of the images"
        raise UsageError(str(invalid("DATA", rule, "none")))
    use_threads(threads)
    if data is None:
        network, entry = named_network(model)
        optimizer, customary = training_of(network, entry)
        batch = batch_size or customary
        source, others = counted(batch, "random image"), 0
        images, labels = _random(network, batch)
    else:
        network, entry, split = _of_data(terminal, model, data, size, batch_size)
        train = split.train
        optimizer, customary = training_of(network, entry)
        batch = batch_size or customary
        source, others = f"{data}: {counted(len(train), 'training image')}", split.left_out
        if not isinstance(train.images, np.ndarray):  # A stream may be too large to be held.
            train = train.subset(np.arange(min(_STREAMED_BATCHES * batch, len(train))))
        images, labels = train.images, train.labels
    measured = profile_network(
        network, images, labels, optimizer=optimizer, batch_size=batch, steps=steps or STEPS
    )
    terminal.print(str(measured), soft_wrap=True)
    terminal.print()
    shape = f"input {shape_text(network.input_shape)}"
    terminal.labelled("network", model, shape, source, *left_out(others))
    terminal.labelled(
        "measured",
        counted(measured.steps, "step"),
        f"batches of {measured.batch_size}",
        str(network.dtype),
        optimizer.kind,
        counted(measured.threads, "thread"),
    )
    terminal.labelled(
        "result",
        f"{measured.batch_size / measured.seconds:,.0f} images/s",
        f"{measured.share_of_limit:.0%} of the limit",
        f"which is {measured.limit / 1e9:,.0f} GFLOP/s ({engine.isa})",
    )
    if json:
        print_json({"model": model, "data": data, "isa": engine.isa} | measured.to_dict())


def _of_data(
    terminal: Terminal,
    model: str,
    data: str,
    size: tuple[int, int] | None,
    batch_size: int | None,
) -> tuple[Network, Preset | None, Split]:
    """Return a network for data, and the preset if it is one; and the data."""
    with terminal.reading(data):
        if model not in PRESET_NAMES:
            network, _ = named_network(model)
            return network, None, load_for(network, Path(model), data)
        split = load(data, size=size)
    train = split.train
    entry = preset_of(model, train, batch_size)
    return fresh_network(entry, train), entry, split


def _random(network: Network, size: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return images and targets of a batch: only their sizes tell in the time."""
    network.plan("train", size)  # Refused where there is no room for it, or for the images.
    images = np.random.default_rng(0).integers(0, 256, (size, *network.input_shape), np.uint8)
    if network.predicts_numbers:
        return images, np.zeros((size, network.outputs))
    return images, np.arange(size, dtype=np.int32) % max(network.outputs, 2)
