"""Model files: descriptions, headers and bytes that are not as `save` writes them."""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np

import convprop as cp
from convprop.about.inspection import inspect_file
from convprop.cli.app import run as command
from convprop.errors import ConvpropError, ModelFileError
from convprop.files import model as model_file
from fuzzing.judge import check_shown, must
from fuzzing.mutate import RAW, changed, damaged, odd, text_of

MOST_VALUES = 1 << 18
"""Of weights or maps: a larger network would only take time."""


def networks() -> list[cp.Network]:
    """Return networks that have every layer and whatever else a file may hold."""
    images = np.random.default_rng(0).integers(0, 256, (12, 1, 8, 8)).astype(np.uint8)
    one = cp.Network(
        [
            cp.Conv(2, 3, padding="same", initializer=cp.initializers.HeNormal()),
            cp.LeakyReLU(0.2),
            cp.MaxPool(2, ceil_mode=True, dilation=(1, 2), stride=2),
            cp.Conv(4, (2, 3), flip_kernel=True, groups=2, padding=(1, 0, 1, 1), stride=(1, 2)),
            cp.Tanh(),
            cp.PReLU(by_channel=True),
            cp.GELU("tanh"),
            cp.Softmax(),
            cp.ELU(0.5),
            cp.AveragePool("global", count_padding=False),
            cp.Dropout(0.5),
            cp.Dense(3),
        ],
        (1, 8, 8),
    )
    schedule = cp.schedules.Step()
    cp.train(one, images, np.arange(12) % 3, epochs=1, schedule=schedule, augment=cp.Augment(1))
    one.class_names = ["cat", "Ö", "\u732b"]
    two = cp.Network(
        [cp.Conv(2, 1, dilation=3, bias=False), cp.L2Pool(2, 1, "same"), cp.Dense(1)],
        (3, 5, 4),
        cp.BinaryCrossEntropy(),
        seed=2**64 - 1,
        dtype="float64",
    )
    two.normalisation = [0.0, 1.0, 2.0], [1.0, 0.5, 1e-3]
    three = cp.Network(
        [cp.Conv(2, 3, algorithm="winograd"), cp.ReLU(), cp.Flatten(), cp.Softplus(), cp.Dense(2)],
        (2, 6, 6),
        cp.SquaredError("sum"),
    )
    three.target_scaling = [10.0, 20.0], [2.0, 0.5]
    return [one, two, three, *graphs()]


