"""What the driver writes into a file and every competitor reads."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Job:
    """One training run, or one batch to predict, as every competitor receives it.

    `layers` are the engine's descriptions, one dict a layer; `parameters` follow them, weight
    then bias. Each step takes the next `batch` of the images, and `flops` operations.
    """

    preset: str
    classes: int
    flops: float
    layers: list[dict[str, Any]]
    input_shape: tuple[int, int, int]
    batch: int
    optimizer: dict[str, Any]
    parameters: list[np.ndarray]
    images: np.ndarray
    labels: np.ndarray

    @property
    def has_dropout(self) -> bool:
        return any(layer["kind"] == "dropout" for layer in self.layers)

    def without_dropout(self) -> Job:
        """The same run without what each competitor draws from random numbers of its own."""
        return replace(self, layers=[la for la in self.layers if la["kind"] != "dropout"])

    def batches(self) -> list[slice]:
        """The rows of each step's images."""
        firsts = range(0, len(self.images), self.batch)
        return [slice(first, first + self.batch) for first in firsts]

    def save(self, path: Path) -> None:
        """Write the job into one .npz file."""
        plain = {name: value for name, value in vars(self).items() if name in _PLAIN}
        arrays = {f"parameter{i}": value for i, value in enumerate(self.parameters)}
        np.savez(path, plain=json.dumps(plain), images=self.images, labels=self.labels, **arrays)

    @classmethod
    def load(cls, path: Path) -> Job:
        """Read what `save` wrote."""
        with np.load(path) as file:
            plain = json.loads(str(file["plain"]))
            count = sum(name.startswith("parameter") for name in file.files)
            parameters = [file[f"parameter{i}"] for i in range(count)]
            return cls(**plain, parameters=parameters, images=file["images"], labels=file["labels"])


_PLAIN = ("preset", "classes", "flops", "layers", "input_shape", "batch", "optimizer")
