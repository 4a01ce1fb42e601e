"""Model files: safetensors, with the network's description in the metadata.

The tensors are the parameters by name. The metadata maps "convprop" to one JSON object:

- format_version: 1, 2 with a target_scaling, or 3 with nodes; older readers then refuse the file
- package_version: the convprop that wrote it
- input_shape, dtype, loss, layers, seed: what `Network` takes
- conventions: which of several customary definitions each layer follows (kernel as in the
  article's Eq. 7 or Eq. 2, who wins a tie in a pooling, ...), for readers other than convprop
- normalisation: null, or offset and scale for each channel, as exact decimal numbers
- target_scaling: of a network that predicts numbers, the offset and scale of each, with which
  an output times scale plus offset is the number; in files of version 1 there is none
- nodes: of layers that are not in a row, or have other names there, the name of each and the
  names of what it reads, "input" being the image; in files of versions 1 and 2 there are none
- class_names, training_settings: null, or what is known

Reading builds layers from a fixed table, runs no code that a file names, and compares every
tensor's name, shape and dtype with the layers before anything is allocated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.arguments import checks_names
from convprop.attributes import (
    Pair,
    checked_class_names,
    checked_loss,
    checked_normalisation,
    checked_target_scaling,
)
from convprop.checks import seed_number
from convprop.described import from_dict
from convprop.errors import InvalidInput, ModelFileError, invalid
from convprop.files.atomic import replace_file
from convprop.files.header import LARGEST_HEADER, Header, Tensor, read_header, read_tensor
from convprop.files.json_text import check, parse
from convprop.graph import Graph, graph
from convprop.layers import layer_from_dict, shape_text
from convprop.losses import LOSSES, Loss
from convprop.network import Network
from convprop.shown import brief, shortened
from convprop.version import version

FORMAT_VERSIONS = (1, 2, 3)
METADATA_KEY = "convprop"

MOST_LAYERS = 1000

_PAIRS = ("normalisation", "target_scaling")
_DTYPES = {"float32": "F32", "float64": "F64"}


def save(
    network: Network,
    path: str | PathLike[str],
    training_settings: dict[str, Any] | None = None,
) -> None:
    """Write a network to a file, whole or not at all.

    Parameters
    ----------
    network : Network
    path : path
        A file of that name is replaced once the new one is safely on the disk.
    training_settings : dict, optional
        JSON-ready; None: those that `train` left in the network.

    Raises
    ------
    InvalidInput
        A path that cannot be written, or that names something other than a regular file; a
        weight that is NaN or infinite; what `load` would not take: settings that JSON does not
        have, more than 1000 layers.
    """
    from safetensors.numpy import save as to_bytes

    for name, array in network.parameters.items():
        if (place := _not_finite(array)) is not None:
            raise invalid(name, "be finite to be saved", place)

    if len(network.layers) > MOST_LAYERS:
        raise invalid("layers", f"be at most {MOST_LAYERS} to be saved", len(network.layers))
    settings = network.training_settings if training_settings is None else training_settings
    if not isinstance(settings, dict | None):
        raise invalid("training_settings", "be a dict or None", brief(settings))
    try:
        check(settings)
    except ValueError as error:
        raise invalid("training_settings", "be ready for JSON", error) from None
    network.training_settings = settings
    metadata = {METADATA_KEY: json.dumps(_describe(network), allow_nan=False)}
    content = to_bytes(dict(network.parameters), metadata)
    if (length := int.from_bytes(content[:8], "little")) > LARGEST_HEADER:
        rule = f"take at most {LARGEST_HEADER:,} bytes (class names and settings too) to be saved"
        raise invalid("description", rule, f"{length:,}")
    replace_file(path, content)


def _describe(network: Network) -> dict[str, Any]:
    scaling, nodes = network.target_scaling, network.graph.to_nodes()
    # What an older reader would leave out would make every number a wrong one.
    form = 3 if nodes is not None else 1 if scaling is None else 2
    return {
        "format_version": form,
        "package_version": version(),
        "input_shape": list(network.input_shape),
        "dtype": network.dtype.name,
        "loss": network.loss.to_dict(),
        "layers": [layer.to_dict() for layer in network.layers],
        "conventions": _conventions(network.graph),
        "seed": network.seed,
        "normalisation": _pair(network.normalisation),
        **({} if form < 2 else {"target_scaling": _pair(scaling)}),
        **({} if form < 3 else {"nodes": nodes}),
        "class_names": None if network.class_names is None else list(network.class_names),
        "training_settings": network.training_settings,
    }


def _pair(value: tuple[NDArray[Any], NDArray[Any]] | None) -> dict[str, list[float]] | None:
    return value and {"offset": value[0].tolist(), "scale": value[1].tolist()}


def _conventions(graph: Graph) -> dict[str, str]:
    told = {node.name: node.layer.convention() for node in graph.nodes}
    return {name: text for name, text in told.items() if text is not None}


def _not_finite(array: np.ndarray[Any, Any]) -> str | None:
    """Return "nan at (0, 1)" for the first value that is NaN or infinite, None without one."""
    finite = np.isfinite(array)
    if finite.all():
        return None
    index = np.unravel_index(np.argmin(finite), array.shape)
    return f"{array[index]} at {tuple(map(int, index))}"


@checks_names
def load(path: str | PathLike[str]) -> Network:
    """Read a network from a file.

    Raises
    ------
    ModelFileError
        A file that is damaged, not written by convprop, or of a later format, or that holds
        NaN or infinity; the message begins with its name.
    OSError
        A file that cannot be opened.
    """
    path = Path(path)
    try:
        header = read_header(path)
        if header.faults:
            raise ModelFileError(header.faults[0])
        description = read_description(header)
        blueprint = read_blueprint(description)
        check_tensors(blueprint, header.tensors)
        network = blueprint.network()
        with path.open("rb") as file:
            for name, tensor in header.tensors.items():
                values = read_tensor(file, name, tensor)
                if (place := _not_finite(values)) is not None:
                    raise ModelFileError(f"the tensor {name} must be finite, got {place}")
                network.parameters[name] = values
        network.class_names = description["class_names"]
        network.training_settings = description["training_settings"]
    except (ModelFileError, InvalidInput) as error:
        raise ModelFileError(f"{path}: {error}") from None
    return network


def read_description(header: Header) -> dict[str, Any]:
    """Return the JSON object of the metadata, with every field present and none unknown.

    Raises
    ------
    ModelFileError
        Without the file's name.
    """
    if METADATA_KEY not in header.metadata:
        raise ModelFileError("a safetensors file, but without convprop's description of a network")
    try:
        description = parse(header.metadata[METADATA_KEY])
    except ValueError as error:
        raise ModelFileError(f"the description is not valid JSON ({error})") from None
    if not isinstance(description, dict):
        raise ModelFileError("the description is not a JSON object")
    written, writer = description.get("format_version"), description.get("package_version")
    if type(written) is not int or written not in FORMAT_VERSIONS:
        by = writer if isinstance(writer, str) and len(writer) <= 40 else brief(writer)
        known = f"{', '.join(map(str, FORMAT_VERSIONS[:-1]))} and {FORMAT_VERSIONS[-1]}"
        raise ModelFileError(
            f"format version {brief(written)}, written by convprop {by}; this one reads {known}"
        )
    fields = (*_FIELDS, *("target_scaling", "nodes")[: written - 1])
    for name in fields:
        if name not in description:
            raise ModelFileError(f"the description lacks {name}")
    for name in description:
        if name not in fields:
            raise ModelFileError(f"the description has an unknown field {brief(name)}")
    for name in _PAIRS:
        pair = description.get(name)
        if pair is not None and not (isinstance(pair, dict) and pair.keys() == {"offset", "scale"}):
            raise ModelFileError(f"{name} must be null or hold an offset and a scale")
    names, settings = description["class_names"], description["training_settings"]
    if not isinstance(writer, str):
        raise ModelFileError(f"package_version must be a string, got {brief(writer)}")
    if not isinstance(names, list | None) or not all(isinstance(name, str) for name in names or []):
        raise ModelFileError("class_names must be a list of strings or null")
    if not isinstance(settings, dict | None):
        raise ModelFileError("training_settings must be an object or null")
    return description


_FIELDS = (
    "format_version",
    "package_version",
    "input_shape",
    "dtype",
    "loss",
    "layers",
    "conventions",
    "seed",
    "normalisation",
    "class_names",
    "training_settings",
)


@dataclass(frozen=True)
class Blueprint:
    """What a file says of a network, all of it checked, but for the weights."""

    graph: Graph
    loss: Loss
    seed: int
    dtype: np.dtype[Any]
    normalisation: Pair | None
    target_scaling: Pair | None

    def network(self) -> Network:
        """Return the network, with the first weights of its seed."""
        network = Network(self.graph, self.graph.input, self.loss, self.seed, self.dtype)
        network.normalisation = self.normalisation
        network.target_scaling = self.target_scaling
        return network


def read_blueprint(description: Mapping[str, Any]) -> Blueprint:
    """Return what the description of a model, or of a checkpoint's training, is of.

    The latter has neither conventions nor class names, and lists for offset and scale.

    Raises
    ------
    ModelFileError, InvalidInput
        Without the file's name.
    """
    dtype = description["dtype"]
    made = _graph(description)
    if description.get("conventions", conventions := _conventions(made)) != conventions:
        raise ModelFileError("conventions are not those of the layers")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ModelFileError(f"dtype must be float32 or float64, got {brief(dtype)}")
    loss = checked_loss(from_dict(description["loss"], LOSSES, "loss"), made)
    seed, precision = seed_number(description["seed"]), np.dtype(dtype)
    normalisation, scaling = (_offset_scale(description.get(name)) for name in _PAIRS)
    if normalisation is not None:
        normalisation = checked_normalisation(normalisation, made, precision)
    if scaling is not None:
        scaling = checked_target_scaling(scaling, made, loss)
    if (names := description.get("class_names")) is not None:
        checked_class_names(names, made)
    return Blueprint(made, loss, seed, precision, normalisation, scaling)


def _graph(description: Mapping[str, Any]) -> Graph:
    listed, nodes = description["layers"], description.get("nodes")
    if not isinstance(listed, list) or len(listed) > MOST_LAYERS:
        raise ModelFileError(f"layers must be a list of at most {MOST_LAYERS}")
    layers = [layer_from_dict(entry, f"layer {n}") for n, entry in enumerate(listed, start=1)]
    if nodes is None:
        return graph(layers, description["input_shape"])
    if not isinstance(nodes, list) or len(nodes) != len(layers):
        raise ModelFileError("nodes must be a list, one for each layer")
    named: dict[str, Any] = {}
    for node, layer in zip(nodes, layers, strict=True):
        if not isinstance(node, dict) or node.keys() != {"name", "reads"}:
            raise ModelFileError(f"a node must have a name and what it reads, got {brief(node)}")
        name, reads = node["name"], node["reads"]
        if not isinstance(name, str) or name in named:
            raise ModelFileError(f"names of nodes must be different texts, got {brief(name)}")
        if not isinstance(reads, list) or not all(isinstance(read, str) for read in reads):
            raise ModelFileError(f"{brief(name)} must read a list of names, got {brief(reads)}")
        named[name] = (layer, *reads)
    return graph(named, description["input_shape"])


def _offset_scale(value: Any) -> Pair | None:
    """Return offset and scale: a model file names them, a checkpoint has them in order."""
    return (value["offset"], value["scale"]) if isinstance(value, dict) else value


def check_tensors(blueprint: Blueprint, tensors: Mapping[str, Tensor]) -> None:
    """Compare each tensor's name, shape and dtype with the layers' parameters."""
    expected, kind = blueprint.graph.parameters, _DTYPES[blueprint.dtype.name]
    for name in expected:
        if name not in tensors:
            raise ModelFileError(f"the tensor {name} is missing")
        found = tensors[name]
        if found.shape != expected[name].shape:
            wanted, got = shape_text(expected[name].shape), shape_text(found.shape)
            raise ModelFileError(f"the tensor {name} must be {wanted}, got {got}")
        if found.dtype != kind:
            got = shortened(found.dtype, 20)
            raise ModelFileError(f"the tensor {name} must be {kind}, got {got}")
    for name in sorted(tensors.keys() - expected.keys()):
        raise ModelFileError(f"the tensor {brief(name)} belongs to no layer")
