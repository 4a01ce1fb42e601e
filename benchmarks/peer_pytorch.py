"""PyTorch, eager or compiled, written the way its tutorials write training and inference."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from job import Job

_ACTIVATIONS = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


class _Model:
    """The network of the job in a file, as an nn.Sequential with the job's weights.

    Settings: `channels_last` memory format, `flush_denormal` arithmetic, torch.`compile`, and for
    training `fused` optimizer.
    """

    def __init__(
        self,
        threads: int,
        job: str,
        channels_last: bool = False,
        flush_denormal: bool = False,
        fused: bool = False,
        compile: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flush_denormal)
        # What was compiled for the job before this one.
        torch.compiler.reset()
        self.job = Job.load(Path(job))
        self.channels_last, self.fused, self.compile = channels_last, fused, compile
        self.model = nn.Sequential(*_modules(self.job))
        self.set_weights()
        self.model.to(memory_format=self.memory_format)

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def set_weights(self) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), self.job.parameters, strict=True):
                parameter.copy_(torch.from_numpy(value))


class Trainer(_Model):
    """The network's training."""

    def __init__(self, threads: int, job: str, **settings: bool) -> None:
        super().__init__(threads, job, **settings)
        criterion = nn.CrossEntropyLoss()

        def loss_of(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return criterion(self.model(images), labels)

        self.loss_of = torch.compile(loss_of) if self.compile else loss_of
        images = torch.from_numpy(self.job.images).contiguous(memory_format=self.memory_format)
        labels = torch.from_numpy(self.job.labels).long()
        self.batches = [(images[rows], labels[rows]) for rows in self.job.batches()]
        self.most_steps = len(self.batches)
        if self.compile:
            # Here, where the other competitors are made at the same time.
            self.loss_of(*self.batches[0]).backward()

    def run(self, steps: int, after: Callable[[float], None]) -> None:
        """Train from the job's weights; call `after` with each step's loss."""
        self.set_weights()
        optimizer = self._optimizer()
        for index in range(steps):
            images, labels = self.batches[index]
            optimizer.zero_grad()
            loss = self.loss_of(images, labels)
            loss.backward()
            optimizer.step()
            after(loss.item())

    def _optimizer(self) -> torch.optim.Optimizer:
        settings = dict(self.job.optimizer)
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        kind = kinds[settings.pop("kind")]
        settings["lr"] = settings.pop("learning_rate")
        # None lets PyTorch choose, which is what a user gets who does not ask.
        fused = True if self.fused else None
        return kind(self.model.parameters(), fused=fused, **settings)


class Predictor(_Model):
    """The network asked for the probabilities of one NumPy batch, which it reads in place."""

    most_steps = sys.maxsize

    def __init__(self, threads: int, job: str, **settings: bool) -> None:
        super().__init__(threads, job, **settings)
        self.model.append(nn.Softmax(1)).eval()
        self.called = torch.compile(self.model) if self.compile else self.model
        self.images = self.job.images
        if self.channels_last:
            self.images = np.ascontiguousarray(self.images.transpose(0, 2, 3, 1))
        if self.compile:
            self.output()

    def output(self) -> np.ndarray:
        """Return the probabilities."""
        with torch.inference_mode():
            images = torch.from_numpy(self.images)
            if self.channels_last:
                images = images.permute(0, 3, 1, 2)
            return self.called(images).numpy()

    def run(self, steps: int, after: Callable[[float], None]) -> None:
        """Predict so many times; there is no loss to tell `after`."""
        for _ in range(steps):
            self.output()
            after(0.0)


def _modules(job: Job) -> list[nn.Module]:
    """The modules of a network; shapes are followed to give each its number of inputs."""
    modules: list[nn.Module] = []
    probe = torch.zeros(1, *job.input_shape)
    for layer in job.layers:
        if layer["kind"] == "dense" and probe.ndim > 2:
            modules.append(nn.Flatten())
            probe = probe.flatten(1)
        module = _module(layer, probe.shape[1])
        with torch.no_grad():
            probe = module(probe)
        modules.append(module)
    return modules


def _module(layer: dict[str, Any], inputs: int) -> nn.Module:
    match layer["kind"]:
        case "conv":
            return nn.Conv2d(
                inputs,
                layer["kernels"],
                tuple(layer["kernel_size"]),
                stride=tuple(layer["stride"]),
                padding=_symmetric(layer["padding"]),
                dilation=tuple(layer["dilation"]),
                groups=layer["groups"],
                bias=layer["bias"],
            )
        case "pool" if layer["pool"] == "max":
            padding = _symmetric(layer["padding"])
            return nn.MaxPool2d(tuple(layer["size"]), tuple(layer["stride"]), padding)
        case "dense":
            return nn.Linear(inputs, layer["units"], bias=layer["bias"])
        case "flatten":
            return nn.Flatten()
        case "dropout":
            return nn.Dropout(layer["rate"])
        case "activation" if layer["activation"] in _ACTIVATIONS:
            return _ACTIVATIONS[layer["activation"]]()
    raise ValueError(f"no PyTorch module for {layer}")


def _symmetric(padding: list[int]) -> tuple[int, int]:
    top, bottom, left, right = padding
    if top != bottom or left != right:
        raise ValueError(f"PyTorch's layers pad both sides alike, got {padding}")
    return top, left
