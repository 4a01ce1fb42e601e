"""The methods of a class that lead to what lies above it, put on here: no import runs upward."""

from __future__ import annotations

from os import PathLike
from typing import Any

from numpy.typing import ArrayLike

from convprop.about import html_forms
from convprop.about import summary as summaries
from convprop.arguments import checks_names
from convprop.data.dataset import Dataset, Split
from convprop.files import model
from convprop.network import Network
from convprop.optimizers import Adam, Optimizer
from convprop.passes import Backpropagation
from convprop.training.records import History


@checks_names
def summary(
    self: Network,
    batch_size: int | None = None,
    *,
    images: int | None = None,
    optimizer: Optimizer = Adam(1e-3),
) -> str:
    """Return a table of layers, shapes, parameters, multiply-adds and memory.

    Of at most 80 columns unless names or numbers alone take more. Multiply-adds are those of one
    image's forward pass (a training step takes about three times as many); memory is what one
    image's output of the layer takes.

    Parameters
    ----------
    batch_size : int, optional
        Say also what training in such batches takes, and the peak of memory to expect in
        this process if it has not trained yet.
    images : int, optional
        How many uint8 images it will train on; None: one batch.
    optimizer : Optimizer
        What it will train with. Both tell something with a batch size only.
    """
    return summaries.summary(self, batch_size, images, optimizer)


@checks_names
def save(
    self: Network, path: str | PathLike[str], training_settings: dict[str, Any] | None = None
) -> None:
    """Write a model file, whole or not at all; see `convprop.files.model.save`."""
    model.save(self, path, training_settings)


@checks_names
def explore(
    self: Network, images: ArrayLike, labels: ArrayLike | None = None, *, height: int = 900
) -> Any:
    """Return the explorer's page for a notebook, where it shows every number of the network.

    A server on this machine answers it, at 127.0.0.1 and with a secret in its address, for as
    long as Python runs, or until the notebook runs the same cell again, or ``close()``.
    Training on the page changes a copy of the network. Of one that predicts numbers it shows
    the raw outputs, without their ``target_scaling``, beside targets that are labels.

    Parameters
    ----------
    images : array_like
        (N, C, H, W) or one image (C, H, W), as for ``forward``: what can be chosen.
    labels : array_like, optional
        (N,) or one; 0 if not given.
    height : int
        Of the frame, in pixels.

    Returns
    -------
    Frame
        ``url`` is the page by itself.

    Raises
    ------
    InvalidInput
        Images or labels that do not fit the network, or a height that is no positive integer.
    """
    from convprop.explorer.notebook import Frame

    return Frame(self, images, labels, height)


for of, name, method in (
    (Network, "summary", summary),
    (Network, "explore", explore),
    (Network, "save", save),
    (Network, "load", staticmethod(model.load)),
    (Network, "_repr_html_", html_forms.network),
    (Backpropagation, "_repr_html_", html_forms.backpropagation),
    (Dataset, "_repr_html_", html_forms.dataset),
    (Split, "_repr_html_", html_forms.split),
    (History, "_repr_html_", html_forms.history),
):
    setattr(of, name, method)
