"""Local response normalisation: x = o / (k + alpha / size · sum of o² over channels round it)^beta.

Arrays are NCHW, float32 or float64. Both functions take

size : int, default 5
    How many channels the sum is over, odd: c - size // 2 ... c + size // 2, where there are any.
alpha, beta, k : float, default 1e-4, 0.75, 1
    Above 0. alpha is divided by the size and k is 1, as in PyTorch and ONNX; Krizhevsky, Sutskever
    and Hinton (2012), Section 3.3, do not divide, and have k = 2.

and raise InvalidInput, which names the parameter, the rule and what was received. For the sums
themselves see `convprop.equations.image_norm`.
"""

from __future__ import annotations

from convprop.checks import positive
from convprop.machine.native import description, engine
from convprop.ops.arrays import Array, checked, require_shape
from convprop.ops.image_norm import odd_size


def forward(
    o: Array, size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """Return x (N, C, H, W) of o (N, C, H, W)."""
    o = checked("o", o, "(N, C, H, W)")
    return engine.local_response_norm_forward(o, _described(size, alpha, beta, k))


def input_delta(
    delta: Array,
    o: Array,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Array:
    """Return dE/do, of which the outputs of all channels round a number have a part.

    Parameters
    ----------
    delta, o : (N, C, H, W)
        dE/dx, and what was normalised.
    """
    delta = checked("delta", delta, "(N, C, H, W)")
    o = checked("o", o, "(N, C, H, W)", ("delta", delta))
    require_shape("delta", delta, *o.shape)
    return engine.local_response_norm_input_delta(delta, o, _described(size, alpha, beta, k))


def _described(size: object, alpha: object, beta: object, k: object) -> str:
    """Return the normalisation as the engine is told of it."""
    settings = {"alpha": positive("alpha", alpha), "beta": positive("beta", beta)}
    return description("local_response_norm", size=odd_size(size), **settings, k=positive("k", k))
