"""What a network may be taught: checked targets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convprop.data.arrays import Rows, as_labels, of_rows
from convprop.dtypes import is_float, is_number
from convprop.errors import InvalidInput, invalid
from convprop.graph import Graph
from convprop.losses import Loss, SquaredError


def as_targets(
    targets: ArrayLike,
    count: int,
    graph: Graph,
    loss: Loss,
    dtype: np.dtype[Any],
    parameter: str = "targets",
    training: bool = False,
    scaling: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    rows: Rows = None,
) -> NDArray[Any]:
    """Return targets as the engine takes them: int32 (N,) labels or floats (N, K).

    Labels for a single output are the target 0 or 1 itself; they and floats (N,) for a single
    output become (N, 1). ``training`` refuses labels that name one class only, and numbers that
    vary by little more than the dtype rounds them by. With an offset and a ``scaling`` the
    targets are numbers, integers too, in another unit than the outputs. Only the values of
    ``rows`` are looked at, if they are given.
    """
    array = np.asarray(targets)
    numbers = is_float(array.dtype) or scaling is not None
    if array.ndim == 2 or (array.ndim == 1 and graph.outputs == 1 and numbers):
        floats = array if array.ndim == 2 else array[:, np.newaxis]
        if floats.shape != (count, graph.outputs):
            raise _no_values(parameter, count, graph, floats)
        exact = _numbers(of_rows(floats, rows), loss, dtype, parameter, scaling)
        wanted = np.ascontiguousarray(exact, dtype=dtype)
        if training:
            check_rounding(exact, wanted, parameter)
        return wanted
    if scaling is not None:
        raise _no_values(parameter, count, graph, array)
    classes = max(graph.outputs, 2)
    labels = as_labels(array, count, classes, parameter, several_classes=training, rows=rows)
    return labels.astype(dtype)[:, np.newaxis] if graph.outputs == 1 else labels


def _numbers(
    array: NDArray[Any],
    loss: Loss,
    dtype: np.dtype[Any],
    parameter: str,
    scaling: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> NDArray[Any]:
    if not is_number(array.dtype):
        raise invalid(parameter, "be numbers", f"dtype {array.dtype}")
    if not np.isfinite(array).all():
        raise invalid(parameter, "be finite", "NaN or infinity")
    if not isinstance(loss, SquaredError) and (array.min() < 0 or array.max() > 1):
        outside = array.min() if array.min() < 0 else array.max()
        raise invalid(parameter, f"lie in 0..1 for {loss}", outside)
    if scaling is not None:
        offset, scale = scaling
        array = (array - offset) / scale
    if (largest := np.abs(array).max()) > np.finfo(dtype).max:
        raise invalid(parameter, f"fit in {dtype}, the network's dtype", f"{largest:.7g}")
    return array


def _no_values(parameter: str, count: int, graph: Graph, received: NDArray[Any]) -> InvalidInput:
    rule = f"have shape ({count}, {graph.outputs}), a value for each image and output"
    return invalid(parameter, rule, f"shape {received.shape}, with {graph.trace()}")


def check_rounding(given: NDArray[Any], rounded: NDArray[Any], parameter: str) -> None:
    """Refuse numbers (N, K) whose differences are lost, as those of 1.7e9 + 1 and + 2 in float32.

    Raises
    ------
    InvalidInput
        A column is rounded by more than a fiftieth of its spread.
    """
    # Integers are subtracted as such: float64 has not all beyond 2**53.
    exact = given if given.dtype == np.int64 else given.astype(np.float64)
    low, high = exact.min(axis=0), exact.max(axis=0)
    with np.errstate(invalid="ignore"):
        lost = np.abs(exact - rounded.astype(exact.dtype)).max(axis=0)
    spread = high.astype(np.float64) - low.astype(np.float64)
    wrong = (low < high) & (lost > spread / 50)
    if wrong.any():
        column = int(np.argmax(wrong))
        tiny = high[column] - low[column] < np.finfo(rounded.dtype).tiny
        cure = "multiply them by a number that is large" if tiny else "subtract their mean"
        rule = f"vary by more than {rounded.dtype} rounds them by: {cure}"
        raise invalid(parameter, rule, f"{low[column]} to {high[column]} in column {column}")
