"""PyTorch's eager mode, written the way its tutorials write a training loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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


class Competitor:
    """The network of the job in a file, as an nn.Sequential.

    Settings: `channels_last` memory format, `flush_denormal` arithmetic, `fused` optimizer.
    """

    def __init__(
        self,
        threads: int,
        job: str,
        channels_last: bool = False,
        flush_denormal: bool = False,
        fused: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flush_denormal)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.job = Job.load(Path(job))
        self.fused = fused
        images = torch.from_numpy(self.job.images).contiguous(memory_format=self.memory_format)
        labels = torch.from_numpy(self.job.labels).long()
        self.batches = [(images[rows], labels[rows]) for rows in self.job.batches()]

    def run(self, steps: int, after: Callable[[float], None]) -> None:
        """Train from the job's weights; call `after` with each step's loss."""
        model = nn.Sequential(*_modules(self.job))
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), self.job.parameters, strict=True):
                parameter.copy_(torch.from_numpy(value))
        model = model.to(memory_format=self.memory_format)
        optimizer = self._optimizer(model)
        criterion = nn.CrossEntropyLoss()
        for index in range(steps):
            images, labels = self.batches[index]
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            after(loss.item())

    def _optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        settings = dict(self.job.optimizer)
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        kind = kinds[settings.pop("kind")]
        settings["lr"] = settings.pop("learning_rate")
        # None lets PyTorch choose, which is what a user gets who does not ask.
        fused = True if self.fused else None
        return kind(model.parameters(), fused=fused, **settings)


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
