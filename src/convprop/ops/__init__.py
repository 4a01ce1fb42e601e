"""The engine's operations on NCHW arrays: forward, weight_gradient and input_delta of each.

>>> from convprop import ops
>>> x = ops.conv.forward(o, w, b, padding=1)

Every function checks its arguments, computes in the arrays' own dtype (float32 or float64) and
returns new arrays; results do not depend on the number of threads.
"""

from convprop.ops import (
    activation,
    channel_shuffle,
    conv,
    dense,
    dropout,
    flatten,
    image_norm,
    join,
    local_response_norm,
    loss,
    pool,
    prelu,
    softmax,
    stochastic_depth,
)

__all__ = [
    "activation",
    "channel_shuffle",
    "conv",
    "dense",
    "dropout",
    "flatten",
    "image_norm",
    "join",
    "local_response_norm",
    "loss",
    "pool",
    "prelu",
    "softmax",
    "stochastic_depth",
]
