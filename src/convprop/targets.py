"""What a network may be taught: checked targets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convprop.data.arrays import as_labels
from convprop.errors import InvalidInput, invalid
from convprop.losses import Loss, SquaredError
from convprop.stack import Stack


def as_targets(
    targets: ArrayLike,
    count: int,
    stack: Stack,
    loss: Loss,
    dtype: np.dtype[Any],
    parameter: str = "targets",
    training: bool = False,
    scaling: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> NDArray[Any]:
    """Return targets as the engine takes them: int32 (N,) labels or floats (N, K).

    Labels for a single output are the target 0 or 1 itself; they and floats (N,) for a single
    output become (N, 1). ``training`` refuses labels that name one class only. With an offset
    and a ``scaling`` the targets are numbers, integers too, in another unit than the outputs.
    """
    array = np.asarray(targets)
    numbers = array.dtype.kind == "f" or scaling is not None
    if array.ndim == 2 or (array.ndim == 1 and stack.outputs == 1 and numbers):
        floats = array if array.ndim == 2 else array[:, np.newaxis]
        return _floats(floats, count, stack, loss, dtype, parameter, scaling)
    if scaling is not None:
        raise _no_values(parameter, count, stack, array)
    classes = max(stack.outputs, 2)
    labels = as_labels(array, count, classes, parameter, several_classes=training)
    return labels.astype(dtype)[:, np.newaxis] if stack.outputs == 1 else labels


def _floats(
    array: NDArray[Any],
    count: int,
    stack: Stack,
    loss: Loss,
    dtype: np.dtype[Any],
    parameter: str,
    scaling: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> NDArray[Any]:
    if array.shape != (count, stack.outputs):
        raise _no_values(parameter, count, stack, array)
    if array.dtype.kind not in "buif":
        raise invalid(parameter, "be numbers", f"dtype {array.dtype}")
    if not np.isfinite(array).all():
        raise invalid(parameter, "be finite", "NaN or infinity")
    if not isinstance(loss, SquaredError) and (array.min() < 0 or array.max() > 1):
        outside = array.min() if array.min() < 0 else array.max()
        raise invalid(parameter, f"lie in 0..1 for {loss}", outside)
    if scaling is not None:
        offset, scale = scaling
        array = (array - offset) / scale
    return np.ascontiguousarray(array, dtype=dtype)


def _no_values(parameter: str, count: int, stack: Stack, received: NDArray[Any]) -> InvalidInput:
    rule = f"have shape ({count}, {stack.outputs}), a value for each image and output"
    return invalid(parameter, rule, f"shape {received.shape}, with {stack.trace()}")
