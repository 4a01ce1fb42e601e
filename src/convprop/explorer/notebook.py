"""The explorer inside a notebook: a frame, and a server that a thread of this process runs."""

from __future__ import annotations

import threading
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from convprop.data.dataset import Dataset
from convprop.explorer.serving import Serving, bound
from convprop.explorer.session import Session
from convprop.network import Network
from convprop.optimizers import Adam


class Frame:
    """The page for some images, shown by a notebook as the last value of a cell.

    Attributes
    ----------
    url : str
        The page by itself.
    """

    def __init__(
        self, net: Network, images: ArrayLike, labels: ArrayLike | None, height: int
    ) -> None:
        given = np.asarray(images)
        if given.ndim == len(net.input_shape) and given.shape == net.input_shape:
            given = given[np.newaxis]
        checked = net.as_images(given)
        classes = max(net.outputs, 2)
        chosen = np.zeros(len(checked), np.int32) if labels is None else np.atleast_1d(labels)
        targets = net.as_targets(chosen, len(checked), "labels").reshape(-1).astype(np.int32)
        names = net.class_names or tuple(map(str, range(classes)))
        data = Dataset(checked, targets, list(names), "images")
        # Later changes of the network are not seen: the page's own training is its own.
        session = Session(net, data, Adam())
        first = session.net
        self._height = height
        self._serving = Serving(
            lambda: Session(first, data, Adam()), bound("127.0.0.1", 0), framed=True, stays=True
        )
        self.url = self._serving.url
        self._thread = threading.Thread(target=self._serving.run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self._serving.stop()
        self._thread.join(5)

    def _repr_html_(self) -> str:
        return (
            f'<iframe src="{escape(self.url)}" width="100%" height="{self._height}" '
            'style="border: 1px solid #ccc" title="convprop explorer"></iframe>'
        )
