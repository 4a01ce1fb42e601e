"""``convprop explore``: the page that shows every number of a network."""

from __future__ import annotations

import signal
import webbrowser
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from cyclopts import Parameter

from convprop.cli import options
from convprop.cli.model import check_size_of_preset, named_network, training_of
from convprop.cli.model_data import load_for
from convprop.cli.options import UsageError, use_threads
from convprop.cli.output import put
from convprop.cli.signals import ending
from convprop.cli.terminal import Terminal
from convprop.cli.train_settings import fresh_network, preset_of
from convprop.data import Dataset, load
from convprop.data.image_files import resize_images
from convprop.data.normalise import normalisation
from convprop.errors import InvalidInput, invalid
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
    size: options.Size = None,
    skip_unreadable: options.SkipUnreadable = False,
    threads: options.Threads = None,
) -> None:
    """Open a page that shows every number of a network: outputs, gradients, deltas, training.

    Parameters
    ----------
    model
        A file that convprop train --out wrote, or a preset or auto, whose weights are then fresh.
        If not given, the preset digits after a short training.
    data
        digits, mnist, a folder with one subfolder of images per class, an .npz file, or a folder
        of idx files: what images are chosen from and trained on. If not given, digits, where the
        model may have learned them.
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
    size
        Resize every image of DATA for a preset, to a square as in 32 or to rows and columns as in
        32x48, at most 99999 each; for a model it is the model's.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use.
    """
    if host != HOME and not allow_remote:
        shown = shortened(host, 200)
        raise UsageError(f"--host {shown} must come with --allow-remote (see --help)")
    # Imported here, as the server takes time that no other command has need of.
    from convprop.explorer.entrance import entrance_file
    from convprop.explorer.serving import Serving, bound
    from convprop.explorer.session import Session

    # Standard output is the address alone.
    terminal = Terminal(stderr=True)
    check_size_of_preset(model, data, size)
    use_threads(threads)
    # Before the training, which a port that is taken would make useless.
    with ending() as taken, closing(bound(host, port)) as listening:
        if listening.getsockname()[0] in ("0.0.0.0", "::"):
            rule = "be the address that browsers will use, not every address"
            raise UsageError(f"--host must {rule}")
        reading = None if data is None else Reading(data, size, skip_unreadable)
        net, images, optimizer = chosen(model, reading, seed, terminal)
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
            put(f"{serving.url}\n")
            if not no_browser:
                terminal.print("Ctrl-C ends it, and so does closing the last page.")
                terminal.print("If your browser does not show it, open the address yourself.")
                with suppress(OSError):  # There is no room for it.
                    file = to_the_end.enter_context(entrance_file(serving.once))
                    webbrowser.open(file.as_uri())

        try:
            with ExitStack() as to_the_end:
                alone = serving.run(ready)
            if alone:
                terminal.print("The last page was closed.")
        except KeyboardInterrupt:
            if taken.signal != signal.SIGINT:
                raise
            # By then all requests have been answered: this is how it is meant to end.
            terminal.print("Ended.")


class Reading(NamedTuple):
    """What ``explore`` is told of the images."""

    data: str
    size: tuple[int, int] | None
    skip_unreadable: bool

    def images(self, terminal: Terminal) -> Dataset:
        """Read the training images, for a preset."""
        with terminal.reading(self.data):
            split = load(self.data, size=self.size, skip_unreadable=self.skip_unreadable)
        terminal.skipped(split.skipped)
        return split.train

    def for_model(self, terminal: Terminal, net: Network, model: str) -> Dataset:
        """Read the training images as a network takes them."""
        with terminal.reading(self.data):
            split = load_for(net, Path(model), self.data, skip_unreadable=self.skip_unreadable)
        terminal.skipped(split.skipped)
        return split.train


def chosen(
    model: str | None, reading: Reading | None, seed: int, terminal: Terminal
) -> tuple[Network, Dataset, Optimizer]:
    """Return the network, the images, and the optimizer that training begins with."""
    if model is not None and model not in options.PRESET_NAMES:
        net, _ = named_network(model)
        if net.target_scaling is not None:
            raise _no_classes(model)
        images = (
            _digits_for(net, model) if reading is None else reading.for_model(terminal, net, model)
        )
        if images.labels.ndim == 2:
            raise _no_classes(model)
        return net, images, training_of(net, None)[0]
    name = model or "digits"
    if reading is None:
        images = _digits(PRESETS.get(name, PRESETS["digits"]).input_shape)
    else:
        images = reading.images(terminal)
    entry = preset_of(name, images)
    net = fresh_network(entry, images, seed)
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


def _no_classes(model: str) -> InvalidInput:
    """Return the error about a network whose targets the page has no place for."""
    rule = "be a network that tells classes apart, which the page can show"
    instead = (
        "convprop predict shows them, convprop evaluate how near they come, and in Python"
        " Network.explore its raw outputs"
    )
    return invalid(model, rule, f"one that predicts numbers: {instead}")


def least_sure(net: Network, images: Dataset, among: int = 100) -> int:
    """Return which of the first images the network is least sure of: its deltas are not near 0."""
    first = images.images[:among]
    shares = net.loss.prediction(net.forward(first))
    wanted = np.eye(max(net.outputs, 2))[images.labels[: len(first)], -net.outputs :]
    return int(np.argmax(np.abs(shares - wanted).sum(axis=1)))


def _digits_for(net: Network, model: str) -> Dataset:
    """Return the digits for a model that may have learned them; refuse any other."""
    digits, names = _digits(net.input_shape), net.class_names
    if names is None and net.outputs >= len(digits.class_names):
        return digits
    if names is not None and set(digits.class_names) <= set(names):
        return digits.with_classes(names)
    rule = f"be given for {model}, whose outputs are not the ten digits"
    raise UsageError(str(invalid("DATA", rule, "none")))


def _digits(shape: tuple[int, int, int]) -> Dataset:
    """Return the handwritten digits that come with scikit-learn, in a network's shape."""
    digits = load("digits").train
    images = digits.images
    if shape[1:] != images.shape[2:]:
        images = resize_images(images, shape[1:])
    if shape[0] != 1:
        images = np.repeat(images, shape[0], axis=1)
    return replace(digits, images=np.ascontiguousarray(images))
