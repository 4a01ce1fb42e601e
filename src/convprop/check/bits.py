"""The bits that every machine must find, and those that this one finds.

bits.txt holds cases and the SHA-256 of each of their results: single operations of
tests/cases.py in float32 and float64, and networks whose weights are hashed after some training
steps. The kernels' own test (kernels/tests/selftest.cc) reads the same file. `python
tests/cases.py` writes it anew, after a change that is meant to change bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from convprop import ops, presets
from convprop._cpu import supported_isas
from convprop.check.rows import Array, draw
from convprop.errors import ConvpropError
from convprop.graph import Block, Parallel, Residual, SqueezeExcite
from convprop.layers import (
    ELU,
    GELU,
    SELU,
    AveragePool,
    BatchNorm,
    ChannelShuffle,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    InstanceNorm,
    L2Pool,
    Layer,
    LayerNorm,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool,
    Mish,
    Multiply,
    PReLU,
    ReLU,
    ReLU6,
    ScaledTanh,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    StochasticDepth,
    Tanh,
)
from convprop.machine.native import description, engine
from convprop.machine.threads import get_num_threads, set_num_threads
from convprop.network import Network
from convprop.optimizers import LAMB, LARS, SGD, Adadelta, Adam, AdamW, Optimizer, RMSprop
from convprop.training import EpochRecord, train

RECORDED = Path(__file__).with_name("bits.txt")
THREADS = (1, 2, 3, 7)
STEPS = (2, 200)
"""After how many steps the weights of each network are recorded."""

UNFUSED = "x86_64_v2"
"""The engine outside the promise: it has no fused multiply-add, and rounds twice."""

DTYPES = ("float32", "float64")
AUGMENT_SETTINGS = (
    "shift_rows",
    "shift_columns",
    "flip_rows",
    "flip_columns",
    "rotation",
    "zoom",
    "crop",
    "elastic",
    "brightness",
    "contrast",
    "noise",
    "erase",
)
"""What a case says of how its images are changed."""

IMAGES_STREAM, LABELS_STREAM = 50, 51


@dataclass(frozen=True)
class Trained:
    """A network and how it is trained: a whole batch and a half one in turn."""

    name: str
    layers: tuple[Layer | Block, ...]
    input_shape: tuple[int, int, int]
    optimizer: Optimizer
    batch: int = 17
    dtype: str = "float32"

    def network(self) -> Network:
        """Return the network with its first weights."""
        net = Network(self.layers, self.input_shape, dtype=self.dtype)
        channels = self.input_shape[0]
        net.normalisation = np.full(channels, 127.5), np.full(channels, 2.0**-6)
        return net

    def line(self) -> str:
        """Return the training as a line for the kernels' own test: its layers behind colons."""
        how = description(
            "network",
            name=self.name,
            dtype=self.dtype,
            batch=self.batch,
            input=self.input_shape,
            optimizer=self.optimizer.kind,
            learning_rate=self.optimizer.learning_rate,
            **self.optimizer.settings(),
            **self._factors(),
        )
        return " : ".join([how, *self.network().graph.descriptions()])

    def _factors(self) -> dict[str, tuple[float, ...]]:
        rates, decays = zip(*self.optimizer.factors(self.network().graph.parameters), strict=True)
        return {"rates": rates, "decays": decays} if {*rates, *decays} != {1.0} else {}

    def hashes(self, steps: int) -> dict[str, str]:
        """Return the hash of the weights after each of STEPS up to ``steps``."""
        net = self.network()
        count = self.batch + (self.batch + 1) // 2
        pixels = engine.random_bits(0, IMAGES_STREAM, count * int(np.prod(self.input_shape)))
        labels = engine.random_bits(0, LABELS_STREAM, count) % np.uint64(net.outputs)
        found: dict[str, str] = {}

        def keep(record: EpochRecord) -> None:
            if 2 * record.epoch in STEPS:
                found[str(2 * record.epoch)] = _hash(*net.parameters.values())

        train(
            net,
            (pixels >> np.uint64(56)).astype(np.uint8).reshape(count, *self.input_shape),
            labels.astype(np.int64),
            optimizer=self.optimizer,
            epochs=steps // 2,
            batch_size=self.batch,
            shuffle=False,
            on_epoch=keep,
        )
        return found


