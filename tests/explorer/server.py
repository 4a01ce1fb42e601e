"""A running explorer, and a client that says exactly what it is told to."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

import convprop as cp
from convprop.data.dataset import Dataset
from convprop.explorer.serving import Serving, bound
from convprop.explorer.session import Session


class Answer(NamedTuple):
    """A response's status, headers (names in small letters) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """Requests to one server; knows the cookie once it has entered."""

    def __init__(self, serving: Serving, net: cp.Network | None = None) -> None:
        self.serving, self.net = serving, net
        self.port = serving.port
        self.host = f"127.0.0.1:{serving.port}"
        self.entrance = serving.url.removeprefix(f"http://{self.host}")
        self.cookie = ""

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        host: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", self.host if host is None else host)
        sent = {"Cookie": self.cookie} if self.cookie else {}
        if body is not None:
            sent["Content-Length"] = str(len(body))
        for name, value in (sent | (headers or {})).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        found = Answer(answer.status, {n.lower(): v for n, v in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def enter(self) -> Client:
        """Exchange the token for the cookie."""
        self.cookie = self.ask("GET", self.entrance).headers["set-cookie"].split(";")[0]
        return self

    def post(self, path: str, body: object) -> Answer:
        """Send JSON."""
        return self.ask("POST", path, json.dumps(body).encode())

    def open(self) -> str:
        """Open a session; return the path of its questions."""
        return f"/sessions/{self.post('/open', {}).json()['session']}"


def small_network() -> cp.Network:
    """A network with every view's kind of layer."""
    layers = [
        cp.Conv(3, 3, padding=1),
        cp.ReLU(),
        cp.MaxPool(2),
        cp.Conv(4, 3),
        cp.Tanh(),
        cp.Flatten(),
        cp.Dense(10),
    ]
    loss = cp.SoftmaxCrossEntropy(label_smoothing=0.1)
    net = cp.Network(layers, (1, 8, 8), loss=loss, seed=2)
    net.normalisation = [5.0], [0.2]
    return net


def small_data() -> Dataset:
    """Two hundred of the digits."""
    train = cp.data.load("digits").train
    return train.subset(np.arange(200))


@contextmanager
def running(
    net: cp.Network | None = None, data: Dataset | None = None, **options: Any
) -> Iterator[Client]:
    """Serve a network, the small one if none is given, until the block ends."""
    net, data = net or small_network(), data or small_data()
    listening = bound("127.0.0.1", 0)
    serving = Serving(lambda: Session(net, data, cp.Adam(0.01)), listening, **options)
    ready = threading.Event()
    thread = threading.Thread(target=lambda: serving.run(ready.set))
    thread.start()
    try:
        assert ready.wait(20)
        yield Client(serving, net)
    finally:
        serving.stop()
        thread.join(20)
        assert not thread.is_alive()
