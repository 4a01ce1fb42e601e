"""Checkpoints: a training's whole state in a file, written so that a crash costs no good one.

Beside a file ``net.safetensors`` they are ``net.safetensors.checkpoint-00000120``, the number
being the steps taken. The last two are kept. Each is a safetensors file: the arrays, and in its
metadata everything else as JSON and the SHA-256 of both.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.arguments import checks_names
from convprop.checks import positive, positive_integer
from convprop.errors import ConvpropError, ConvpropWarning, ModelFileError, invalid
from convprop.files.atomic import check_writable, escaped, replace_file
from convprop.files.header import Header, read_header, read_tensor
from convprop.files.json_text import parse
from convprop.shown import brief

Array = NDArray[Any]

KEPT = 2
"""How many checkpoints stay on the disk: if the last one is damaged there is another."""

FORMAT_VERSION = 1
METADATA_KEY = "convprop-checkpoint"
_SUFFIX = re.compile(r"\.checkpoint-(\d{8,})$")


class CheckpointError(ConvpropError):
    """A checkpoint is damaged, or of another training; the message names the file."""


class CheckpointWarning(ConvpropWarning):
    """A checkpoint could not be written; the training goes on without it."""


@checks_names
@dataclass(frozen=True)
class Checkpoints:
    """Where and how often a training writes its state.

    Parameters
    ----------
    path : path
        The checkpoints' names are this and ".checkpoint-" and the number of steps.
    seconds : float, optional
        When so much time has gone by since the last one, at the end of the step.
    epochs : int, optional
        After so many epochs each. Neither: only when the training is interrupted.
    """

    path: str | PathLike[str]
    seconds: float | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None:
            positive("seconds", self.seconds)
        if self.epochs is not None:
            positive_integer("epochs", self.epochs)
        if not isinstance(self.path, str | PathLike):
            raise invalid("path", "be a path", repr(self.path))

    def check(self, resume: bool) -> None:
        """Raise InvalidInput if none can be written, or if there are some of another training."""
        check_writable(self._path(0))
        if not resume and (there := self.files()):
            rule = "be of no other training (resume=True goes on with it, remove() gives it up)"
            raise invalid("checkpoints", rule, there[0])

    def _path(self, step: int) -> Path:
        return Path(f"{Path(self.path)}.checkpoint-{step:08d}")

    def files(self) -> list[Path]:
        """Return the checkpoints that there are, the newest first."""
        target = Path(self.path)
        found = [
            (int(match[1]), path)
            for path in target.parent.glob(f"{escaped(target.name)}.checkpoint-*")
            if (match := _SUFFIX.search(path.name))
        ]
        return [path for _, path in sorted(found, reverse=True)]

    def write(self, step: int, arrays: dict[str, Array], description: dict[str, Any]) -> Path:
        """Write a checkpoint and remove all but the last two.

        Newer ones, by their steps, are damaged or of another training: they go too.
        """
        path = self._path(step)
        replace_file(path, _content(arrays, description))
        older = [file for file in self.files() if file.name < path.name]
        for other in self.files():
            if other.name != path.name and other not in older[: KEPT - 1]:
                other.unlink(missing_ok=True)
        return path

    def remove(self) -> None:
        """Remove all checkpoints: the training has ended."""
        for path in self.files():
            path.unlink(missing_ok=True)


def _content(arrays: dict[str, Array], description: dict[str, Any]) -> bytes:
    from safetensors.numpy import save

    text = json.dumps({"format_version": FORMAT_VERSION} | description)
    metadata = {METADATA_KEY: text, "sha256": _digest(arrays, text)}
    return bytes(save(arrays, metadata))


def _digest(arrays: dict[str, Array], text: str) -> str:
    import hashlib

    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return a checkpoint's arrays and the rest of it, as `read_description` does.

    Raises
    ------
    CheckpointError
        The file is not whole, or not what was written.
    OSError
        It cannot be opened.
    """
    try:
        header = read_header(path)
        if header.faults:
            raise ModelFileError(header.faults[0])
        text, sha256 = _written(header)
        with path.open("rb") as file:
            arrays = {name: read_tensor(file, name, t) for name, t in header.tensors.items()}
        # Before anything is made of the text, since damage may have made anything of it.
        if sha256 != _digest(arrays, text):
            raise CheckpointError("the contents are not what was written")
        return arrays, read_description(header)
    except ModelFileError as error:
        raise CheckpointError(f"{path}: not a whole checkpoint ({error})") from None
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _written(header: Header) -> tuple[str, str]:
    """Return the text and the hash of a header that is a checkpoint's."""
    for key in (METADATA_KEY, "sha256"):
        if key not in header.metadata:
            raise CheckpointError(f"not a whole checkpoint (it lacks {key})")
    for name, tensor in header.tensors.items():
        if not math.prod(tensor.shape):
            raise CheckpointError(f"not a whole checkpoint (the tensor {brief(name)} is empty)")
    return header.metadata[METADATA_KEY], header.metadata["sha256"]


def read_description(header: Header) -> dict[str, Any]:
    """Return the description in a header: an object of this format.

    Raises
    ------
    CheckpointError
        Without the file's name.
    """
    text, _ = _written(header)
    try:
        description = parse(text, infinite=True)
    except ValueError as error:
        raise CheckpointError(f"the description is not valid JSON ({error})") from None
    if not isinstance(description, dict):
        raise CheckpointError("the description is not a JSON object")
    written = description.get("format_version")
    if type(written) is not int or written != FORMAT_VERSION:
        raise CheckpointError(f"format version {brief(written)}, this one reads {FORMAT_VERSION}")
    return description
