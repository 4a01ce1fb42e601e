"""What is in a model file or a checkpoint, told from its header: nothing is loaded or run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from convprop.brief import Brief
from convprop.errors import InvalidInput, ModelFileError
from convprop.files import model as model_file
from convprop.files.header import Header, Tensor, read_header
from convprop.files.model import check_tensors, read_blueprint
from convprop.graph import Graph
from convprop.training import checkpoint
from convprop.training.checkpoint import CheckpointError
from convprop.training.identity import read_identity
from convprop.training.standing import Standing

MOST_HASHED = 1 << 30
"""Bytes of weights: of more no hash is made."""

_NUMPY_NAMES = {"F32": "float32", "F64": "float64"}


@dataclass(repr=False)
class Inspection(Brief):
    """What a file says of itself.

    Attributes
    ----------
    kind : "model", "checkpoint" or "safetensors"
        The last: a file of another program.
    header : Header
    description : dict
        As `convprop.files.model` or `convprop.training.run` writes it; empty if it is unusable.
    network, settings : dict
        The parts of the description that tell of the network, and of how it is trained.
    graph : Graph or None
    weights_sha256 : str or None
        What ``Network.weights_sha256`` of the loaded network would be.
    faults : list of str
        Why the file cannot be loaded; none if it can, as far as the header tells.
    """

    kind: str
    header: Header
    description: dict[str, Any] = field(default_factory=dict)
    network: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    graph: Graph | None = None
    weights_sha256: str | None = None
    faults: list[str] = field(default_factory=list)


def inspect_file(path: str | PathLike[str]) -> Inspection:
    """Read the header of a model file or of a checkpoint, and hash the weights.

    Raises
    ------
    ModelFileError
        There is no header that can be read; the message begins with the file's name.
    OSError
        A file that cannot be opened.
    """
    path = Path(path)
    try:
        header = read_header(path)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    found = Inspection(_kind(header), header, faults=list(header.faults))
    try:
        if found.kind == "checkpoint":
            _read_checkpoint(found)
        else:
            _read_model(found)
    except (ModelFileError, InvalidInput, CheckpointError) as error:
        found.faults.append(str(error))
    if found.graph is not None and not found.faults:
        found.weights_sha256 = _weights_sha256(path, found.graph, weights_of(found))
    return found


def _kind(header: Header) -> str:
    if model_file.METADATA_KEY in header.metadata:
        return "model"
    return "checkpoint" if checkpoint.METADATA_KEY in header.metadata else "safetensors"


def _read_model(found: Inspection) -> None:
    found.description = model_file.read_description(found.header)
    found.settings = found.description["training_settings"] or {}
    _read_network(found, found.description)


def _read_checkpoint(found: Inspection) -> None:
    description = checkpoint.read_description(found.header)
    trained = read_identity(description)
    standing = Standing.from_dict(description)
    if type(epochs := trained["settings"].get("epochs")) is int:
        standing.check_epochs(epochs)
    found.description, found.settings = description, trained["settings"]
    _read_network(found, trained)


def _read_network(found: Inspection, description: dict[str, Any]) -> None:
    blueprint = read_blueprint(description)
    found.graph, found.network = blueprint.graph, description
    check_tensors(blueprint, weights_of(found))


def weights_of(found: Inspection) -> dict[str, Tensor]:
    """Return the tensors that are parameters by the parameters' names."""
    if found.kind != "checkpoint":
        return found.header.tensors
    marked = found.header.tensors.items()
    prefix = "weight "
    return {name[len(prefix) :]: t for name, t in marked if name.startswith(prefix)}


def _weights_sha256(path: Path, graph: Graph, tensors: dict[str, Tensor]) -> str | None:
    """Return the hash that the network would give, reading a megabyte at a time."""
    if sum(tensor.size for tensor in tensors.values()) > MOST_HASHED:
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for name, parameter in graph.parameters.items():
            tensor = tensors[name]
            digest.update(f"{name} {_NUMPY_NAMES[tensor.dtype]} {parameter.shape}\n".encode())
            file.seek(tensor.start)
            left = tensor.size
            while left:
                part = file.read(min(left, 1 << 20))
                if not part:
                    return None
                digest.update(part)
                left -= len(part)
    return digest.hexdigest()


def layer_rows(graph: Graph) -> list[dict[str, Any]]:
    """Return each layer's name, description, output shape, parameters and multiply-adds."""
    return [
        {
            "name": node.name,
            "layer": node.layer.to_dict(),
            **({} if graph.is_chain else {"reads": graph.read_names(node)}),
            "output": list(node.output),
            "parameters": node.weights,
            "multiply_adds": node.multiply_adds,
        }
        for node in graph.nodes
    ]
