"""Model files: safetensors, with the network's description in the metadata.

The tensors are the parameters by name. The metadata maps "convprop" to one JSON object:

- format_version: 1, or 2 with a target_scaling; a reader of 1 alone then refuses the file
- package_version: the convprop that wrote it
- input_shape, dtype, loss, layers, seed: what `Network` takes
- conventions: which of several customary definitions each layer follows (kernel as in the
  article's Eq. 7 or Eq. 2, who wins a tie in a pooling, ...), for readers other than convprop
- normalisation: null, or offset and scale for each channel, as exact decimal numbers
- target_scaling: of a network that predicts numbers, the offset and scale of each, with which
  an output times scale plus offset is the number; files without one are of version 1 and lack it
- class_names, training_settings: null, or what is known

Reading builds layers from a fixed table, runs no code that a file names, and compares every
tensor's name, shape and dtype with the layers before anything is allocated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.described import from_dict
from convprop.errors import InvalidInput, ModelFileError, invalid
from convprop.files import replace_file
from convprop.layers import layer_from_dict, shape_text
from convprop.losses import LOSSES
from convprop.network import Network
from convprop.stack import Stack, stack

FORMAT_VERSIONS = (1, 2)
METADATA_KEY = "convprop"

# A header describes some dozens of layers; a file that claims more is no model of ours.
LARGEST_HEADER = 1 << 20
MOST_LAYERS = 1000

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
        weight that is NaN or infinite.
    """
    from safetensors.numpy import save as to_bytes

    for name, array in network.parameters.items():
        if (place := _not_finite(array)) is not None:
            raise invalid(name, "be finite to be saved", place)

    if training_settings is not None:
        network.training_settings = training_settings
    metadata = {METADATA_KEY: json.dumps(_describe(network), allow_nan=False)}
    replace_file(path, to_bytes(dict(network.parameters), metadata))


def _describe(network: Network) -> dict[str, Any]:
    from convprop import __version__

    scaling = network.target_scaling
    return {
        # What a reader of version 1 would leave out would make every number a wrong one.
        "format_version": 1 if scaling is None else 2,
        "package_version": __version__,
        "input_shape": list(network.input_shape),
        "dtype": network.dtype.name,
        "loss": network.loss.to_dict(),
        "layers": [layer.to_dict() for layer in network.layers],
        "conventions": _conventions(network.stack),
        "seed": network.seed,
        "normalisation": _pair(network.normalisation),
        **({} if scaling is None else {"target_scaling": _pair(scaling)}),
        "class_names": None if network.class_names is None else list(network.class_names),
        "training_settings": network.training_settings,
    }


def _pair(value: tuple[NDArray[Any], NDArray[Any]] | None) -> dict[str, list[float]] | None:
    return value and {"offset": value[0].tolist(), "scale": value[1].tolist()}


def _conventions(layers: Stack) -> dict[str, str]:
    pairs = zip(layers.names, layers.layers, strict=True)
    return {name: text for name, layer in pairs if (text := layer.convention()) is not None}


def _not_finite(array: np.ndarray[Any, Any]) -> str | None:
    """Return "nan at (0, 1)" for the first value that is NaN or infinite, None without one."""
    finite = np.isfinite(array)
    if finite.all():
        return None
    index = np.unravel_index(np.argmin(finite), array.shape)
    return f"{array[index]} at {tuple(map(int, index))}"


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
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        _check_header_size(path)
        with safe_open(path, framework="numpy") as file:
            description = read_description(file.metadata())
            network = _network(description, file)
            for name in network.parameters:
                values = file.get_tensor(name)
                if (place := _not_finite(values)) is not None:
                    raise ModelFileError(f"the tensor {name} must be finite, got {place}")
                network.parameters[name] = values
    except SafetensorError as error:
        raise ModelFileError(f"{path}: not a whole safetensors file ({error})") from None
    except (ModelFileError, InvalidInput) as error:
        raise ModelFileError(f"{path}: {error}") from None
    return network


