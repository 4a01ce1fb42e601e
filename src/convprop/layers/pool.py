"""The poolings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from convprop.checks import flag
from convprop.geometry import (
    Padding,
    PoolSize,
    Window,
    pool_padding,
    pool_window,
    resolve_padding,
)
from convprop.layers.layer import Layer, Shape, maps_of

__all__ = ["AveragePool", "L2Pool", "MaxPool"]


@dataclass(frozen=True, repr=False)
class Pool(Layer):
    """Base of the pooling layers.

    Parameters
    ----------
    size : int, (rows, columns) or "global"
        The window; "global" is the whole map.
    stride : int or (rows, columns), optional
        None: the size, so that windows do not overlap.
    padding : int, (vertical, horizontal), (top, bottom, left, right) or "same"
        Smaller than the window on each side.
    """

    family = "pool"
    pool: ClassVar[str]
    """The engine's word for the pooling."""

    positional = ("size",)

    size: PoolSize
    stride: int | Sequence[int] | None = None
    padding: Padding = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        window, stride = pool_window(self.size, self.stride, (1, 1))
        sides = resolve_padding(self.padding, (1, 1), window, stride, (1, 1))
        if self.size != "global":
            pool_padding(self.padding, (1, 1), window, stride)
            self._set(size=window)
        if self.stride is not None:
            self._set(stride=stride)
        if self.padding != "same":
            self._set(padding=sides)

    def window(self, *inputs: Shape) -> Window:
        """Return the window, "global" and "same" resolved."""
        _, input_size = maps_of(inputs[0])
        size, stride = pool_window(self.size, self.stride, input_size)
        return Window(size, stride, pool_padding(self.padding, input_size, size, stride))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (C, Ho, Wo)."""
        channels, size = maps_of(inputs[0])
        return channels, *self.window(*inputs).outputs(size, channels)

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        window = self.window(*inputs)
        return {
            "kind": "pool",
            "pool": self.pool,
            "size": window.size,
            "stride": window.stride,
            "padding": window.padding,
            "count_padding": True,
        }


class MaxPool(Pool):
    """The largest unit of each window; its delta goes to that winning unit alone.

    On a tie the first in row order wins. Padding never wins. Parameters as in Pool.
    """

    kind = "max_pool"
    reads_output = True
    source = "Pooling Layer, max-pooling"
    pool = "max"

    def convention(self) -> str:
        """Return who wins a tie."""
        return "first winner in row order"


@dataclass(frozen=True, repr=False)
class AveragePool(Pool):
    """The mean of each window; its delta goes to every unit in equal shares.

    Parameters as in Pool, and

    Parameters
    ----------
    count_padding : bool
        True: divide by the window's size everywhere. False: by the units that are not padding.
    """

    kind = "average_pool"
    source = "Pooling Layer, average pooling"
    pool = "average"

    count_padding: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(count_padding=flag("count_padding", self.count_padding))

    def convention(self) -> str:
        """Return what the sum of a window is divided by."""
        return "padding counted" if self.count_padding else "padding not counted"

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return super().native(*inputs) | {"count_padding": self.count_padding}


class L2Pool(Pool):
    """The root of each window's sum of squares; its delta goes to units as o / x of it.

    Where the root is 0 the gradient is taken as 0. Parameters as in Pool.
    """

    kind = "l2_pool"
    reads_output = True
    source = "Pooling Layer, L2-norm pooling"
    pool = "l2"

    def convention(self) -> str:
        """Return whether the sum of squares is averaged."""
        return "root of the sum of squares, gradient 0 at 0"


POOLINGS = (MaxPool, AveragePool, L2Pool)