def graphs() -> list[cp.Network]:
    """Return networks whose layers are not in a row, which files of the third format hold."""
    weigh = [cp.AveragePool("global"), cp.Conv(3, 1), cp.Sigmoid()]
    blocks = cp.Network(
        [
            *(cp.Conv(3, 3, padding=1), cp.ReLU()),
            cp.Residual(cp.Conv(3, 3, padding=1), cp.ReLU(), cp.Conv(3, 1)),
            cp.Parallel([], weigh, join=cp.Multiply()),
            cp.Residual(cp.SqueezeExcite(2), cp.ChannelShuffle(3), drop=0.25),
            cp.Parallel([cp.Conv(2, 1), cp.Tanh()], [cp.MaxPool(3, 1, 1)], []),
            cp.Residual(
                cp.Conv(4, 3, stride=2, padding=1), shortcut=[cp.AveragePool(2), cp.Conv(4, 1)]
            ),
            *(cp.GroupNorm(2), cp.LocalResponseNorm(3), cp.LayerNorm(affine=False)),
            *(cp.Dropout(0.5), cp.Dense(3)),
        ],
        (1, 8, 8),
    )
    nodes = {
        "a": (cp.Conv(2, 3, padding=1), "input"),
        "square": (cp.Multiply(), "a", "a"),
        "all": (cp.Add(), "input", "square", "a", "input"),
        "rows": (cp.Flatten(), "all"),
        "few": (cp.Dense(3), "rows"),
        "both": (cp.Concat(), "few", "rows"),
        "last": (cp.Dense(2), "both"),
    }
    named = cp.Network(nodes, (2, 4, 4), cp.SquaredError(), dtype="float64")
    named.target_scaling = [1.0, 2.0], [2.0, 0.5]
    return [blocks, named]


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a safetensors file's header and data."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: Any, data: bytes) -> bytes:
    """Return the file of a header, as JSON, and data."""
    text = text_of(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def with_tensors(shapes: dict[str, tuple[int, ...]], dtype: str) -> tuple[dict[str, Any], bytes]:
    """Return the header's entries of tensors, and their data: small numbers."""
    entries, end, size = {}, 0, {"F32": 4, "F64": 8}[dtype]
    for name, shape in shapes.items():
        begin, end = end, end + math.prod(shape) * size
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    return entries, np.full(end // size, 0.01, f"f{size}").tobytes()


def changed_header(chance: random.Random, content: bytes) -> bytes:
    """Return a file whose header's entries are others, or its length."""
    header, data = parts(content)
    if chance.random() < 0.1:
        return struct.pack("<Q", odd_length(chance, len(content))) + content[8:]
    header["__metadata__"] = RAW + json.dumps(header["__metadata__"])
    return joined(changed(chance, header), data)


def odd_length(chance: random.Random, size: int) -> int:
    """Return what a header may say of its length."""
    return chance.choice((0, 1, 2, 8, size - 8, size - 7, 2**20, 2**24 + 1, 2**40, 2**64 - 1))


class Models:
    """Makes model files and loads them."""

    def __init__(self) -> None:
        self.path, self.again = Path("model.safetensors"), Path("again.safetensors")
        self.files = []
        for network in networks():
            network.save(self.path)
            self.files.append(self.path.read_bytes())

    def __call__(self, chance: random.Random) -> None:
        """Try one."""
        self.path.write_bytes(self.made(chance))
        loads(self.path, self.again, chance)

    def made(self, chance: random.Random) -> bytes:
        """Return a file's bytes."""
        content = chance.choice(self.files)
        kind = chance.randrange(10)
        if kind == 0:
            return damaged(chance, content)
        if kind == 1:
            return changed_header(chance, content)
        header, data = parts(content)
        text = header["__metadata__"]["convprop"]
        description = changed(chance, json.loads(text), 2)
        if kind == 2 and data:
            place = chance.randrange(len(data) // 4) * 4
            value = struct.pack("<f", chance.choice((math.nan, math.inf, 1e38, 1e-45)))
            data = data[:place] + value + data[place + 4 :]
        if kind > 4:
            description = json.loads(text)
            layers, at = description["layers"], chance.randrange(20)
            if "nodes" in description and kind > 6:
                for _ in range(chance.randint(1, 3)):
                    _other_graph(chance, description)
            else:
                for _ in range(chance.randint(1, 2)):
                    _odd_field(chance, layers[at % len(layers)])
            header, data = _fitting(header, data, description)
        metadata = {"convprop": text_of(description)}
        if chance.random() < 0.02:
            metadata[chance.choice(("format", "convprop-checkpoint", "\x1b"))] = odd(chance)
        return joined(header | {"__metadata__": metadata}, data)


def _odd_field(chance: random.Random, layer: dict[str, Any]) -> None:
    """Give a layer another number in one of its sizes."""
    fields = [name for name, value in layer.items() if isinstance(value, int | float | list)]
    if fields:
        name = chance.choice(fields)
        old = layer[name]
        new = chance.choice((0, 1, 2, 3, 5, 100, 2**16, 2**30, 2**31 - 1, 2**31, 0.25, -1, 1e300))
        layer[name] = [new, *old[1:]] if isinstance(old, list) else new


JOINS = ("add", "multiply", "concat")


def _other_graph(chance: random.Random, description: dict[str, Any]) -> None:
    """Let a node read, be called or do something else; add a node, or a long row, or take one."""
    layers, nodes = description["layers"], description["nodes"]
    at = chance.randrange(len(nodes))
    node, names = nodes[at], ["input", *(one["name"] for one in nodes)]
    kind = chance.randrange(9)
    if kind == 0:  # whatever there is: itself and what comes later, too
        node["reads"] = chance.choices(names, k=len(node["reads"]))
    elif kind == 1:  # what comes before it
        node["reads"] = chance.choices(names[: at + 1], k=chance.randint(1, 4))
    elif kind == 2:
        node["reads"] = chance.choice(([], [None], "input", ["nobody"], names * 3, odd(chance)))
    elif kind == 3:
        node["name"] = chance.choice((*names, "another", "_", "a b", odd(chance)))
    elif kind == 4:
        layers[at] = {"kind": chance.choice(JOINS), "name": None}
    elif kind == 5:
        other = chance.randrange(len(nodes))
        nodes[at], nodes[other] = nodes[other], nodes[at]
    elif kind == 6:
        del nodes[at]
        if chance.random() < 0.8:
            del layers[at]
    elif kind == 7:
        join = {"kind": chance.choice(JOINS), "name": None}
        reads = chance.choices(names[: at + 1], k=2)
        layers.insert(at, join)
        nodes.insert(at, {"name": "joined", "reads": reads})
        node["reads"] = [*node["reads"][:-1], "joined"]
    else:
        _lengthened(chance, description, at)
    if not nodes:
        nodes.append(node)


def _lengthened(chance: random.Random, description: dict[str, Any], at: int) -> None:
    """Put a row of joins before a node, each of the one before twice: values grow without bound."""
    kind = chance.choice(JOINS)
    count, last = chance.choice((3, 12, 40, 300, 990, 1100)), description["nodes"][at]["reads"]
    if not isinstance(last, list) or not last or not isinstance(last[0], str):
        return
    read, rows, layers = last[0], [], []
    for number in range(count):
        rows.append({"name": f"row{number}", "reads": [read, read]})
        layers.append({"kind": kind, "name": None})
        read = f"row{number}"
    description["nodes"][at]["reads"] = [read, *last[1:]]
    description["nodes"][at:at] = rows
    description["layers"][at:at] = layers


def _fitting(
    header: dict[str, Any], data: bytes, description: dict[str, Any]
) -> tuple[dict[str, Any], bytes]:
    """Return a header and data with the tensors that the layers would have, where there are."""
    with contextlib.suppress(ConvpropError):
        blueprint = model_file.read_blueprint(description)
        description["conventions"] = model_file._conventions(blueprint.graph)
        shapes = {name: p.shape for name, p in blueprint.graph.parameters.items()}
        if sum(map(math.prod, shapes.values())) <= MOST_VALUES:
            return with_tensors(shapes, "F64" if blueprint.dtype == np.float64 else "F32")
    return header, data


def loads(path: Path, again: Path, chance: random.Random) -> None:
    """Load a file and do with the network whatever is done with one."""
    finite = True
    try:
        network = cp.load(path)
    except ModelFileError as error:
        must(str(error).startswith(str(path)), f"a message without the file: {error}")
        # Of the weights the header tells nothing.
        finite = "must be finite, got" not in str(error)
        network = None
    _told(path, network, finite)
    if chance.random() < 0.03:
        commands(path)
    if network is None:
        raise ModelFileError("refused")
    for line in network.summary().split("\n"):
        check_shown(line)
    repr(network)
    network.save(again)
    same = cp.load(again)
    must(same.graph == network.graph and same.class_names == network.class_names, "another one")
    must(same.training_settings == network.training_settings, "other settings")
    must(same.weights_sha256() == network.weights_sha256(), "other weights")
    if _small(network):
        network.predict(np.zeros((1, *network.input_shape), np.uint8))


def _small(network: cp.Network) -> bool:
    """Whether a prediction takes a moment and some megabytes; what takes more may say so."""
    work = sum(node.multiply_adds for node in network.graph.nodes)
    try:
        taken = network.plan_bytes("predict", 1)
    except MemoryError:
        return False
    return work < 1 << 24 and taken < 1 << 28


def _told(path: Path, network: cp.Network | None, finite: bool) -> None:
    """Compare with what `convprop inspect` says of the file."""
    try:
        found = inspect_file(path)
    except ModelFileError:
        must(network is None, "inspect refuses what can be loaded")
        return
    for fault in found.faults:
        check_shown(fault)
    if finite:
        must((network is None) == bool(found.faults), f"inspect says {found.faults}")
    if network is not None:
        must(found.weights_sha256 == network.weights_sha256(), "inspect gives another hash")


def commands(path: Path) -> None:
    """Have the commands show the file."""
    for name in ("inspect", "summary"):
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            status = command([name, str(path)])
        must(status in (0, 1), f"{name} ends with {status}")
        for line in shown.getvalue().split("\n"):
            check_shown(line)


prepare = Models
