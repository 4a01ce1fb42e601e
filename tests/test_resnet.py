"""A residual network of twenty layers, from its first weights to the explorer's page.

On photographs, where there are some, and on images that are made for it.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convprop as cp
from convprop._cpu import supported_isas
from convprop.data import load
from convprop.data.dataset import Dataset
from convprop.explain import Explainer, Explanation
from convprop.training import BatchRecord, History

SIZE = 32
EPOCHS = 2
KILLED_AFTER = 5
"""Steps: there are more in the two epochs."""
OPTIONS: dict[str, Any] = {
    "optimizer": cp.AdamW(3e-3),
    "schedule": cp.schedules.OneCycle(),
    "epochs": EPOCHS,
    "batch_size": 16,
    "augment": cp.Augment(shift=2, flip="horizontal"),
}
ISAS = ("x86_64_v3", "x86_64_v4")


def made(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 3, 32, 32) and labels: soft colours, and in them a bright spot or two.

    Spots lie beside one another (0) or above (1), as things in photographs lie anywhere.
    """
    random = np.random.default_rng(5)
    labels = np.arange(count) % 2
    rows, columns = np.indices((SIZE, SIZE)) / SIZE
    images = np.empty((count, 3, SIZE, SIZE))
    for image, label in zip(images, labels, strict=True):
        for channel in image:
            a, b, c = random.uniform(-3, 3, 3)
            channel[...] = 90 + 50 * np.sin(a * rows + b * columns + c)
        row, column = random.uniform(0.2, 0.5, 2)
        for near in (0, 0.3):
            at = (row + near * label, column + near * (1 - label))
            distance = (rows - at[0]) ** 2 + (columns - at[1]) ** 2
            image += 80 * np.exp(-150 * distance)
        image += random.normal(0, 6, image.shape)
    return np.clip(images, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module", params=["made", "photographs"])
def data(request: pytest.FixtureRequest) -> Dataset:
    """Images of 3x32x32 of two classes."""
    if request.param == "made":
        images, labels = made(120)
        return Dataset(images, labels.astype(np.int32), ["beside", "above"], "made")
    folder = request.getfixturevalue("photographs_folder")
    return load(folder, size=(SIZE, SIZE), test_fraction=0).train


def network(classes: int) -> cp.Network:
    """Return the network as it is before it is trained."""
    return cp.preset("resnet-plain", (3, SIZE, SIZE), classes, seed=4)


@pytest.fixture(scope="module")
def trained(data: Dataset) -> tuple[cp.Network, History]:
    """The network after two epochs, and their records."""
    net = network(len(data.class_names))
    return net, cp.train(net, data.images, data.labels, **OPTIONS)


def test_it_has_twenty_layers_and_is_trained(trained: tuple[cp.Network, History]):
    net, history = trained
    assert sum(bool(node.parameters) for node in net.graph.nodes) == 20
    assert len(history) == EPOCHS
    assert math.isfinite(history[-1].loss)
    assert history[-1].loss < history[0].loss
    # Each block has come to add something.
    assert all(array.any() for array in net.parameters.values())


def test_it_is_saved_and_loaded(data: Dataset, trained: tuple[cp.Network, History], tmp_path: Path):
    net, _ = trained
    net.save(tmp_path / "net.safetensors")
    back = cp.load(tmp_path / "net.safetensors")
    assert back.graph == net.graph
    assert back.weights_sha256() == net.weights_sha256()
    images = data.images[:20]
    np.testing.assert_array_equal(back.forward(images), net.forward(images))


def some(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a place in an array."""
    return tuple(int(random.integers(length)) for length in shape)


def is_exact(found: Explanation, value: Any) -> bool:
    """Whether an explanation is of a number of the engine, and its terms sum to it bit for bit."""
    return found.value == value and found.exact and found.total == value


def test_any_number_of_any_node_sums_to_the_bit(data: Dataset, trained: tuple[cp.Network, History]):
    net, _ = trained
    # Two blocks of images, the second of one.
    asked = Explainer(net, data.images[:17], data.labels[:17])
    random = np.random.default_rng(9)
    done, nodes = asked.done, net.graph.nodes
    at = some(random, done.input_delta.shape)
    assert is_exact(asked.received("input", *at[1:], image=at[0]), done.input_delta[at])
    for place, (node, went) in enumerate(zip(nodes, done.layers, strict=True)):
        for _ in range(3):
            at = some(random, went.output.shape)
            assert is_exact(asked.output(node.name, *at[1:], image=at[0]), went.output[at])
            if net.graph.readers(place + 1):
                found = asked.received(node.name, *at[1:], image=at[0])
                assert is_exact(found, went.delta[at])
            for part, gradient in went.gradients.items():
                at = some(random, gradient.shape)
                ask = asked.weight_gradient if part == "weight" else asked.bias_gradient
                assert is_exact(ask(node.name, *at), gradient[at])
        for number, (value, o) in enumerate(zip(node.reads, went.inputs, strict=True)):
            at = some(random, o.shape)
            found = asked.delta(node.name, *at[1:], image=at[0], of=number)
            assert found.exact
            sent = asked.sent(value)[node.name][at]
            assert found.total == (found.value if found.steps else sent)
    for image in range(17):
        assert asked.loss(image=image).exact


def test_the_explorer_answers_for_every_node(
    data: Dataset,
    trained: tuple[cp.Network, History],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.syspath_prepend(Path(__file__).parent / "explorer")
    from server import running

    net, _ = trained
    asked = Explainer(net, data.images[:1], data.labels[:1])
    random = np.random.default_rng(3)
    with running(net, data, stays=True) as client:
        client.enter()
        opened = client.post("/open", {}).json()
        session = f"/sessions/{opened['session']}"

        def answer(question: str, **body: object) -> Any:
            found = client.post(f"{session}/{question}", body)
            assert found.status == 200, found.body
            return found.json()

        layers = opened["layers"]
        assert [layer["name"] for layer in layers] == list(net.names)
        assert [tuple(layer["reads"]) for layer in layers] == [n.reads for n in net.graph.nodes]
        shown = answer("maps")
        assert len(shown["outputs"]) == len(shown["deltas"]) == len(layers) + 1
        # Of what a block and its shortcut read.
        assert {len(sent) for sent in shown["sent"].values()} == {2, 3}
        for node, went in zip(net.graph.nodes, asked.done.layers, strict=True):
            at = some(random, node.output)
            found = answer("explain", number="output", layer=node.name, at=at)
            assert np.float32(found["value"]) == went.output[(0, *at)]
            assert found["exact"]
            for of, shape in enumerate(node.inputs):
                at = some(random, shape)
                found = answer("explain", number="delta", layer=node.name, at=at, of=of)
                wanted = asked.delta(node.name, *at, of=of)
                assert np.float32(found["value"]) == wanted.value
                assert found["exact"]
            for part, number in (("weight", "weight_gradient"), ("bias", "bias_gradient")):
                if part in node.parameters:
                    at = some(random, node.parameters[part].shape)
                    found = answer("explain", number=number, layer=node.name, at=at)
                    assert np.float32(found["value"]) == went.gradients[part][at]
                    assert found["exact"]
        after = answer("train", steps=1, optimizer="adam", learning_rate=0.001)
        assert after["step"] == 1


def goes_on(arrays: str, checkpoints: str, killed: bool) -> None:
    """Train, or go on with it, and print the weights' hash; another process calls this.

    One that is killed ends itself as kill -9 does, after some steps.
    """

    def on_batch(record: BatchRecord) -> None:
        if killed and record.step == KILLED_AFTER:
            os.kill(os.getpid(), signal.SIGKILL)

    with np.load(arrays) as file:
        images, labels = file["images"], file["labels"]
    net = network(int(labels.max()) + 1)
    history = cp.train(
        net,
        images,
        labels,
        **OPTIONS,
        checkpoints=cp.Checkpoints(checkpoints, seconds=1e-6),
        resume=True,
        on_batch=on_batch,
    )
    print(history.resumed, net.weights_sha256())


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", ISAS)
def test_killed_and_resumed_it_ends_with_the_same_weights(
    data: Dataset,
    trained: tuple[cp.Network, History],
    tmp_path: Path,
    isa: str,
    threads: int,
):
    if isa not in supported_isas():
        pytest.skip(f"this processor has no {isa}")
    net, _ = trained
    np.savez(tmp_path / "data.npz", images=data.images, labels=data.labels)

    def process(killed: bool) -> subprocess.CompletedProcess[str]:
        words = str(tmp_path / "data.npz"), str(tmp_path / "net"), killed
        return subprocess.run(
            [sys.executable, "-c", f"import test_resnet; test_resnet.goes_on{words!r}"],
            cwd=Path(__file__).parent,
            env=os.environ | {"CONVPROP_ISA": isa, "CONVPROP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
        )

    assert process(killed=True).returncode == -signal.SIGKILL
    last = process(killed=False)
    assert last.stderr == ""
    # The step that it was killed in left no checkpoint.
    assert last.stdout.split() == [str(KILLED_AFTER - 1), net.weights_sha256()]
