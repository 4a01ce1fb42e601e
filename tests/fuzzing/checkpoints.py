"""Checkpoints: contents that no training has written, with their right hash or a wrong one."""

from __future__ import annotations

import contextlib
import json
import math
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np

import convprop as cp
from convprop.about.inspection import inspect_file
from convprop.errors import ConvpropError, ModelFileError
from convprop.files.header import Header, read_header, read_tensor
from convprop.training.checkpoint import METADATA_KEY, Checkpoints, _digest
from fuzzing.judge import check_shown, must
from fuzzing.models import changed_header, joined, parts
from fuzzing.mutate import changed, damaged, text_of

EPOCHS = 3
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 1, 5, 5)).astype(np.uint8)
LABELS = np.arange(12) % 2
OPTIONS: tuple[dict[str, Any], ...] = (
    {
        "optimizer": cp.SGD(0.01, momentum=0.5, rate_factors={"bias": 2.0}),
        "schedule": cp.schedules.Constant(warmup=0.2),
        "lookahead": cp.Lookahead(2),
    },
    {
        "optimizer": cp.Adam(0.001),
        "schedule": cp.schedules.Step(),
        "validation": 0.25,
        "stopping": cp.EarlyStopping(2),
        "augment": cp.Augment(shift=1),
        "average": 0.9,
        "clip_norm": 1.0,
    },
)


class Checked:
    """Makes checkpoints of a training, and goes on from them."""

    def __init__(self) -> None:
        self.path = Path("net")
        # Of each training the first checkpoint, a later one, and the weights of its end.
        self.trainings = []
        for options in OPTIONS:
            files: dict[str, bytes] = {}
            network = self._trained(options, files, resume=False)
            Checkpoints(self.path).remove()
            names = sorted(files)
            self.trainings.append((options, names, files, network.weights_sha256()))

    def _trained(
        self, options: dict[str, Any], seen: dict[str, bytes] | None, resume: bool
    ) -> cp.Network:
        checkpoints = Checkpoints(self.path, seconds=1e-9 if seen is not None else None)
        network = cp.Network([cp.Conv(2, 3), cp.ReLU(), cp.Dense(2)], (1, 5, 5))

        def keep(record: object) -> None:
            for file in checkpoints.files():
                seen[file.name] = file.read_bytes()

        self.history = cp.train(
            network,
            IMAGES,
            LABELS,
            epochs=EPOCHS,
            batch_size=4,
            checkpoints=checkpoints,
            resume=resume,
            on_batch=None if seen is None else keep,
            **options,
        )
        return network

    def __call__(self, chance: random.Random) -> None:
        """Try one beside a good one, which is gone on from if it is refused."""
        options, names, files, weights = chance.choice(self.trainings)
        older, newer = names[0], chance.choice(names[1:])
        for name in self.path.parent.glob(f"{self.path.name}.checkpoint-*"):
            name.unlink()
        Path(older).write_bytes(files[older])
        Path(newer).write_bytes(self._made(chance, files[newer]))
        told = self._told(Path(newer))
        network = self._trained(options, None, resume=True)
        if passed := self.history.passed_over:
            must(self.history.resumed_from == Path(older), f"{passed}, but resumed from another")
            must(network.weights_sha256() == weights, "a refused checkpoint has left something")
            must(passed[0].startswith(newer), f"a message without the file: {passed[0]}")
            check_shown(passed[0])
            raise ModelFileError(passed[0])
        must(not told, f"inspect says {told}")

    def _told(self, path: Path) -> list[str]:
        """Return what `convprop inspect` finds wrong."""
        try:
            faults = inspect_file(path).faults
        except ModelFileError as error:
            faults = [str(error)]
        for fault in faults:
            check_shown(fault)
        return faults

    def _made(self, chance: random.Random, content: bytes) -> bytes:
        """Return a checkpoint's bytes."""
        kind = chance.randrange(10)
        if kind == 0:
            return damaged(chance, content)
        if kind == 1:
            return _hashed(changed_header(chance, content))
        header, data = parts(content)
        description = json.loads(header["__metadata__"][METADATA_KEY])
        part = chance.choice(("training", "history", "position", "watch", None))
        if part is None:
            description = changed(chance, description, 2)
        else:
            description[part] = changed(chance, description[part], 2)
        header["__metadata__"][METADATA_KEY] = text_of(description)
        if kind == 2:
            place = chance.randrange(len(data) // 4) * 4
            value = struct.pack("<f", chance.choice((math.nan, math.inf, 1e38, 1e-45)))
            data = data[:place] + value + data[place + 4 :]
        return _hashed(joined(header, data))


def _hashed(content: bytes) -> bytes:
    """Return a file with the hash that its contents have, where they can be read."""
    path = Path("unhashed")
    path.write_bytes(content)
    with contextlib.suppress(ConvpropError, KeyError):
        header = read_header(path)
        if header.faults:
            return content
        text = header.metadata[METADATA_KEY]
        sha256 = _digest(_arrays(path, header), text)
        whole, data = parts(content)
        whole["__metadata__"] = {METADATA_KEY: text, "sha256": sha256}
        return joined(whole, data)
    return content


def _arrays(path: Path, header: Header) -> dict[str, Any]:
    with path.open("rb") as file:
        return {name: read_tensor(file, name, t) for name, t in header.tensors.items()}


prepare = Checked
