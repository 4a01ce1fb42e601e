"""Stochastic depth: each image kept with probability 1 - rate and divided by it, or set to zero.

Huang et al., "Deep networks with stochastic depth", ECCV 2016. What is dropped follows from seed,
step, layer and the image's place alone, as of `dropout`. InvalidInput names the parameter, the
rule and what was received.
"""

from __future__ import annotations

from convprop.machine.native import engine
from convprop.ops.arrays import Array
from convprop.ops.dropout import keyed


def forward(o: Array, rate: float, *, seed: int, step: int = 1, layer: int = 0) -> Array:
    """Return each image of o times 0 or 1 / (1 - rate).

    Parameters
    ----------
    o : (N, ...)
        float32 or float64.
    rate : float
        0 <= rate < 1.
    seed : int
        0 .. 2**64 - 1.
    step, layer : int
        The training step and the layer's place, not negative; another one drops other images.
    """
    return engine.stochastic_depth(*keyed("o", o, rate, seed, step, layer))


def input_delta(delta: Array, rate: float, *, seed: int, step: int = 1, layer: int = 0) -> Array:
    """Return each image's delta times what forward has multiplied it by for the same keys."""
    return engine.stochastic_depth(*keyed("delta", delta, rate, seed, step, layer))
