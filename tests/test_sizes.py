"""Sizes up to the largest: refused before anything is allocated, or computed with rightly."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import convprop as cp
from convprop import ops
from convprop.cli import app as cli
from convprop.errors import InvalidInput, ModelFileError, OutOfMemory
from refusal import refuses

LARGEST = 2**31 - 1
IMAGES = np.random.default_rng(0).standard_normal((3, 2, 8, 8)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).standard_normal((4, 2, 3, 3)).astype(np.float32)
VALUES = "have at most 2147483584 values"


@pytest.mark.parametrize(
    ("layers", "input_shape", "message"),
    [
        # Padding of 2**31 - 1 on each side, whose sum with the width has not been an int since.
        (
            [cp.Conv(1, 3, padding="same", dilation=(1, LARGEST)), cp.Dense(2)],
            (1, 8, 8),
            f"padded input must {VALUES}, got 1x10x4294967302, at conv1 = Conv(1, 3,"
            " padding='same', dilation=(1, 2147483647)): input 1x8x8 -> conv1",
        ),
        (
            [cp.Conv(1, 3, padding=(0, LARGEST, 0, 0))],
            (1, 8, 8),
            f"padded input must {VALUES}, got 1x2147483655x8, at conv1 = Conv(1, 3,"
            " padding=(0, 2147483647, 0, 0)): input 1x8x8 -> conv1",
        ),
        (
            [cp.AveragePool(LARGEST, padding=LARGEST - 1)],
            (1, 8, 8),
            f"padded input must {VALUES}, got 1x4294967300x4294967300, at average_pool1 ="
            " AveragePool(2147483647, padding=2147483646):"
            " input 1x8x8 -> average_pool1",
        ),
        (
            [cp.Conv(1, 3, dilation=LARGEST)],
            (1, 8, 8),
            "window must fit into its padded input of 8x8, got 4294967295x4294967295 with its"
            " dilation, at conv1 = Conv(1, 3, dilation=2147483647):"
            " input 1x8x8 -> conv1",
        ),
        (
            [cp.Dense(2**30), cp.Dense(2)],
            (1, 8, 8),
            f"weight must {VALUES}, got 1073741824x64, at dense1 = Dense(1073741824):"
            " input 1x8x8 -> dense1",
        ),
        (
            [cp.Conv(2**20, (8, 8))],
            (64, 8, 8),
            f"weight must {VALUES}, got 1048576x64x8x8, at conv1 = Conv(1048576, 8):"
            " input 64x8x8 -> conv1",
        ),
        (
            [cp.ReLU()],
            (2, 2**15, 2**15),
            f"input_shape must {VALUES}, got 2x32768x32768",
        ),
    ],
)
def test_networks_of_sizes_that_nothing_holds_are_refused(layers, input_shape, message):
    with refuses(InvalidInput, message):
        cp.Network(layers, input_shape)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ops.conv.forward(IMAGES, WEIGHTS, padding=LARGEST),
            f"padded input must {VALUES}, got 2x4294967302x4294967302",
        ),
        (
            lambda: ops.conv.forward(IMAGES, WEIGHTS, padding="same", dilation=LARGEST),
            f"padded input must {VALUES}, got 2x4294967302x4294967302",
        ),
        (
            lambda: ops.conv.input_delta(
                np.ones((1, 4, 1, 1)),
                np.ones((4, 2, 1, 1)),
                input_size=(LARGEST, 1),
                stride=LARGEST,
            ),
            f"padded input must {VALUES}, got 2x2147483647x1",
        ),
        (
            lambda: ops.conv.input_delta(
                np.ones((1, 4, 1, 1)), np.ones((4, 1, 1, 1)), input_size=1, groups=LARGEST
            ),
            f"padded input must {VALUES}, got 2147483647x1x1",
        ),
        (
            lambda: ops.pool.forward(IMAGES, "max", size=LARGEST, padding=LARGEST - 1),
            f"padded input must {VALUES}, got 2x4294967300x4294967300",
        ),
    ],
)
def test_operations_on_sizes_that_nothing_holds_are_refused(call, message):
    with refuses(InvalidInput, message):
        call()


def test_a_stride_or_a_dilation_that_no_two_pixels_have_is_as_good_as_any():
    large = {"stride": LARGEST, "dilation": LARGEST}
    near = {"stride": 8, "dilation": 1}
    w = WEIGHTS[:, :, :1, :1].copy()
    delta = np.random.default_rng(2).standard_normal((3, 4, 1, 1)).astype(np.float32)
    for options in (large, near):
        options["results"] = (
            ops.conv.forward(IMAGES, w, stride=options["stride"], dilation=options["dilation"]),
            ops.conv.weight_gradient(
                IMAGES,
                delta,
                kernel_size=1,
                stride=options["stride"],
                dilation=options["dilation"],
            ),
            ops.conv.input_delta(
                delta, w, input_size=8, stride=options["stride"], dilation=options["dilation"]
            ),
            ops.pool.forward(IMAGES, "average", size=8, stride=options["stride"])[0],
        )
    for found, expected in zip(large["results"], near["results"], strict=True):
        assert found.tobytes() == expected.tobytes()
    assert np.abs(large["results"][2]).max() > 0


def test_networks_train_with_strides_past_their_images():
    layers = [cp.Conv(3, 3, stride=LARGEST), cp.Tanh(), cp.Dense(2)]
    nets = [
        cp.Network(layers, (2, 8, 8)),
        cp.Network([cp.Conv(3, 3, stride=6), *layers[1:]], (2, 8, 8)),
    ]
    for net in nets:
        cp.train(net, IMAGES, [0, 1, 0], epochs=2, batch_size=2)
    assert nets[0].weights_sha256() == nets[1].weights_sha256()


def test_a_batch_that_no_process_could_address_is_refused():
    net = cp.Network([cp.Conv(2, 3, padding=15000), cp.MaxPool("global")], (1, 8, 8))
    message = (
        "batch_size must take less memory than a process can address,"
        " got 1,000,000 images of these layers"
    )
    with refuses(InvalidInput, message):
        net.plan("inspect", 1_000_000)


@pytest.mark.parametrize("mode", ["predict", "inspect", "train"])
def test_a_plan_past_the_free_memory_is_refused_before_it_is_made(mode, monkeypatch):
    monkeypatch.setattr("convprop.network.free_memory", lambda: 10**9)
    net = cp.Network([cp.Conv(2, 3, padding=5000), cp.MaxPool("global")], (1, 8, 8))
    size = net.plan_bytes(mode, 16)
    assert size > 10**9
    with refuses(OutOfMemory, f"a batch of 16 images takes {size / 1e9:,.1f} GB"):
        net.plan(mode, 16)


LITTLE_MEMORY = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
import numpy as np
from convprop import ops
try:
    ops.conv.forward(np.ones((1, 1, 8, 8)), np.ones((1, 1, 3, 3)), padding=20000)
except Exception as error:
    print(type(error).__name__, error, sep=": ", end="")
"""