def _of_preset(name: str, optimizer: Optimizer, batch_size: int = 17) -> Trained:
    preset = presets.PRESETS[name]
    layers = tuple(preset.build(preset.input_shape, preset.classes))
    return Trained(name, layers, preset.input_shape, optimizer, batch_size)


# Every kind of layer, and shapes that leave rests everywhere.
_DEEP = (
    *(Conv(5, 3, padding=1), ReLU(), MaxPool(2), Conv(7, 3), ScaledTanh(), L2Pool(2)),
    *(Dropout(0.25), Flatten(), Dense(21), ReLU(), Dense(3)),
)
# Maps and kernels that leave rests of Winograd's tiles and of the lanes.
_WINOGRAD = (
    *(Conv(18, 3, padding=1, algorithm="winograd"), ReLU()),
    *(Conv(7, 3, padding=(0, 2, 1, 0), algorithm="winograd"), Tanh(), MaxPool(2), Dense(3)),
)
# What a convolution and a pooling have besides: groups, one a channel and several; distances,
# what stands in the padding, no bias, a flipped kernel, padding that is not counted.
_GROUPED = (
    *(Conv(6, 3, padding=1, groups=2, padding_value=0.5), LeakyReLU(0.2)),
    *(Conv(12, 3, groups=6, dilation=(2, 1), padding="same", bias=False), Softplus()),
    *(Conv(5, (3, 2), stride=(2, 1), flip_kernel=True), Sigmoid()),
    *(AveragePool(3, stride=2, padding=1, count_padding=False), Dense(7, bias=False), Dense(3)),
)
# Values that several layers read, joins of all kinds, and two paddings round one value.
_BRANCHED = (
    *(
        Conv(5, 3, padding=1),
        ReLU(),
        Residual(Conv(5, 3, padding=1), Tanh(), Conv(5, 3, padding=1)),
    ),
    *(ReLU(), Parallel([], [AveragePool("global"), Conv(5, 1), Sigmoid()], join=Multiply())),
    Parallel(
        [Conv(4, 3, padding=1, padding_value=1.0), MaxPool(2)],
        [Conv(3, 3, padding=1, algorithm="winograd"), ReLU(), MaxPool(2)],
        [MaxPool(2), Dropout(0.25)],
    ),
    *(ReLU(), Parallel([Flatten(), Dense(6)], [AveragePool("global"), Flatten()]), Dense(3)),
)
# Normalisations: with an activation behind them and without one, behind activations, in branches,
# over rows of values, with and without weights.
_NORMALISED = (
    *(Conv(6, 3, padding=1), GroupNorm(2), ReLU(), Conv(4, 3), LayerNorm(epsilon=1e-6), Tanh()),
    *(LocalResponseNorm(3, alpha=0.5), InstanceNorm(affine=False), MaxPool(2)),
    Residual(GroupNorm(1), LeakyReLU(), Conv(4, 3, padding=1), LayerNorm(affine=False)),
    *(Flatten(), LayerNorm(), Dense(12), GroupNorm(4), Sigmoid(), Dense(3)),
)
# Activations that ask for what they were taken of, slopes that are learned, and shares of channels:
# in a row, where few images go one by one; and behind joins, pools and Winograd's algorithm.
_BENT = (
    *(Conv(5, 3, padding=1), GELU(), MaxPool(2), Conv(6, 3, padding=1), PReLU(by_channel=True)),
    *(Conv(4, 3), SiLU(), HardSwish(), PReLU(), Softmax(), Conv(6, 2), ELU(0.5), Flatten()),
    *(PReLU(by_channel=True), Softmax(), Dense(7), PReLU(), Dense(6), GELU("tanh"), Dense(3)),
)
_BENT_BRANCHES = (
    *(Conv(6, 3, padding=1, algorithm="winograd"), ReLU6(), MaxPool(2), Conv(5, 3), HardSigmoid()),
    *(Residual(Conv(5, 3, padding=1), Mish(), Conv(5, 3, padding=1)), SiLU()),
    *(Parallel([PReLU()], [Conv(5, 1), Softmax()], join=Multiply()), AveragePool(2), Softsign()),
    *(Parallel([Flatten(), Dense(6), SELU()], [Flatten(), PReLU(by_channel=True)]), Dense(3)),
)
# Statistics of batches, of blocks and running ones: in branches whose segments end at different
# nodes, behind activations, pools and rows of values, and where nothing of them is trained.
_BATCH_NORMALISED = (
    *(Conv(5, 3, padding=1, bias=False), BatchNorm(), ReLU(), MaxPool(2), Dropout(0.2)),
    Residual(
        *(Conv(6, 3, padding=1, algorithm="winograd"), BatchNorm(momentum=0.3), Tanh()),
        *(Conv(6, 3, padding=1), BatchNorm(over=16)),
        shortcut=[Conv(6, 1, bias=False), BatchNorm(trainable=False)],
    ),
    *(ReLU(), Conv(6, 3, groups=6), BatchNorm(frozen=True), LeakyReLU(), AveragePool("global")),
    *(Flatten(), Dense(9), BatchNorm(epsilon=0.1), Sigmoid(), Dense(3)),
)
# Layers of every algorithm of which nothing, or one parameter alone, is trained.
_FROZEN_FIRST = (
    *(Conv(5, 3, padding=1, trainable=False), ReLU(), Conv(6, 3, trainable="bias"), Tanh()),
)
_FROZEN_LAST = (
    *(Dense(9, trainable=False), ReLU(), Dense(7, trainable="bias"), ReLU()),
    Dense(3, trainable="weight"),
)
_FROZEN = (
    *(*_FROZEN_FIRST, Residual(Conv(6, 3, padding=1, algorithm="winograd", trainable=False))),
    *(ReLU(), Conv(4, 2, stride=2, trainable="weight"), Sigmoid(), *_FROZEN_LAST),
)
_FROZEN_BY_IMAGE = (
    *(*_FROZEN_FIRST, Conv(4, 3, trainable=False), ReLU(), Conv(4, 2, trainable="weight")),
    *(Sigmoid(), *_FROZEN_LAST),
)
_FACTORS: dict[str, Any] = {"rate_factors": {"bias": 4, "conv*": 0.5}, "decay_factors": "weights"}
# Pooling in ceil mode and with dilation, shuffled groups, weighed channels, branches left out.
_MOBILE = (
    *(Conv(6, 3, padding=1), ReLU(), MaxPool(3, stride=2, ceil_mode=True)),
    *(Conv(12, 1, groups=3), ChannelShuffle(3), Conv(12, 3, padding=1, groups=12), ReLU()),
    Residual(
        *(
            SqueezeExcite(3),
            Conv(12, 1),
            AveragePool(2, stride=1, padding=(2, 0, 1, 1), dilation=2),
        ),
        drop=0.4,
    ),
    *(MaxPool(2, stride=1, dilation=(2, 1)), L2Pool(2, ceil_mode=True), StochasticDepth(0.25)),
    *(AveragePool("global"), Dense(3)),
)
_CONVOLUTIONAL = (Dropout(0.25), Conv(4, 3, padding=1), Tanh(), Conv(3, 6), ReLU())