def _check_header_size(path: Path) -> None:
    """Refuse, before anything is read, what is no file, and a header that no model of ours has."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ModelFileError("not a model file: a device, a pipe or a socket")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise ModelFileError("not a model file: it does not begin as safetensors files do")


def read_description(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the JSON object of the metadata, with every field present and none unknown.

    Raises
    ------
    ModelFileError
        Without the file's name.
    """
    if not metadata or METADATA_KEY not in metadata:
        raise ModelFileError("a safetensors file, but without convprop's description of a network")
    try:
        description = json.loads(metadata[METADATA_KEY], parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"the description is not valid JSON ({error})") from None
    if not isinstance(description, dict):
        raise ModelFileError("the description is not a JSON object")
    written = description.get("format_version")
    if isinstance(written, bool) or written not in FORMAT_VERSIONS:
        writer = str(description.get("package_version"))[:40]
        known = " and ".join(map(str, FORMAT_VERSIONS))
        raise ModelFileError(
            f"format version {written!r:.40}, written by convprop {writer}; this one reads {known}"
        )
    fields = _FIELDS if written == 1 else (*_FIELDS, "target_scaling")
    for name in fields:
        if name not in description:
            raise ModelFileError(f"the description lacks {name}")
    for name in description:
        if name not in fields:
            raise ModelFileError(f"the description has an unknown field {name!r:.80}")
    names, settings = description["class_names"], description["training_settings"]
    for name in ("normalisation", "target_scaling"):
        pair = description.get(name)
        if pair is not None and not (isinstance(pair, dict) and pair.keys() == {"offset", "scale"}):
            raise ModelFileError(f"{name} must be null or hold an offset and a scale")
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise ModelFileError("class_names must be a list of strings or null")
    if settings is not None and not isinstance(settings, dict):
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


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _network(description: dict[str, Any], file: Any) -> Network:
    """Build the described network, once the file's tensors are known to be its parameters."""
    checked = described_stack(description)
    if description["conventions"] != _conventions(checked):
        raise ModelFileError("conventions are not those of the layers")
    # A file of safetensors has keys, but is no mapping.
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    check_tensors(
        checked,
        description["dtype"],
        {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()},
    )
    network = Network(
        checked.layers,
        description["input_shape"],
        from_dict(description["loss"], LOSSES, "loss"),
        description["seed"],
        description["dtype"],
    )
    if (normalisation := description["normalisation"]) is not None:
        network.normalisation = normalisation["offset"], normalisation["scale"]
    if (scaling := description.get("target_scaling")) is not None:
        network.target_scaling = scaling["offset"], scaling["scale"]
    network.class_names = description["class_names"]
    network.training_settings = description["training_settings"]
    return network


def described_stack(description: Mapping[str, Any]) -> Stack:
    """Return the layers of a description that has "layers" and "input_shape"."""
    listed = description["layers"]
    if not isinstance(listed, list) or len(listed) > MOST_LAYERS:
        raise ModelFileError(f"layers must be a list of at most {MOST_LAYERS}")
    layers = [layer_from_dict(entry, f"layer {n}") for n, entry in enumerate(listed, start=1)]
    return stack(layers, description["input_shape"])


def check_tensors(
    layers: Stack, dtype: object, found: Mapping[str, tuple[str, tuple[int, ...]]]
) -> None:
    """Compare each tensor's safetensors dtype and shape with the layers' parameters."""
    if dtype not in ("float32", "float64"):
        raise ModelFileError(f"dtype must be float32 or float64, got {dtype!r:.40}")
    expected = layers.parameter_shapes()
    for name in expected:
        if name not in found:
            raise ModelFileError(f"the tensor {name} is missing")
        kind, shape = found[name]
        if shape != expected[name]:
            wanted, got = shape_text(expected[name]), shape_text(shape)
            raise ModelFileError(f"the tensor {name} must be {wanted}, got {got}")
        if kind != _DTYPES[dtype]:
            raise ModelFileError(f"the tensor {name} must be {_DTYPES[dtype]}, got {kind}")
    for name in sorted(found.keys() - expected.keys()):
        raise ModelFileError(f"the tensor {name!r:.80} belongs to no layer")
