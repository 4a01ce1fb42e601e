"""The shuffle of channels: a matrix of as many rows as groups, taken column by column.

Zhang, Zhou, Lin and Sun, "ShuffleNet", CVPR 2018. Arrays are NCHW, float32 or float64.
InvalidInput names the parameter, the rule and what was received.
"""

from __future__ import annotations

from convprop.checks import positive_integer
from convprop.errors import invalid
from convprop.machine.native import engine
from convprop.ops.arrays import Array, checked


def forward(o: Array, groups: int) -> Array:
    """Return x (N, C, H, W): its channel k is o's k mod groups · C / groups + floor(k / groups).

    Parameters
    ----------
    o : (N, C, H, W)
    groups : int
        Divides the channels.
    """
    return _shuffled("o", o, groups, back=False)


def input_delta(delta: Array, groups: int) -> Array:
    """Return dE/do (N, C, H, W): each channel's delta, back in its place."""
    return _shuffled("delta", delta, groups, back=True)


def _shuffled(parameter: str, value: object, groups: object, back: bool) -> Array:
    array = checked(parameter, value, "(N, C, H, W)")
    count = positive_integer("groups", groups)
    if array.shape[1] % count:
        raise invalid("groups", f"divide the {array.shape[1]} channels", count)
    return engine.channel_shuffle(array, count, back)
