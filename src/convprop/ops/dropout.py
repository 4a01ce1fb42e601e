"""Dropout: each value kept with probability 1 - rate and divided by it, or set to zero.

Srivastava et al., "Dropout", JMLR 15, 2014. What is dropped follows from seed, step, layer and
the value's place alone, so the same keys give the same mask, on any number of threads:
input_delta needs no mask, only forward's keys. InvalidInput names the parameter, the rule and
what was received.
"""

from __future__ import annotations

from convprop.checks import LARGEST_INTEGER, below_one, is_integer, seed_number
from convprop.errors import invalid
from convprop.machine.native import engine
from convprop.ops.arrays import Array, checked


def forward(o: Array, rate: float, *, seed: int, step: int = 1, layer: int = 0) -> Array:
    """Return o mask / (1 - rate).

    Parameters
    ----------
    o : (N, ...)
        float32 or float64.
    rate : float
        0 <= rate < 1.
    seed : int
        0 .. 2**64 - 1.
    step, layer : int
        The training step and the layer's place, not negative; another one, another mask.
    """
    return engine.dropout(*keyed("o", o, rate, seed, step, layer))


def input_delta(delta: Array, rate: float, *, seed: int, step: int = 1, layer: int = 0) -> Array:
    """Return delta mask / (1 - rate), with the mask of forward for the same keys."""
    return engine.dropout(*keyed("delta", delta, rate, seed, step, layer))


def keyed(
    parameter: str, value: object, rate: object, seed: object, step: object, layer: object
) -> tuple[Array, float, int, int, int]:
    """Return what the engine takes of an array whose values or images are dropped, checked."""
    array = checked(parameter, value, "")
    if array.ndim < 2:
        raise invalid(parameter, "have the axes (N, ...)", f"shape {array.shape}")
    share = below_one("rate", rate)
    return array, share, seed_number(seed), _count("step", step), _count("layer", layer)


def _count(parameter: str, value: object) -> int:
    if not is_integer(value, 0):
        raise invalid(parameter, f"be an integer in 0..{LARGEST_INTEGER}", repr(value))
    return int(value)
