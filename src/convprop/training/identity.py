"""What a training and the one that it goes on from must have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from convprop.described import from_dict, table
from convprop.errors import InvalidInput, invalid
from convprop.files.model import read_blueprint
from convprop.losses import LOSSES
from convprop.network import Network
from convprop.optimizers import OPTIMIZERS
from convprop.schedules import SCHEDULES
from convprop.shown import brief
from convprop.training.augmentation import Augment
from convprop.training.batches import Data
from convprop.training.course import Course
from convprop.training.lookahead import Lookahead
from convprop.training.stopping import EarlyStopping

_CLASSES: dict[str, Any] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "loss": LOSSES,
    "augment": table(Augment),
    "stopping": table(EarlyStopping),
    "lookahead": table(Lookahead),
}
"""What a description of each setting may be of."""

_PARTS = {
    "layers",
    "nodes",
    "input_shape",
    "loss",
    "dtype",
    "target_scaling",
    "settings",
    "data",
    "validation",
    "seed",
    "normalisation",
}
"""What `identity` returns."""

_UNSHOWN = {
    "layers": "other layers",
    "nodes": "layers that read others",
    "data": "other images, labels or weights",
    "validation": "other images, labels or weights held out",
    "normalisation": "another normalisation",
    "target_scaling": "another unit of the numbers",
}
"""What cannot be shown in a few words."""


class OtherTraining(InvalidInput):
    """A checkpoint is of a training with other settings or data: the first difference."""

    path: Path
    setting: str
    """As in `Course`; or "layers", "nodes", "input_shape", "loss", "dtype", "data" and the like."""
    trained: Any
    """The checkpoint's value, as the setting's class builds it."""
    given: Any


def identity(
    network: Network, course: Course, training: Data, held_out: Data | None
) -> dict[str, Any]:
    """Return it as it comes back from a file."""
    normalisation, scaling = network.normalisation, network.target_scaling
    # Where several differ the first one is named: other layers come with other settings.
    parts = {
        "layers": [layer.to_dict() for layer in network.layers],
        "nodes": network.graph.to_nodes(),
        "input_shape": list(network.input_shape),
        "loss": network.loss.to_dict(),
        "dtype": network.dtype.name,
        "target_scaling": scaling and [part.tolist() for part in scaling],
        "settings": course.settings(),
        "data": training.fingerprint(),
        "validation": held_out and held_out.fingerprint(),
        "seed": network.seed,
        "normalisation": normalisation and [part.tolist() for part in normalisation],
    }
    return _comparable(parts)


def _comparable(parts: dict[str, Any]) -> dict[str, Any]:
    """Return an identity as it comes back from a file, where tuples are lists."""
    read: dict[str, Any] = json.loads(json.dumps(parts))
    return read


def read_identity(description: dict[str, Any]) -> dict[str, Any]:
    """Return the identity in a checkpoint's description, once it could be that of a training.

    Raises
    ------
    ModelFileError, InvalidInput
        It could not; without the file's name.
    """
    trained = description.get("training")
    if isinstance(trained, dict):
        # Trainings of before there was one have none.
        trained = {"target_scaling": None, "nodes": None} | trained
    if not isinstance(trained, dict) or trained.keys() != _PARTS:
        raise invalid("training", f"hold {', '.join(sorted(_PARTS))}", brief(trained))
    for name in ("normalisation", "target_scaling"):
        if not isinstance(pair := trained[name], list | None):
            raise invalid(name, "be a list or null", brief(pair))
    layers = [node.layer.to_dict() for node in read_blueprint(trained).graph.nodes]
    if not isinstance(settings := trained["settings"], dict):
        raise invalid("settings", "be an object", brief(settings))
    # What is made of earlier ones has what they lack as it is by itself.
    made = dict(settings)
    for name, value in settings.items():
        if name in _CLASSES:
            made[name] = (built := _built(name, value)) and built.to_dict()
        elif isinstance(value, dict | list | str):
            raise invalid(name, "be a number, True, False or None", brief(value))
    return _comparable(trained | {"layers": layers, "settings": made})


def check_same(path: Path, trained: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise OtherTraining unless the identity of the checkpoint ``path`` is the one given."""
    pairs: list[tuple[str, Any, Any]] = []
    for part, ours in given.items():
        theirs: Any = trained[part]
        if part != "settings":
            theirs, ours = {part: theirs}, {part: ours}
        pairs += [(name, theirs.get(name), value) for name, value in ours.items()]
    # The rate may follow the batches and the schedule early stopping: what they follow is named.
    pairs.sort(key=lambda pair: pair[0] in ("optimizer", "schedule"))
    for name, theirs, value in pairs:
        if theirs != value:
            raise _other(path, name, theirs, value)


def _other(path: Path, name: str, trained: Any, given: Any) -> OtherTraining:
    trained, given = _built(name, trained), _built(name, given)
    if name in _UNSHOWN:
        rule, received = f"go on with the training of {path}", _UNSHOWN[name]
    else:
        rule = f"go on with the training of {path}, which had {name}={trained!r}"
        received = f"{name}={given!r}"
    error = OtherTraining(str(invalid("resume", rule, received)))
    error.path, error.setting, error.trained, error.given = path, name, trained, given
    return error


def _built(name: str, value: Any) -> Any:
    if name in _CLASSES and value is not None:
        return from_dict(value, _CLASSES[name], name)
    return tuple(value) if name == "input_shape" else value
