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
from convprop.cli.model import fitted, named_network, size_for, training_of
from convprop.cli.options import UsageError, use_threads
from convprop.cli.signals import ending
from convprop.cli.terminal import Terminal
from convprop.data import Dataset, load
from convprop.data.image_files import resize_images
from convprop.data.normalise import normalisation
from convprop.explorer.serving import Serving, bound
from convprop.explorer.session import Session
from convprop.network import Network
from convprop.optimizers import Optimizer
from convprop.presets import PRESETS, preset
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
) -> None:
    """Open a page that shows every number of a network: outputs, gradients, deltas, training.

    Parameters
    ----------
    model
        A file that convprop train --out wrote, or a preset, whose weights are then fresh. If not
        given, the preset digits after a short training.
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
    """
    if host != HOME and not allow_remote:
        shown = shortened(host, 200)
        raise UsageError(f"--host {shown} must come with --allow-remote (see --help)")
    # Standard output is the address alone.
    terminal = Terminal(stderr=True)
    use_threads(threads)
    # Before the training, which a port that is taken would make useless.
    with ending() as taken, closing(bound(host, port)) as listening:
        if listening.getsockname()[0] in ("0.0.0.0", "::"):
            rule = "be the address that browsers will use, not every address"
            raise UsageError(f"--host must {rule}")
        net, images, optimizer = chosen(model, data, seed, terminal)
        index, fresh = least_sure(net, images), model in PRESETS
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
    model: str | None, data: str | None, seed: int, terminal: Terminal
) -> tuple[Network, Dataset, Optimizer]:
    """Return the network, the images, and the optimizer that training begins with."""
    if model is None or model in PRESETS:
        entry = PRESETS[model or "digits"]
        if data is not None:
            with terminal.reading(data):
                images = load(data).train
            net = preset(entry.name, images.image_shape, len(images.class_names), seed=seed)
        else:
            images = _digits(entry.input_shape)
            net = preset(entry.name, entry.input_shape, 10, seed=seed)
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
    if data is None:
        return net, _digits(net.input_shape), training_of(net, None)[0]
    with terminal.reading(data):
        images = load(data, size=size_for(data, net)).train
    return net, fitted(images, net, Path(model)), training_of(net, None)[0]


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
