"""The checks that every operation makes of its arrays before the engine sees them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from convprop.checks import MOST_VALUES
from convprop.errors import invalid

Array = npt.NDArray[Any]  # float32 or float64

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def checked(
    parameter: str, value: object, axes: str, like: tuple[str, Array] | None = None
) -> Array:
    """Return value as the engine takes it: C-contiguous, float32 or float64, not empty.

    Parameters
    ----------
    parameter : str
        The array's name in messages.
    axes : str
        The names of its axes, such as "(N, C, H, W)"; "" allows any number of them.
    like : (name, array), optional
        An array of the same call, whose dtype it must have.
    """
    if not isinstance(value, np.ndarray):
        raise invalid(parameter, "be a NumPy array", type(value).__name__)
    if value.dtype not in FLOATS:
        raise invalid(parameter, "have dtype float32 or float64", value.dtype)
    if like is not None and value.dtype != like[1].dtype:
        raise invalid(parameter, f"have the dtype of {like[0]}, {like[1].dtype}", value.dtype)
    if axes and value.ndim != len(axes.strip("(,)").split(",")):
        raise invalid(parameter, f"have the axes {axes}", f"shape {value.shape}")
    if value.ndim == 0 or value.size == 0:
        raise invalid(parameter, "hold at least one value", f"shape {value.shape}")
    if max(len(value), math.prod(value.shape[1:])) > MOST_VALUES:
        rule = f"have at most {MOST_VALUES} rows, of as many values each"
        raise invalid(parameter, rule, f"shape {value.shape}")
    return np.ascontiguousarray(value)


def checked_maps(parameter: str, value: object, *, like: tuple[str, Array] | None = None) -> Array:
    """Return maps (N, C, H, W) or rows (N, F) as `checked` does; of the shape of ``like``, too."""
    array = checked(parameter, value, "", like)
    if array.ndim not in (2, 4):
        raise invalid(parameter, "have the axes (N, C, H, W) or (N, F)", f"shape {array.shape}")
    if like is not None and array.shape != like[1].shape:
        raise invalid(parameter, f"have the shape of {like[0]}, {like[1].shape}", array.shape)
    return array


def require_shape(parameter: str, value: Array, *expected: int | str) -> None:
    """Raise InvalidInput unless value has the expected lengths; a name allows any length."""
    named = [
        length if isinstance(want, str) else want
        for want, length in zip(expected, value.shape, strict=True)
    ]
    if value.shape != tuple(named):
        lengths = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise invalid(parameter, f"have shape ({lengths})", value.shape)
