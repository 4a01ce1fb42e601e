"""Convolution arithmetic: one convolution of any geometry on a small map, worked out in full."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop import checks, geometry, ops
from convprop.errors import invalid
from convprop.explain.mathml import mathml
from convprop.explorer.answers import packed

LARGEST = 16
NAMES = ("input", "kernel", "stride", "padding", "dilation")


def arithmetic(body: dict[str, Any]) -> dict[str, Any]:
    """Return sizes, the formula with the numbers in place, and the arrays both ways.

    Parameters
    ----------
    body : dict
        "input", "kernel", "stride", "padding", "dilation": integers, the same for rows and columns;
        "transposed": whether it is the transposed convolution, which is the way back of one.
    """
    size, window, stride, padding, dilation = (_size(name, body.get(name)) for name in NAMES)
    extent = dilation * (window - 1) + 1
    transposed = body.get("transposed") is True
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    w = _values(1, window)
    if transposed:
        large = outputs = (size - 1) * stride + extent - 2 * padding
        if large < 1:
            rule = "be smaller: nothing is left of the output"
            raise invalid("padding", rule, padding)
        letters = r"H_o = (H - 1) s + d (k - 1) + 1 - 2 p"
        reach = rf"{dilation} ({window} - 1) + 1"
        numbers = rf"({size} - 1) \cdot {stride} + {reach} - 2 \cdot {padding}"
    else:
        large = size
        moving = geometry.Window(
            (window, window), (stride, stride), (padding,) * 4, (dilation, dilation)
        )
        outputs, _ = moving.outputs((size, size))
        letters = r"H_o = \left\lfloor \frac{H + 2 p - d (k - 1) - 1}{s} \right\rfloor + 1"
        numbers = (
            rf"\left\lfloor \frac{{{size} + 2 \cdot {padding} - {dilation} ({window} - 1) - 1}}"
            rf"{{{stride}}} \right\rfloor + 1"
        )
    here = _values(0, size)
    if transposed:
        there = ops.conv.input_delta(here, w, input_size=(large, large), **options)
        back = ops.conv.forward(np.ones_like(there), w, None, **options)
    else:
        there = ops.conv.forward(here, w, None, **options)
        back = ops.conv.input_delta(np.ones_like(there), w, input_size=(large, large), **options)
    return {
        "input": packed(here[0]),
        "kernel": packed(w[0]),
        "output": packed(there[0]),
        "back": packed(back[0]),
        "size": outputs,
        "equation": mathml(f"{letters} = {numbers} = {outputs}", "block"),
        "transposed": transposed,
    }


def _values(seed: int, side: int) -> NDArray[Any]:
    """Return numbers like a network's in halves: easy to add up, and all sums are exact."""
    random = np.random.default_rng(seed).standard_normal((1, 1, side, side))
    return np.round(2 * random) / 2


def _size(name: str, value: object) -> int:
    least = 0 if name == "padding" else 1
    if not checks.is_integer(value, least) or int(value) > LARGEST:
        raise invalid(name, f"be an integer in {least} .. {LARGEST}", repr(value))
    return int(value)
