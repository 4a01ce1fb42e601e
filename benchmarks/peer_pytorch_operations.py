"""PyTorch's single operations: the functions, and autograd for one gradient at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from shapes import OPERATIONS, ActivationCase, Case, ConvCase, PoolCase

_POOLS = {
    "max": functional.max_pool2d,
    "average": functional.avg_pool2d,
    "l2": lambda o, size: functional.lp_pool2d(o, 2.0, size),
}
_ACTIVATIONS = {
    "relu": functional.relu,
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "tanh": torch.tanh,
}


class Operation:
    """The computations of one case; settings as for whole networks."""

    most_steps = sys.maxsize

    def __init__(
        self,
        threads: int,
        case: str,
        channels_last: bool = False,
        flush_denormal: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flush_denormal)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.tensors = {}
        for name, array in OPERATIONS[case].arrays(np.float32)._asdict().items():
            tensor = torch.from_numpy(array)
            laid = tensor.contiguous(memory_format=memory_format) if tensor.ndim == 4 else tensor
            self.tensors[name] = laid
        self.forward = _forward(OPERATIONS[case], self.tensors)

    def output(self, which: str) -> np.ndarray:
        """Return what the computation gives."""
        return self._call(which)().numpy()

    def run(self, steps: int, after: Callable[[float], None], which: str) -> None:
        """Compute so many times; there is no loss to tell `after`."""
        call = self._call(which)
        for _ in range(steps):
            call()
            after(0.0)

    def _call(self, which: str) -> Callable[[], torch.Tensor]:
        if which == "forward":
            return torch.no_grad()(self.forward)
        # Its first input is "o", or "x" of an activation.
        name = "w" if which == "weight_gradient" else next(iter(self.tensors))
        for tensor in self.tensors.values():
            tensor.requires_grad_(tensor is self.tensors[name])
        x, delta = self.forward(), self.tensors["delta"]
        return lambda: torch.autograd.grad(x, self.tensors[name], delta, retain_graph=True)[0]


def _forward(case: Case, tensors: dict[str, torch.Tensor]) -> Callable[[], torch.Tensor]:
    if isinstance(case, ActivationCase):
        return lambda: _ACTIVATIONS[case.kind](tensors["x"])
    if isinstance(case, PoolCase):
        if case.stride is not None or case.padding != 0:
            raise ValueError(f"PyTorch's pooling of {case.name} is not written")
        return lambda: _POOLS[case.kind](tensors["o"], case.size)
    operands = tensors["o"], tensors["w"], tensors["b"]
    if isinstance(case, ConvCase):
        options = (case.stride, case.padding, case.dilation, case.groups)
        return lambda: functional.conv2d(*operands, *options)
    return lambda: functional.linear(*operands)
