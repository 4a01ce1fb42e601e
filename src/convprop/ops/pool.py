"""Pooling: a block of a map becomes one value, and its delta is routed back to the block.

Arrays are NCHW, float32 or float64. Both functions take

kind : str
    The ``pool`` of one of the pooling layers: of "max" the value is the largest unit (the first in
    row order on a tie), of "average" the mean, of "l2" the root of the sum of squares.
size : int, (rows, columns) or "global"
    The block; "global" is the whole map.
stride : int or (rows, columns), optional
    Distance between blocks; by default the size, so that they do not overlap.
padding : int, (vertical, horizontal), (top, bottom, left, right) or "same", default 0
    Smaller than the block on every side. Padding has no unit that could win, and value zero.
count_padding : bool, default True
    Whether the average divides by the block's size or by its units inside the map.

and raises InvalidInput, which names the parameter, the rule and what was received. For the
sums themselves see `convprop.equations`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convprop.checks import Pair, flag
from convprop.errors import invalid
from convprop.geometry import Padding, PoolSize, Window, pool_padding, pool_window
from convprop.machine.native import description, engine
from convprop.ops.arrays import Array, checked, require_shape


def forward(
    o: Array,
    kind: str,
    size: PoolSize,
    stride: int | tuple[int, int] | None = None,
    padding: Padding = 0,
    count_padding: bool = True,
) -> tuple[Array, npt.NDArray[np.int64] | None]:
    """Return each block's value, and for "max" where its winning unit is.

    Parameters
    ----------
    o : (N, C, H, W)

    Returns
    -------
    x : (N, C, Ho, Wo)
    winner : int64 (N, C, Ho, Wo) or None
        The winning unit's index i W + j in its map; None for the other kinds.
    """
    o = checked("o", o, "(N, C, H, W)")
    described, _ = _described(o, kind, size, stride, padding, count_padding)
    return engine.pool_forward(o, described)


def input_delta(
    delta: Array,
    o: Array,
    kind: str,
    size: PoolSize,
    stride: int | tuple[int, int] | None = None,
    padding: Padding = 0,
    count_padding: bool = True,
) -> Array:
    """Return dE/do: each block's delta, routed to its units; overlapping blocks add up.

    "max": all of it to the winning unit. "average": an equal share to each unit. "l2": to each
    unit its o over the block's value, and zero for a block of zeros.

    Parameters
    ----------
    delta : (N, C, Ho, Wo)
    o : (N, C, H, W)
        The input that was pooled.

    Returns
    -------
    delta : (N, C, H, W)
    """
    delta = checked("delta", delta, "(N, C, Ho, Wo)")
    o = checked("o", o, "(N, C, H, W)", ("delta", delta))
    described, outputs = _described(o, kind, size, stride, padding, count_padding)
    require_shape("delta", delta, *o.shape[:2], *outputs)
    return engine.pool_input_delta(delta, o, described)


def _described(
    o: Array, kind: object, size: object, stride: object, padding: object, count_padding: object
) -> tuple[str, Pair]:
    """Return the pooling as the engine is told of it, and (Ho, Wo)."""
    if kind not in engine.poolings:
        raise invalid("kind", f"be one of {', '.join(engine.poolings)}", repr(kind))
    input_size = o.shape[2], o.shape[3]
    block, steps = pool_window(size, stride, input_size)
    window = Window(block, steps, pool_padding(padding, input_size, block, steps))
    described = description(
        "pool",
        pool=kind,
        size=window.size,
        stride=window.stride,
        padding=window.padding,
        count_padding=flag("count_padding", count_padding),
    )
    return described, window.outputs(input_size, o.shape[1])