def test_an_operation_past_all_memory_is_the_packages_own_error():
    child = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, timeout=60
    )
    message = "OutOfMemory: an array of this call takes more memory than there is"
    assert (child.stdout, child.stderr) == (message, "")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"padding": "same", "dilation": [1, LARGEST]}, "got 1x10x4294967302"),
        ({"padding": [0, LARGEST, 0, 0]}, "got 1x2147483655x8"),
        ({"kernels": 2**28}, "got 268435456x6x6"),
        ({"kernel_size": [LARGEST, 1]}, "window must fit into its padded input of 8x8"),
    ],
)
@pytest.mark.parametrize(
    "command", ["inspect", "summary", "predict", "evaluate", "profile", "explore", "check"]
)
def test_a_file_of_sizes_that_nothing_holds_is_refused_by_every_command(
    tmp_path, capsys, options, why, command
):
    net = cp.Network([cp.Conv(1, 3), cp.Dense(2)], (1, 8, 8))
    file = tmp_path / "net.safetensors"
    net.save(file)
    with safe_open(file, framework="numpy") as opened:
        metadata = opened.metadata()
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    (key,) = (name for name, text in metadata.items() if text.startswith("{"))
    described = json.loads(metadata[key])
    described["layers"][0] |= options
    save_file(arrays, file, {**metadata, key: json.dumps(described)})
    images = tmp_path / "images.npz"
    np.savez(images, images=np.zeros((4, 8, 8), np.uint8), labels=[0, 1, 0, 1])
    with pytest.raises(ModelFileError, match=why):
        cp.load(file)
    words = [str(images)] * (command in ("predict", "evaluate", "profile", "explore"))
    assert cli.run([command, str(file), *words]) == 1
    printed = capsys.readouterr()
    said = "".join((printed.out + printed.err).split())
    assert str(file) in said
    assert "".join(why.split()) in said
