"""What a network has besides layers and weights, checked against the graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convprop.errors import invalid
from convprop.graph import Graph
from convprop.losses import Loss, SoftmaxCrossEntropy, SquaredError
from convprop.shown import brief, is_unicode

Pair = tuple[NDArray[Any], NDArray[Any]]
"""An offset and a scale."""


def checked_loss(loss: object, graph: Graph) -> Loss:
    """Return a loss that the outputs of the layers fit."""
    if not isinstance(loss, Loss):
        raise invalid("loss", "be one of convprop.losses", repr(loss))
    if isinstance(loss, SoftmaxCrossEntropy) and graph.outputs < 2:
        received = f"{graph.outputs}: {graph.trace()}"
        raise invalid("outputs", "be at least 2 for SoftmaxCrossEntropy()", received)
    return loss


def checked_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64."""
    try:
        checked = np.dtype(dtype)
    except TypeError:
        checked = None
    if checked not in (np.float32, np.float64):
        raise invalid("dtype", "be 'float32' or 'float64'", repr(dtype))
    return checked


def checked_normalisation(
    value: tuple[ArrayLike, ArrayLike], graph: Graph, dtype: np.dtype[Any]
) -> Pair:
    """Return (offset, scale) as float64 (C,), finite in the network's dtype, too."""
    channels = graph.input[0]
    pair = _floats(value, channels)
    if pair is None:
        rule = f"be an offset and a scale of {channels} finite numbers each"
        raise invalid("normalisation", rule, repr(value))
    with np.errstate(over="ignore"):
        rounded = np.array(pair).astype(dtype)
    if not np.isfinite(rounded).all():
        raise invalid("normalisation", f"be finite in {dtype.name}", repr(value))
    return pair


def checked_target_scaling(value: tuple[ArrayLike, ArrayLike], graph: Graph, loss: Loss) -> Pair:
    """Return (offset, scale) of a network's outputs as float64 (K,), each scale above 0."""
    if not isinstance(loss, SquaredError):
        rule = "be None for a loss other than SquaredError()"
        raise invalid("target_scaling", rule, repr(loss))
    pair = _floats(value, graph.outputs)
    if pair is None or not (pair[1] > 0).all():
        rule = f"be an offset and a scale above 0, of {graph.outputs} finite numbers each"
        raise invalid("target_scaling", rule, repr(value))
    return pair


def _floats(value: tuple[ArrayLike, ArrayLike], length: int) -> Pair | None:
    """Return an offset and a scale as float64 (length,), None if they are not finite ones."""
    try:
        given = [np.asarray(part) for part in value]
        offset, scale = (np.array(part, dtype=np.float64) for part in given)
    except (TypeError, ValueError, OverflowError):
        return None
    # NumPy would read numbers in texts, too.
    texts = any(part.dtype.kind in "US" for part in given)
    if texts or not offset.shape == scale.shape == (length,):
        return None
    return (offset, scale) if np.isfinite([offset, scale]).all() else None


def checked_class_names(value: Iterable[object], graph: Graph) -> tuple[str, ...]:
    """Return a name for each class, as text that can be written anywhere."""
    names, classes = tuple(map(str, value)), max(graph.outputs, 2)
    if len(names) != classes:
        raise invalid("class_names", f"hold one name for each of the {classes} classes", len(names))
    for name in names:
        if not is_unicode(name):
            raise invalid("class_names", "hold texts of Unicode characters", brief(name))
    return names
