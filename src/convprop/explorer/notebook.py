"""The explorer inside a notebook: a frame, and a server that a thread of this process runs."""

from __future__ import annotations

import atexit
import sys
import threading
from contextlib import suppress
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convprop.checks import is_integer
from convprop.data.arrays import as_labels
from convprop.data.dataset import Dataset
from convprop.errors import invalid
from convprop.explorer.serving import Serving, bound
from convprop.explorer.session import Session
from convprop.machine.threads import starting_threads
from convprop.network import Network
from convprop.optimizers import Adam

_open: list[Frame] = []


class Frame:
    """The page for some images, shown by a notebook as the last value of a cell.

    Its server ends with ``close``, with Python, and when the notebook runs the same cell again.

    Attributes
    ----------
    url : str
        The page by itself.
    """

    def __init__(
        self, net: Network, images: ArrayLike, labels: ArrayLike | None, height: int
    ) -> None:
        if not is_integer(height, 1):
            raise invalid("height", "be a positive integer", repr(height))
        # What is no array, as_images refuses.
        with suppress(ValueError):
            images = np.asarray(images)
            if images.shape == net.input_shape:
                images = images[np.newaxis]
        checked = net.as_images(images)
        classes = max(net.outputs, 2)
        chosen = np.zeros(len(checked), np.int32) if labels is None else np.atleast_1d(labels)
        targets = as_labels(chosen, len(checked), classes)
        names = net.class_names or tuple(map(str, range(classes)))
        data = Dataset(checked, targets, list(names), "yours")
        # Later changes of the network are not seen: the page's own training is its own.
        session = Session(net, data, Adam())
        first = session.net
        self._height = int(height)
        serving = Serving(
            lambda: Session(first, data, Adam()), bound("127.0.0.1", 0), framed=True, stays=True
        )
        self.url = serving.url
        self._serving: Serving | None = serving
        self._thread = threading.Thread(target=serving.run, daemon=True)
        with starting_threads():
            self._thread.start()
        self._cell, self._run = _cell_and_run()
        for other in list(_open):
            if self._cell is not None and other._cell == self._cell and other._run != self._run:
                other.close()
        _open.append(self)

    def close(self) -> None:
        """End the server."""
        if self._serving is None:
            return
        self._serving.stop()
        self._thread.join(5)
        # A notebook keeps what its cells have shown; the networks need not be kept with it.
        self._serving = None
        _open.remove(self)

    def __repr__(self) -> str:
        return f"<the explorer at {self.url}>"

    def _repr_html_(self) -> str:
        url = escape(self.url)
        return (
            f'<p><a href="{url}" target="_blank">The page by itself</a>, for as long as this '
            "Python runs. Where nothing is shown below, it has ended: run the cell again.</p>"
            f'<iframe src="{url}" width="100%" height="{self._height}" allow="clipboard-write" '
            'style="border: 1px solid #ccc" title="convprop explorer"></iframe>'
        )


@atexit.register
def _close_all() -> None:
    # A thread that still ran would keep its networks beyond the end of the interpreter.
    for frame in _open:
        if frame._serving is not None:
            frame._serving.stop()
    for frame in list(_open):
        frame.close()


def _cell_and_run() -> tuple[str | None, str]:
    """Return what a notebook calls the running cell and this run of it; None and "" outside one."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    try:
        message = shell.get_parent()
        return message["metadata"]["cellId"], message["header"]["msg_id"]
    except (AttributeError, KeyError, TypeError):
        return None, ""
