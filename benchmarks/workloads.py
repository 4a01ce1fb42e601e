"""What is measured: the networks, their optimizers, and batches to train them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import convprop as cp
from job import Job

Shape = tuple[int, int, int]
# Every workload tells this many classes apart.
CLASSES = 10
# Images for this many steps are made; then a training begins again from its beginning.
BATCHES = 100


@dataclass(frozen=True)
class Workload:
    """A preset on images of one shape, trained by one optimizer in batches of some sizes."""

    name: str
    input_shape: Shape
    batches: tuple[int, ...]
    optimizer: dict[str, Any]
    predicted: tuple[int, ...] = ()
    """The sizes of the batches that are predicted."""


def _sgd(learning_rate: float) -> dict[str, Any]:
    return {"kind": "sgd", "learning_rate": learning_rate, "momentum": 0.9}


def _adam(learning_rate: float) -> dict[str, Any]:
    return {"kind": "adam", "learning_rate": learning_rate}


# Learning rates at which the first steps go steadily down on the images below.
WORKLOADS = (
    Workload("lenet5", (1, 28, 28), (16, 128, 256), _sgd(0.002), (1, 16, 1000)),
    Workload("cifar-tutorial", (3, 32, 32), (4, 64), _sgd(0.001)),
    Workload("keras-mnist", (1, 28, 28), (128,), _adam(0.001)),
    Workload("lenet-theano", (1, 28, 28), (128, 500), _sgd(0.01)),
    # Not the example's Adadelta, of which PyTorch has no fused form.
    Workload("pytorch-mnist", (1, 28, 28), (64,), _adam(0.0003)),
    Workload("vgg-small", (3, 32, 32), (64, 128), _adam(0.0001), (1, 16, 1000)),
    Workload("mlp", (1, 28, 28), (64,), _adam(0.0003)),
)


def training_job(workload: Workload, batch: int) -> Job:
    """Return the workload's training run: the preset's own first weights, synthetic images."""
    # Forward, weight_gradient and input_delta each take a layer's multiply-adds; the first
    # layer's input_delta is needed by nobody and counted for nobody.
    return _job(workload, batch, BATCHES, lambda counts: 3 * sum(counts) - counts[0])


def prediction_job(workload: Workload, batch: int) -> Job:
    """Return one batch of images for the preset's own first weights."""
    return _job(workload, batch, 1, sum)


def _job(workload: Workload, batch: int, batches: int, of_step: Callable[[list[int]], int]) -> Job:
    """Return a job; `of_step` makes a step's multiply-adds an image of the layers' forward ones."""
    net = cp.preset(workload.name, workload.input_shape, CLASSES)
    images, labels = synthetic_images(batch * batches, workload.input_shape)
    counts = [node.multiply_adds for node in net.graph.nodes if node.parameters]
    return Job(
        preset=workload.name,
        classes=CLASSES,
        flops=2.0 * batch * of_step(counts),
        layers=[node.native for node in net.graph.nodes],
        input_shape=workload.input_shape,
        batch=batch,
        optimizer=workload.optimizer,
        parameters=[value.copy() for value in net.parameters.values()],
        images=images,
        labels=labels,
    )


def synthetic_images(count: int, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 images (count, *shape) of one pattern a class under noise, and int32 labels.

    Something that can be learnt, so that the losses which are compared move as in real training.
    """
    random = np.random.default_rng(0)
    patterns = random.standard_normal((CLASSES, *shape), dtype=np.float32)
    labels = random.integers(CLASSES, size=count).astype(np.int32)
    noise = random.standard_normal((count, *shape), dtype=np.float32)
    return 0.5 * patterns[labels] + noise, labels
