"""PyTorch's single operations: the functions, and autograd for one gradient at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from shapes import CASES, Case, ConvCase, PoolCase

_POOLS = {
    "max": functional.max_pool2d,
    "average": functional.avg_pool2d,
    "l2": lambda o, size: functional.lp_pool2d(o, 2.0, size),
}


class Competitor:
    """One computation of one case; settings as for whole networks."""

    def __init__(
        self,
        threads: int,
        case: str,
        which: str,
        channels_last: bool = False,
        flush_denormal: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flush_denormal)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.which = which
        self.tensors = {}
        for name, array in CASES[case].arrays(np.float32)._asdict().items():
            tensor = torch.from_numpy(array)
            laid = tensor.contiguous(memory_format=memory_format) if tensor.ndim == 4 else tensor
            self.tensors[name] = laid
        self.forward = _forward(CASES[case], self.tensors)

    def run(self, steps: int, after: Callable[[float], None]) -> None:
        """Compute `steps` times; there is no loss to tell `after`."""
        if self.which == "forward":
            with torch.no_grad():
                for _ in range(steps):
                    self.forward()
                    after(0.0)
            return
        source = self.tensors["w" if self.which == "weight_gradient" else "o"].requires_grad_()
        x = self.forward()
        for _ in range(steps):
            torch.autograd.grad(x, source, self.tensors["delta"], retain_graph=True)
            after(0.0)


def _forward(case: Case, tensors: dict[str, torch.Tensor]) -> Callable[[], torch.Tensor]:
    if isinstance(case, PoolCase):
        if case.stride is not None or case.padding != 0:
            raise ValueError(f"PyTorch's pooling of {case.name} is not written")
        return lambda: _POOLS[case.kind](tensors["o"], case.size)
    operands = tensors["o"], tensors["w"], tensors["b"]
    if isinstance(case, ConvCase):
        options = (case.stride, case.padding, case.dilation, case.groups)
        return lambda: functional.conv2d(*operands, *options)
    return lambda: functional.linear(*operands)
