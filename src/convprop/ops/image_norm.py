"""Normalisations of an image by its own numbers: x = w x^ + b, x^ of mean 0 and variance 1.

x^ is (o - mean) / sqrt(variance + epsilon), with the biased variance (divided by n). Arrays are
(N, C, H, W) or (N, F), float32 or float64, all of one dtype. The functions take

groups : int, or None
    How many groups of channels have a mean and a variance of their own, over all pixels: 1, or as
    many as there are channels, or what lies between and divides them. None: each pixel has its own,
    over its channels.
epsilon : float, default 1e-5
    Above 0.

and raise InvalidInput, which names the parameter, the rule and what was received. For the sums
themselves see `convprop.equations.image_norm`.
"""

from __future__ import annotations

import math

import numpy as np

from convprop.checks import is_integer, positive, positive_integer
from convprop.errors import invalid
from convprop.machine.native import description, engine
from convprop.ops.arrays import Array, checked, require_shape


def forward(
    o: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    groups: int | None,
    epsilon: float = 1e-5,
) -> Array:
    """Return x.

    Parameters
    ----------
    o : (N, C, H, W) or (N, F)
    weight, bias : (C,), optional
        None: 1 and 0.

    Returns
    -------
    x : (N, C, H, W) or (N, F)
    """
    o = _maps("o", o)
    w, b = _both(o, weight, bias)
    return engine.image_norm_forward(o, w, b, _described(o, groups, epsilon, w is not None))


def weight_gradient(o: Array, delta: Array, *, groups: int | None, epsilon: float = 1e-5) -> Array:
    """Return dE/dw (C,): delta x^, summed over images and pixels; delta is dE/dx."""
    o, delta = _with_delta(o, delta)
    return engine.image_norm_gradients(o, delta, _described(o, groups, epsilon, True))[0]


def bias_gradient(o: Array, delta: Array, *, groups: int | None, epsilon: float = 1e-5) -> Array:
    """Return dE/db (C,): delta, summed over images and pixels."""
    o, delta = _with_delta(o, delta)
    return engine.image_norm_gradients(o, delta, _described(o, groups, epsilon, True))[1]


def input_delta(
    delta: Array,
    o: Array,
    weight: Array | None = None,
    *,
    groups: int | None,
    epsilon: float = 1e-5,
) -> Array:
    """Return dE/do: (g - mean of g - x^ · mean of g x^) / sqrt(variance + epsilon), g = w delta.

    Parameters
    ----------
    delta : (N, C, H, W) or (N, F)
        dE/dx.
    o : the same
        What was normalised.
    weight : (C,), optional
        None: 1.
    """
    o, delta = _with_delta(o, delta)
    w, b = _both(o, weight, None)
    described = _described(o, groups, epsilon, w is not None)
    return engine.image_norm_input_delta(delta, o, w, b, described)


def scales(o: Array, *, groups: int | None, epsilon: float = 1e-5) -> Array:
    """Return 1 / sqrt(variance + epsilon): (N, groups); without groups (N, H, W), of rows (N,)."""
    o = _maps("o", o)
    found = engine.image_norm_scales(o, _described(o, groups, epsilon, False))
    shape = (len(o), *o.shape[2:]) if groups is None else (len(o), groups)
    return found.reshape(shape)


def check_groups(groups: int, shape: tuple[int, ...]) -> None:
    """Raise InvalidInput unless an image of a shape has groups of several numbers each."""
    if shape[0] % groups:
        raise invalid("groups", f"divide the {shape[0]} input channels", groups)
    if math.prod(shape) == groups:
        raise invalid("input", "have several numbers to be normalised together", 1)


def odd_size(value: object) -> int:
    """Return a window's size; with an even one frameworks disagree on which side has more."""
    if not is_integer(value, 1) or int(value) % 2 == 0:
        raise invalid("size", "be an odd positive integer", f"{value!r:.80}")
    return positive_integer("size", value)


def _maps(parameter: str, value: object) -> Array:
    array = checked(parameter, value, "")
    if array.ndim not in (2, 4):
        raise invalid(parameter, "have the axes (N, C, H, W) or (N, F)", f"shape {array.shape}")
    return array


def _with_delta(o: object, delta: object) -> tuple[Array, Array]:
    maps = _maps("o", o)
    axes = "(N, C, H, W)" if maps.ndim == 4 else "(N, F)"
    errors = checked("delta", delta, axes, ("o", maps))
    require_shape("delta", errors, *maps.shape)
    return maps, errors


def _both(
    o: Array, weight: Array | None, bias: Array | None
) -> tuple[Array, Array] | tuple[None, None]:
    """Return weight and bias, neither or both."""
    if weight is None and bias is None:
        return None, None
    channels = o.shape[1]
    given = {
        "weight": np.ones(channels, o.dtype) if weight is None else weight,
        "bias": np.zeros(channels, o.dtype) if bias is None else bias,
    }
    arrays = [checked(name, value, "(C,)", ("o", o)) for name, value in given.items()]
    for name, array in zip(given, arrays, strict=True):
        require_shape(name, array, channels)
    return arrays[0], arrays[1]


def _described(o: Array, groups: object, epsilon: object, affine: bool) -> str:
    """Return the normalisation as the engine is told of it."""
    settings = {"epsilon": positive("epsilon", epsilon), "affine": affine}
    if groups is None:
        if o.shape[1] < 2:
            raise invalid("o", "have several channels to be normalised together", 1)
        return description("layer_norm", **settings)
    count = positive_integer("groups", groups)
    check_groups(count, o.shape[1:])
    return description("group_norm", **settings, groups=count)
