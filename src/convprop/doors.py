"""The methods of a class that lead to what lies above it, put on here: no import runs upward."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from convprop.about import html_forms
from convprop.about.summary import summary
from convprop.arguments import checks_names
from convprop.data.dataset import Dataset, Split
from convprop.files import model
from convprop.network import Network
from convprop.passes import Backpropagation
from convprop.training.records import History


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
    (Network, "save", model.save),
    (Network, "load", staticmethod(model.load)),
    (Network, "_repr_html_", html_forms.network),
    (Backpropagation, "_repr_html_", html_forms.backpropagation),
    (Dataset, "_repr_html_", html_forms.dataset),
    (Split, "_repr_html_", html_forms.split),
    (History, "_repr_html_", html_forms.history),
):
    setattr(of, name, method)