TRAININGS = (
    _of_preset("lenet5", SGD(0.002, momentum=0.9)),
    _of_preset("cifar-tutorial", SGD(0.001, momentum=0.9)),
    _of_preset("keras-mnist", AdamW(0.001)),
    _of_preset("lenet-theano", SGD(0.01)),
    _of_preset("pytorch-mnist", Adadelta(1.0)),
    _of_preset("vgg-small", Adam(0.0001)),
    _of_preset("mlp", Adam(0.001), 33),
    *(
        Trained(f"deep-{batch}", _DEEP, (2, 10, 10), Adam(0.01), batch)
        for batch in (1, 5, 16, 33, 150)
    ),
    Trained("deep-33-float64", _DEEP, (2, 10, 10), Adam(0.01), 33, "float64"),
    *(
        Trained(f"winograd-{batch}", _WINOGRAD, (5, 7, 9), Adam(0.01), batch)
        for batch in (1, 33, 150)
    ),
    Trained("winograd-33-float64", _WINOGRAD, (5, 7, 9), Adam(0.01), 33, "float64"),
    *(Trained(f"branched-{batch}", _BRANCHED, (2, 8, 9), Adam(0.01), batch) for batch in (3, 70)),
    Trained("branched-70-float64", _BRANCHED, (2, 8, 9), Adam(0.01), 70, "float64"),
    *(Trained(f"grouped-{batch}", _GROUPED, (4, 9, 8), AdamW(0.01), batch) for batch in (3, 70)),
    Trained("grouped-70-float64", _GROUPED, (4, 9, 8), AdamW(0.01), 70, "float64"),
    *(
        Trained(f"normalised-{batch}", _NORMALISED, (2, 8, 9), Adam(0.01), batch)
        for batch in (1, 5, 33, 150)
    ),
    Trained("normalised-33-float64", _NORMALISED, (2, 8, 9), Adam(0.01), 33, "float64"),
    *(
        Trained(f"batch-normalised-{batch}", _BATCH_NORMALISED, (2, 9, 8), Adam(0.01), batch)
        for batch in (3, 33, 150)
    ),
    Trained("batch-normalised-33-float64", _BATCH_NORMALISED, (2, 9, 8), Adam(0.01), 33, "float64"),
    *(Trained(f"bent-{batch}", _BENT, (2, 9, 8), Adam(0.01), batch) for batch in (3, 70, 150)),
    Trained("bent-70-float64", _BENT, (2, 9, 8), Adam(0.01), 70, "float64"),
    Trained("bent-branches-70", _BENT_BRANCHES, (2, 10, 10), AdamW(0.01), 70),
    *(Trained(f"mobile-{batch}", _MOBILE, (2, 9, 10), Adam(0.01), batch) for batch in (3, 70)),
    Trained("mobile-70-float64", _MOBILE, (2, 9, 10), Adam(0.01), 70, "float64"),
    Trained("convolutional-40", _CONVOLUTIONAL, (1, 6, 6), RMSprop(0.001), 40),
    Trained("convolutional-40-float64", _CONVOLUTIONAL, (1, 6, 6), RMSprop(0.001), 40, "float64"),
    *(
        Trained(
            f"frozen-{batch}",
            layers,
            (2, 9, 8),
            SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01, decoupled=True, **_FACTORS),
            batch,
        )
        for layers, batch in ((_FROZEN_BY_IMAGE, 3), (_FROZEN, 70))
    ),
    Trained("lars-70", _DEEP, (2, 10, 10), LARS(0.5, weight_decay=0.01, **_FACTORS), 70),
    Trained("lamb-70", _DEEP, (2, 10, 10), LAMB(0.01, **_FACTORS), 70),
    Trained("lamb-33-float64", _DEEP, (2, 10, 10), LAMB(0.01), 33, "float64"),
)


