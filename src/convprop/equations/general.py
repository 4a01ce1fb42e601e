"""The same equations for what a layer really gets: N images, C channels, K kernels.

o is (N, C, H, W), w (K, C / groups, k1, k2), b (K,), x and delta (N, K, Ho, Wo). Output pixel
i, j looks at the padded input's pixel i s + m d, j s + n d for stride s and dilation d; padding
is (top, bottom, left, right). In groups, channel group g meets kernel group g alone. A flipped
kernel turns Eq. 1 into Eq. 2: it reads w[k1-1-m, k2-1-n] for w[m, n].

With N = C = K = 1 and no options these are Eq. 7, 13 and 20 (without f'). The sums over m, n
are written out; those over channels, or over pixels, are matrix products.
"""

from __future__ import annotations

import numpy as np

from convprop.equations.arrays import Array, Pair, Sides, WindowIndex

NO_PADDING: Sides = (0, 0, 0, 0)


def pad(o: Array, padding: Sides, value: complex = 0.0) -> Array:
    """Return o with rows and columns of value round its last two axes."""
    top, bottom, left, right = padding
    *outer, height, width = o.shape
    padded = np.full((*outer, top + height + bottom, left + width + right), value, o.dtype)
    padded[..., top : top + height, left : left + width] = o
    return padded


def crop(padded: Array, padding: Sides) -> Array:
    """Undo `pad`."""
    top, bottom, left, right = padding
    height, width = padded.shape[-2:]
    return padded[..., top : height - bottom, left : width - right]


def places(
    input_size: tuple[int, ...],
    window_size: Pair,
    stride: Pair = (1, 1),
    padding: Sides = NO_PADDING,
    dilation: Pair = (1, 1),
) -> Pair:
    """Return (Ho, Wo), the number of windows that fit one above and one beside the other."""
    rows = input_size[0] + padding[0] + padding[1] - dilation[0] * (window_size[0] - 1) - 1
    columns = input_size[1] + padding[2] + padding[3] - dilation[1] * (window_size[1] - 1) - 1
    return rows // stride[0] + 1, columns // stride[1] + 1


def window(
    m: int, n: int, count: tuple[int, ...], stride: Pair = (1, 1), dilation: Pair = (1, 1)
) -> WindowIndex:
    """Return the index of element m, n of every window: the pixels i s + m d, j s + n d."""
    top, left = m * dilation[0], n * dilation[1]
    rows = slice(top, top + (count[0] - 1) * stride[0] + 1, stride[0])
    columns = slice(left, left + (count[1] - 1) * stride[1] + 1, stride[1])
    return ..., rows, columns


def forward(
    o: Array,
    w: Array,
    b: Array | None = None,
    *,
    stride: Pair = (1, 1),
    padding: Sides = NO_PADDING,
    padding_value: float = 0.0,
    dilation: Pair = (1, 1),
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array:
    """Eq. 4 and 7: x[k, i, j] = b[k] + sum of w[k, c, m, n] o[c, i s + m d, j s + n d]."""
    if flip_kernel:
        w = w[:, :, ::-1, ::-1]
    kernels, _, *size = w.shape
    count = places(o.shape[2:], (size[0], size[1]), stride, padding, dilation)
    padded = _split(pad(o, padding, padding_value), groups, axis=1)
    banks = _split(w, groups, axis=0)
    x = np.zeros((len(o), groups, kernels // groups, *count), np.result_type(o, w))
    for m, n in np.ndindex(*size):
        pixels = padded[window(m, n, count, stride, dilation)]
        x += (banks[..., m, n] @ _flat(pixels)).reshape(x.shape)
    x = x.reshape(len(o), kernels, *count)
    return x if b is None else x + b[:, np.newaxis, np.newaxis]


def weight_gradient(
    o: Array,
    delta: Array,
    *,
    kernel_size: Pair,
    stride: Pair = (1, 1),
    padding: Sides = NO_PADDING,
    padding_value: float = 0.0,
    dilation: Pair = (1, 1),
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array:
    """Eq. 13, summed over the images too: dE/dw of (K, C / groups, k1, k2)."""
    padded = _split(pad(o, padding, padding_value), groups, axis=1)
    deltas = _split(delta, groups, axis=1)
    shape = (delta.shape[1], o.shape[1] // groups, *kernel_size)
    gradient = np.zeros(shape, np.result_type(o, delta))
    banks = _split(gradient, groups, axis=0)
    for m, n in np.ndindex(kernel_size):
        pixels = padded[window(m, n, delta.shape[2:], stride, dilation)]
        banks[..., m, n] = (_flat(deltas) @ _flat(pixels).swapaxes(-1, -2)).sum(axis=0)
    return gradient[:, :, ::-1, ::-1] if flip_kernel else gradient


def bias_gradient(delta: Array) -> Array:
    """dE/db of (K,): delta summed over images and pixels."""
    gradient: Array = delta.sum(axis=(0, 2, 3))
    return gradient


def input_delta(
    delta: Array,
    w: Array,
    *,
    input_size: Pair,
    stride: Pair = (1, 1),
    padding: Sides = NO_PADDING,
    dilation: Pair = (1, 1),
    groups: int = 1,
    flip_kernel: bool = False,
) -> Array:
    """Eq. 20 without f': dE/do of (N, C, H, W).

    Eq. 20 collects delta[i'-m, j'-n]; with a stride only some i' - m d are multiples of it, so
    each product is put where it belongs instead: delta[i, j] w[m, n] at i s + m d, j s + n d.
    What falls on the padding is dropped.
    """
    if flip_kernel:
        w = w[:, :, ::-1, ::-1]
    images, channels = len(delta), w.shape[1] * groups
    deltas, banks = _split(delta, groups, axis=1), _split(w, groups, axis=0)
    total = pad(np.zeros((images, channels, *input_size), np.result_type(delta, w)), padding)
    parts = _split(total, groups, axis=1)
    for m, n in np.ndindex(w.shape[2:]):
        at = window(m, n, delta.shape[2:], stride, dilation)
        terms = banks[..., m, n].swapaxes(-1, -2) @ _flat(deltas)
        parts[at] = parts[at] + terms.reshape(parts[at].shape)
    return crop(total, padding)


def _split(a: Array, groups: int, axis: int) -> Array:
    """Return a view of a with one axis split into (groups, the rest)."""
    shape = (*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])
    return a.reshape(shape)


def _flat(maps: Array) -> Array:
    """Return maps (..., H, W) as (..., H W), to be a matrix product's rows or columns."""
    return maps.reshape(*maps.shape[:-2], -1)
