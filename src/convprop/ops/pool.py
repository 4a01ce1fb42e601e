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
dilation : int or (rows, columns), default 1
    The distance between the rows, and the columns, of a block.
ceil_mode : bool, default False
    Whether the last block of a row or a column may hang over the end: it is there if it begins in
    the map or in the padding before it. What hangs over the padding's end no average counts.

and raises InvalidInput, which names the parameter, the rule and what was received. For the
sums themselves see `convprop.equations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from convprop.checks import Pair, flag
from convprop.errors import invalid
from convprop.geometry import Padding, PoolSize, pool_outputs, pool_window
from convprop.machine.native import description, engine
from convprop.ops.arrays import Array, checked, require_shape


def forward(
    o: Array,
    kind: str,
    size: PoolSize,
    stride: int | tuple[int, int] | None = None,
    padding: Padding = 0,
    count_padding: bool = True,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
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
    given = (size, stride, padding, dilation, flag("ceil_mode", ceil_mode))
    described, _ = _described(o, kind, given, count_padding)
    return engine.pool_forward(o, described)


def input_delta(
    delta: Array,
    o: Array,
    kind: str,
    size: PoolSize,
    stride: int | tuple[int, int] | None = None,
    padding: Padding = 0,
    count_padding: bool = True,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
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
    given = (size, stride, padding, dilation, flag("ceil_mode", ceil_mode))
    described, outputs = _described(o, kind, given, count_padding)
    require_shape("delta", delta, *o.shape[:2], *outputs)
    return engine.pool_input_delta(delta, o, described)


def options_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `forward` and `input_delta` take for a pooling as a layer describes it."""
    options = {name: described[name] for name in ("size", "stride", "padding", "count_padding")}
    options["dilation"] = described.get("dilation", (1, 1))
    options["ceil_mode"] = "overhang" in described
    return options


def _described(
    o: Array,
    kind: object,
    given: tuple[object, object, object, object, bool],
    count_padding: object,
) -> tuple[str, Pair]:
    """Return the pooling as the engine is told of it, and (Ho, Wo)."""
    if kind not in engine.poolings:
        raise invalid("kind", f"be one of {', '.join(engine.poolings)}", repr(kind))
    input_size = o.shape[2], o.shape[3]
    window = pool_window(*given, input_size)
    counts = flag("count_padding", count_padding)
    described = description("pool", pool=kind, **window.described(), count_padding=counts)
    return described, pool_outputs(window, input_size, o.shape[1])