@dataclass(frozen=True)
class Case:
    """A case's line and its recorded hashes, by what they are of."""

    line: str
    hashes: dict[str, str]

    @property
    def kind(self) -> str:
        """The operation, or "network"."""
        return self.line.split(" ", 1)[0]

    @property
    def is_training(self) -> bool:
        """Whether it is a network's, with a hash for each of some numbers of steps."""
        return self.kind == "network"

    @property
    def name(self) -> str:
        """The case's name."""
        return str(self.properties["name"])

    @property
    def properties(self) -> dict[str, Any]:
        """What the line says of the case: words, numbers, and tuples of numbers."""
        pairs = (word.split("=", 1) for word in self.line.split(" : ")[0].split()[1:])
        return {name: _value(text) for name, text in pairs}

    def computed(self, steps: int) -> dict[str, str]:
        """Return the hashes that the running engine finds, of networks up to ``steps`` steps."""
        if self.is_training:
            (training,) = (one for one in TRAININGS if one.line() == self.line)
            return training.hashes(steps)
        return {
            f"{part} {dtype}": _hash(array)
            for dtype in DTYPES
            for part, array in _OPERATIONS[self.kind](self.properties, np.dtype(dtype))
        }


def _value(text: str) -> Any:
    if "," in text:
        return tuple(map(_value, text.split(",")))
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    return text


