"""``convprop explore``: the page that shows every number of a network."""

from __future__ import annotations

import signal
import webbrowser
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from convprop.cli import options
from convprop.cli.model import check_size_of_preset, named_network, training_of
from convprop.cli.model_data import load_for
from convprop.cli.options import UsageError, use_threads
from convprop.cli.signals import ending
from convprop.cli.terminal import Terminal
from convprop.cli.train_settings import course_for
from convprop.data import Dataset, load
from convprop.data.image_files import resize_images
from convprop.data.normalise import normalisation
from convprop.errors import InvalidInput, invalid
from convprop.explorer.serving import Serving, bound
from convprop.explorer.session import Session
from convprop.network import Network
from convprop.optimizers import Optimizer
from convprop.presets import PRESETS
from convprop.report.words import counted
from convprop.shown import shortened
from convprop.training import train

HOME = "127.0.0.1"
DIGITS_EPOCHS = 12


def explore(
    model: options.DataName | None = None,
    data: options.DataName | None = None,
    /,
    *,
    port: Annotated[int, Parameter(converter=options.port_number)] = 0,
    no_browser: bool = False,
    host: str = HOME,
    allow_remote: bool = False,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    size: options.Size = None,
) -> None:
    """Open a page that shows every number of a network: outputs, gradients, deltas, training.

    Parameters
    ----------
    model
        A file that convprop train --out wrote, or a preset or auto, whose weights are then fresh.
        If not given, the preset digits after a short training.
    data
        digits, mnist, a folder with one subfolder of images per class, an .npz file, or a folder
        of idx files: what images are chosen from and trained on. If not given, digits.
    port
        Where to listen; any free port if not given.
    no_browser
        Only print the address.
    host
        Listen at another address than 127.0.0.1; needs --allow-remote.
    allow_remote
        Answer other machines too. Whoever has the address can then use the page, and whoever
        can watch the network can read it.
    seed
        Of a preset's weights, and of the training; 0 if not given.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use.
    size
        Of a preset's data: resize every image, as for convprop train.
    """
    if host != HOME and not allow_remote:
        shown = shortened(host, 200)
        raise UsageError(f"--host {shown} must come with --allow-remote (see --help)")
    # Standard output is the address alone.
    terminal = Terminal(stderr=True)
    check_size_of_preset(model, data, size)
    use_threads(threads)
    # Before the training, which a port that is taken would make useless.
    with ending() as taken, closing(bound(host, port)) as listening:
        if listening.getsockname()[0] in ("0.0.0.0", "::"):
            rule = "be the address that browsers will use, not every address"
            raise UsageError(f"--host must {rule}")
        net, images, optimizer = chosen(model, data, seed, terminal, size)
        index, fresh = least_sure(net, images), model in options.PRESET_NAMES
        serving = Serving(
            lambda: Session(net, images, optimizer, index=index, fresh=fresh), listening
        )
        if host != HOME:
            terminal.print(
                f"The page answers other machines at {host}, without encryption. Whoever has the "
                "address below can train this network and send it pictures, and nothing else.",
            )

        def ready() -> None:
            print(serving.url, flush=True)
            if not no_browser:
                terminal.print("Ctrl-C ends it, and so does closing the last page.")
                webbrowser.open(serving.url)

        try:
            if serving.run(ready):
                terminal.print("The last page was closed.")
        except KeyboardInterrupt:
            if taken.signal != signal.SIGINT:
                raise
            # By then all requests have been answered: this is how it is meant to end.
            terminal.print("Ended.")


def chosen(
    model: str | None,
    data: str | None,
    seed: int,
    terminal: Terminal,
    size: tuple[int, int] | None = None,
) -> tuple[Network, Dataset, Optimizer]:
    """Return the network, the images, and the optimizer that training begins with."""
    if model is None or model in options.PRESET_NAMES:
        name = model or "digits"
        if data is not None:
            with terminal.reading(data):
                images = load(data, size=size).train
        else:
            known = PRESETS.get(name, PRESETS["digits"])
            images = _digits(known.input_shape)
        entry = course_for(name, images)
        net = entry.network(images.image_shape, len(images.class_names), seed)
        net.class_names = images.class_names
        net.normalisation = normalisation(images.images)
        if model is None:
            epochs = DIGITS_EPOCHS
            terminal.labelled("training", f"{entry.name} for {counted(epochs, 'epoch')}")
            train(
                net,
                images.images,
                images.labels,
                optimizer=entry.optimizer,
                batch_size=entry.batch_size,
                epochs=epochs,
            )
        return net, images, entry.optimizer
    net, _ = named_network(model)
    if net.target_scaling is not None:
        raise _no_classes(model)
    if data is None:
        return net, _digits(net.input_shape), training_of(net, None)[0]
    with terminal.reading(data):
        images = load_for(net, Path(model), data).train
    if images.labels.ndim == 2:
        raise _no_classes(model)
    return net, images, training_of(net, None)[0]


def _no_classes(model: str) -> InvalidInput:
    """Return the error about a network whose targets the page has no place for."""
    rule = "be a network that tells classes apart, which the page can show"
    return invalid(model, rule, "one that predicts numbers")


def least_sure(net: Network, images: Dataset, among: int = 100) -> int:
    """Return which of the first images the network is least sure of: its deltas are not near 0."""
    first = images.images[:among]
    shares = net.loss.prediction(net.forward(first))
    wanted = np.eye(max(net.outputs, 2))[images.labels[: len(first)], -net.outputs :]
    return int(np.argmax(np.abs(shares - wanted).sum(axis=1)))


def _digits(shape: tuple[int, int, int]) -> Dataset:
    """Return the handwritten digits that come with scikit-learn, in a network's shape."""
    digits = load("digits").train
    images = digits.images
    if shape[1:] != images.shape[2:]:
        images = resize_images(images, shape[1:])
    if shape[0] != 1:
        images = np.repeat(images, shape[0], axis=1)
    return replace(digits, images=np.ascontiguousarray(images))
