"""The poolings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from convprop.checks import Pair, flag
from convprop.geometry import UNKNOWN_SIZE, Padding, PoolSize, Window, pool_outputs, pool_window
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
    dilation : int or (rows, columns)
        The distance between the rows, and the columns, of a window.
    ceil_mode : bool
        Whether the last window of a row or a column may hang over the end: it is there if it
        begins in the map or in the padding before it.
    """

    family = "pool"
    pool: ClassVar[str]
    """The engine's word for the pooling."""

    positional = ("size",)

    size: PoolSize
    stride: int | Sequence[int] | None = None
    padding: Padding = (0, 0, 0, 0)
    _: KW_ONLY
    dilation: int | Sequence[int] = (1, 1)
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        self._set(ceil_mode=flag("ceil_mode", self.ceil_mode))
        window = self._window(UNKNOWN_SIZE)
        self._set(dilation=window.dilation)
        if self.size != "global":
            self._set(size=window.size)
        if self.stride is not None:
            self._set(stride=window.stride)
        if self.padding != "same":
            self._set(padding=window.padding)

    def _window(self, input_size: Pair) -> Window:
        return pool_window(
            self.size, self.stride, self.padding, self.dilation, self.ceil_mode, input_size
        )

    def window(self, *inputs: Shape) -> Window:
        """Return the window, "global" and "same" resolved."""
        return self._window(maps_of(inputs[0])[1])

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (C, Ho, Wo)."""
        channels, size = maps_of(inputs[0])
        return channels, *pool_outputs(self.window(*inputs), size, channels)

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        described = {"kind": "pool", "pool": self.pool}
        return described | self.window(*inputs).described() | {"count_padding": True}


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
        True: divide by the window's size, but for what hangs over the padding's end in ceil mode.
        False: by the units that are not padding. It is PyTorch's and ONNX's count_include_pad,
        whose default in ONNX is False.
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
        if not self.count_padding:
            return "padding not counted"
        return "padding counted" + (", what hangs over its end not" if self.ceil_mode else "")

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