def recorded() -> list[Case]:
    """Return the cases of bits.txt."""
    cases: list[Case] = []
    for line in RECORDED.read_text(encoding="ascii").splitlines():
        if line.startswith(" "):
            what, digest = line.strip().rsplit(" ", 1)
            cases[-1].hashes[what] = digest
        elif line and not line.startswith("#"):
            cases.append(Case(line, {}))
    return cases


def text_of(lines: Iterable[str]) -> str:
    """Return bits.txt for these cases, with the hashes that the running engine finds.

    Raises
    ------
    ConvpropError
        The engine has no fused multiply-add.
    """
    _require_fused()
    text = (
        "# Written by tests/cases.py: the SHA-256 of every result, which no machine may change.\n"
    )
    for line in lines:
        found = Case(line, {}).computed(STEPS[-1])
        text += "".join(f"{row}\n" for row in (line, *(f"  {a} {b}" for a, b in found.items())))
    return text


def _hash(*arrays: Array) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


Parts = Iterator[tuple[str, Array]]
Properties = dict[str, Any]


def _conv(of: Properties, dtype: np.dtype[Any]) -> Parts:
    channels, rows, columns = of["input"]
    options = {name: of[name] for name in ("stride", "padding", "dilation", "groups")}
    options["flip_kernel"] = bool(of["flip_kernel"])
    o = _drawn(1, dtype, of["images"], channels, rows, columns)
    w = _drawn(2, dtype, of["kernels"], channels // of["groups"], *of["kernel_size"])
    b = _drawn(4, dtype, of["kernels"]) if of["bias"] else None
    padded = options | {"padding_value": of["padding_value"]}
    x = ops.conv.forward(o, w, b, **padded)
    delta = _drawn(3, dtype, *x.shape)
    size = of["kernel_size"]
    yield "forward", x
    yield "weight_gradient", ops.conv.weight_gradient(o, delta, kernel_size=size, **padded)
    yield "input_delta", ops.conv.input_delta(delta, w, input_size=(rows, columns), **options)


def _pool(of: Properties, dtype: np.dtype[Any]) -> Parts:
    options = ops.pool.options_of(of | {"count_padding": bool(of["count_padding"])})
    o = _drawn(1, dtype, of["images"], *of["input"])
    x, _winner = ops.pool.forward(o, of["pool"], **options)
    delta = _drawn(3, dtype, *x.shape)
    yield "forward", x
    yield "input_delta", ops.pool.input_delta(delta, o, of["pool"], **options)


def _channel_shuffle(of: Properties, dtype: np.dtype[Any]) -> Parts:
    o, delta = (_drawn(stream, dtype, of["images"], *of["input"]) for stream in (1, 3))
    yield "forward", ops.channel_shuffle.forward(o, of["groups"])
    yield "input_delta", ops.channel_shuffle.input_delta(delta, of["groups"])


def _dense(of: Properties, dtype: np.dtype[Any]) -> Parts:
    images, features, units = of["images"], of["input"][0], of["units"]
    o = _drawn(1, dtype, images, features)
    w = _drawn(2, dtype, units, features)
    delta = _drawn(3, dtype, images, units)
    yield "forward", ops.dense.forward(o, w)
    yield "weight_gradient", ops.dense.weight_gradient(o, delta)
    yield "input_delta", ops.dense.input_delta(delta, w)


def _join(of: Properties, dtype: np.dtype[Any]) -> Parts:
    sizes = [of["size"], *[(1, 1) if of["by_channel"] else of["size"]] * len(of["channels"][1:])]
    shapes = [(c, *size) for c, size in zip(of["channels"], sizes, strict=True)]
    inputs = [_drawn(60 + n, dtype, of["images"], *shape) for n, shape in enumerate(shapes)]
    x = ops.join.forward(inputs, of["join"])
    deltas = ops.join.input_delta(_drawn(3, dtype, *x.shape), inputs, of["join"])
    yield "forward", x
    yield "input_delta", np.concatenate([delta.ravel() for delta in deltas])


def _image_norm(of: Properties, dtype: np.dtype[Any]) -> Parts:
    options = {"groups": of.get("groups"), "epsilon": of["epsilon"]}
    shape = of["images"], *of["input"]
    o = _drawn(1, dtype, *shape)
    weight, bias = (_drawn(stream, dtype, shape[1]) if of["affine"] else None for stream in (2, 4))
    delta = _drawn(3, dtype, *shape)
    yield "forward", ops.image_norm.forward(o, weight, bias, **options)
    yield "weight_gradient", ops.image_norm.weight_gradient(o, delta, **options)
    yield "bias_gradient", ops.image_norm.bias_gradient(o, delta, **options)
    yield "input_delta", ops.image_norm.input_delta(delta, o, weight, **options)


def _local_response_norm(of: Properties, dtype: np.dtype[Any]) -> Parts:
    options = {name: of[name] for name in ("size", "alpha", "beta", "k")}
    o, delta = (_drawn(stream, dtype, of["images"], *of["input"]) for stream in (1, 3))
    yield "forward", ops.local_response_norm.forward(o, **options)
    yield "input_delta", ops.local_response_norm.input_delta(delta, o, **options)


def _activation(of: Properties, dtype: np.dtype[Any]) -> Parts:
    x, delta = 8 * _drawn(1, dtype, of["size"]), _drawn(3, dtype, of["size"])
    kind, settings = of["activation"], {name: of[name] for name in ("slope", "alpha") if name in of}
    o = ops.activation.forward(x, kind, **settings)
    yield "forward", o
    yield "input_delta", ops.activation.input_delta(delta, o, kind, x=x, **settings)


def _prelu(of: Properties, dtype: np.dtype[Any]) -> Parts:
    own, channels = bool(of["by_channel"]), of["input"][0]
    o = _drawn(1, dtype, of["images"], *of["input"])
    a, delta = _drawn(2, dtype, channels if own else 1), _drawn(3, dtype, *o.shape)
    yield "forward", ops.prelu.forward(o, a)
    yield "weight_gradient", ops.prelu.weight_gradient(o, delta, by_channel=own)
    yield "input_delta", ops.prelu.input_delta(delta, o, a)


def _softmax(of: Properties, dtype: np.dtype[Any]) -> Parts:
    o = 8 * _drawn(1, dtype, of["images"], *of["input"])
    x = ops.softmax.forward(o)
    yield "forward", x
    yield "input_delta", ops.softmax.input_delta(_drawn(3, dtype, *o.shape), x)


def _augment(of: Properties, dtype: np.dtype[Any]) -> Parts:
    settings = {name: float(of[name]) for name in AUGMENT_SETTINGS}
    channels = of["input"][0]
    o = _drawn(1, dtype, of["images"], *of["input"])
    mean, deviation = _drawn(2, dtype, channels), np.abs(_drawn(3, dtype, channels))
    each = np.arange(of["images"])
    yield "forward", engine.augment(settings, o, each, each, mean, deviation, 7, 2)


def _drawn(stream: int, dtype: np.dtype[Any], *shape: int) -> Array:
    return draw(stream, *shape).astype(np.float32).astype(dtype)


_OPERATIONS: dict[str, Callable[[Properties, np.dtype[Any]], Parts]] = {
    "conv": _conv,
    "pool": _pool,
    "channel_shuffle": _channel_shuffle,
    "dense": _dense,
    "join": _join,
    "group_norm": _image_norm,
    "layer_norm": _image_norm,
    "local_response_norm": _local_response_norm,
    "activation": _activation,
    "prelu": _prelu,
    "softmax": _softmax,
    "augment": _augment,
}


@dataclass(frozen=True)
class BitRow:
    """What one engine found, with some numbers of threads that agree.

    Attributes
    ----------
    engine, name : str
    threads : list of int
    results : int
        How many hashes there are; of several, the two below are hashes of them all.
    found, recorded : str
    differing : list of str
        The results that differ.
    """

    engine: str
    name: str
    threads: list[int]
    results: int
    found: str
    recorded: str
    differing: list[str]


def check_bits(steps: int) -> list[BitRow]:
    """Return the running engine's rows, networks trained for ``steps`` steps.

    Raises
    ------
    ConvpropError
        The engine has no fused multiply-add.
    """
    _require_fused()
    before = get_num_threads()
    try:
        groups = groupby(recorded(), lambda one: one.name if one.is_training else one.kind)
        return [row for name, cases in groups for row in _rows(name, list(cases), steps)]
    finally:
        set_num_threads(before)


def _require_fused() -> None:
    if engine.isa == UNFUSED:
        raise ConvpropError(
            f"the engine for {UNFUSED} has no fused multiply-add: its bits are not promised"
        )


def _rows(name: str, cases: list[Case], steps: int) -> Iterator[BitRow]:
    """Yield one row, or one more for every number of threads that finds something else."""
    wanted = _results(cases, steps, [case.hashes for case in cases])
    threads_of: dict[tuple[str, ...], list[int]] = {}
    for threads in THREADS:
        set_num_threads(threads)
        found = _results(cases, steps, [case.computed(steps) for case in cases])
        threads_of.setdefault(tuple(found.values()), []).append(threads)
    for hashes, threads_used in threads_of.items():
        both = zip(wanted.items(), hashes, strict=True)
        differing = [what for (what, right), digest in both if digest != right]
        found_all, wanted_all = _together(hashes), _together(wanted.values())
        yield BitRow(engine.isa, name, threads_used, len(wanted), found_all, wanted_all, differing)


def _results(cases: list[Case], steps: int, hashes: list[dict[str, str]]) -> dict[str, str]:
    """Return all hashes by case and result; of a network, that after the last step."""
    return {
        f"{case.name} {what}": digest
        for case, found in zip(cases, hashes, strict=True)
        for what, digest in found.items()
        if not case.is_training or what == str(steps)
    }


def _together(hashes: Iterable[str]) -> str:
    one, *more = hashes
    return hashlib.sha256("".join((one, *more)).encode()).hexdigest() if more else one


def check_every_engine(steps: int) -> list[BitRow]:
    """Return the rows of all engines of this machine that the promise is of.

    Each runs in a process of its own, since a process has one engine; where CONVPROP_ISA names
    one, it is the only one.
    """
    isas = [isa for isa in supported_isas() if isa != UNFUSED]
    if os.environ.get("CONVPROP_ISA") or not isas:
        return check_bits(steps)
    rows: list[BitRow] = []
    for isa in isas:
        script = f"from convprop.check.bits import print_rows; print_rows({steps})"
        finished = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"CONVPROP_ISA": isa},
            capture_output=True,
            text=True,
        )
        if finished.returncode:
            ended = f"{finished.returncode}: {finished.stderr.strip()}"
            raise ConvpropError(f"the engine for {isa} ended with status {ended}")
        rows += (BitRow(**row) for row in json.loads(finished.stdout))
    return rows


def print_rows(steps: int) -> None:
    """Print the running engine's rows as JSON."""
    print(json.dumps([asdict(row) for row in check_bits(steps)]))
