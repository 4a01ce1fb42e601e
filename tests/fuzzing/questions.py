"""The explorer's questions: bodies that the page would not send, to sessions in any state."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from typing import Any

import numpy as np

import convprop as cp
from convprop.data import Dataset
from convprop.errors import ConvpropError
from convprop.explorer.questions import QUESTIONS
from convprop.explorer.server import Explorer, Held
from convprop.explorer.session import Session
from fuzzing.judge import check_shown, must
from fuzzing.mutate import changed, damaged, odd, text_of

GOOD: tuple[tuple[str, dict[str, Any]], ...] = (
    ("maps", {}),
    ("choose", {"index": 3, "label": 1}),
    ("label", {"label": 2}),
    ("draw", {"pixels": [[0, 0.5, 1], [1, 0.25, 0]]}),
    ("invert", {}),
    ("explain", {"number": "output", "layer": "conv1", "at": [1, 2, 3]}),
    ("explain", {"number": "weight_gradient", "layer": "conv1", "at": [1, 0, 2, 1]}),
    ("explain", {"number": "bias_gradient", "layer": "dense1", "at": [1]}),
    ("explain", {"number": "delta", "layer": "max_pool1", "at": [1, 1, 2]}),
    ("explain", {"number": "delta", "layer": "add1", "at": [1, 2, 2], "of": "conv1"}),
    ("explain", {"number": "loss", "at": []}),
    ("routing", {"layer": "max_pool1", "channel": 1}),
    ("fields", {"map": 1, "pixel": [2, 3]}),
    ("gallery", {"first": 2, "label": 1}),
    ("arithmetic", {"input": 5, "kernel": 3, "stride": 2, "padding": 1, "dilation": 1}),
    (
        "arithmetic",
        {"input": 3, "kernel": 2, "stride": 1, "padding": 0, "dilation": 2, "transposed": True},
    ),
    ("train", {"steps": 2, "optimizer": "adam", "learning_rate": 0.01}),
    ("train", {"steps": 1, "optimizer": "sgd", "learning_rate": 0.1}),
    ("anew", {}),
    ("back", {"step": 1}),
)
STATUSES = (200, 400, 404, 409, 410)


class Questions:
    """Asks an explorer, without a network between."""

    def __init__(self) -> None:
        chance = np.random.default_rng(0)
        layers = [
            *(cp.Conv(2, 3), cp.Residual(cp.ReLU(), cp.Conv(2, 1)), cp.ReLU()),
            *(cp.MaxPool(2), cp.Dropout(0.2), cp.Dense(3)),
        ]
        net = cp.Network(layers, (1, 8, 8))
        images = chance.integers(0, 256, (9, 1, 8, 8)).astype(np.uint8)
        data = Dataset(images, np.arange(9, dtype=np.int32) % 3, ["a", "\x1b", "c"], "\udcff\x1b")
        self.session = Session(net, data, cp.Adam(0.01), fresh=True)
        self.explorer = Explorer(lambda: copy.deepcopy(self.session))
        self.app = self.explorer.app()

    def __call__(self, chance: random.Random) -> None:
        """Ask some questions of one session."""
        asyncio.run(self._ask(chance))

    async def _ask(self, chance: random.Random) -> None:
        self.explorer._held = type(self.explorer._held)(one=Held(self.explorer.make()))
        refused = ""
        for _ in range(chance.randint(1, 4)):
            name, body = chance.choice(GOOD)
            content = self._body(chance, body)
            way = chance.choice((name, name, name, name, *QUESTIONS, "upload", "\x1b", "x" * 5000))
            path = "/open" if chance.random() < 0.05 else f"/sessions/one/{way}"
            status, answer = await self._post(path, content)
            must(status in STATUSES, f"status {status}")
            if status == 200:
                json.loads(answer, parse_constant=_refuse)
            else:
                refused = json.loads(answer)["error"]
                check_shown(refused)
        if refused:
            raise ConvpropError(refused)

    def _body(self, chance: random.Random, body: dict[str, Any]) -> bytes:
        kind = chance.randrange(6)
        if kind == 0 or not body:
            return text_of(body).encode()
        if kind == 1:
            return damaged(chance, json.dumps(body).encode())
        value = odd(chance) if kind == 2 and chance.random() < 0.2 else changed(chance, body, 2)
        return text_of(value).encode("utf-8", "surrogatepass")

    async def _post(self, path: str, content: bytes) -> tuple[int, bytes]:
        """Return the status and the body of the answer to a request."""
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(b"content-length", str(len(content)).encode())],
            "server": ("127.0.0.1", 1),
            "client": ("127.0.0.1", 2),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], body


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


prepare = Questions
