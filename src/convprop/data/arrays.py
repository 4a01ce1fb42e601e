"""What the package accepts as images and labels, and how it cuts a test part from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convprop.dtypes import is_float, is_number
from convprop.errors import invalid

Shape = tuple[int, int, int]
Array = NDArray[Any]
Rows = NDArray[np.int64] | None
"""Which of the images take part; None: all."""

CHANNEL_COUNTS = (1, 3, 4)
"""Grey, RGB and RGBA: the lengths by which an axis is recognised as the channels."""

DATA_FORMATS = ("NCHW", "NHWC")

SPLIT_STREAM = 0x53504C4954
"""The engine's random stream that orders images before a split."""

CHUNK_VALUES = 1 << 17
"""Values a chunk: 1 MB as float64, which stays in the cache."""


def as_images(
    images: ArrayLike,
    dtype: DTypeLike,
    input_shape: Shape | None = None,
    parameter: str = "images",
    *,
    data_format: str | None = None,
    rows: Rows = None,
) -> Array:
    """Return ``images`` as a C-contiguous (N, C, H, W) array of uint8 or of ``dtype``.

    Parameters
    ----------
    images : array_like
        (N, H, W), (N, H, W, C) or (N, C, H, W). uint8 and bool, and integers that all lie in
        0..255, become uint8; other integers and every floating type become ``dtype``.
    dtype : float32 or float64
        The network's dtype.
    input_shape : (C, H, W), optional
        The shape to expect; it also tells the two layouts apart (channels first if C = H = W).
        Without it the channel axis is the one of axes 1 and 3 whose length is 1, 3 or 4.
    parameter : str
        The name in the messages.
    data_format : "NCHW" or "NHWC", optional
        The layout of four axes, where ``input_shape`` is unknown and lengths do not decide.
    rows : ndarray, optional
        int64: the images whose values are looked at and kept; what the others hold decides
        nothing, and may be lost. None: all.

    Returns
    -------
    ndarray
        The array given, when it already has the layout and a dtype that is kept.

    Raises
    ------
    InvalidInput
        Wrong rank or shape, no images, no numbers, NaN or infinity, or a value that ``dtype``
        cannot hold.
    """
    try:
        array = np.asarray(images)
    except ValueError:
        raise invalid(
            parameter, "be one array of numbers", "sequences of unequal lengths"
        ) from None
    array = _with_layout(array, input_shape, parameter, data_format)
    exact = _exact_floats if is_float(array.dtype) else _exact_integers
    return exact(array, np.dtype(dtype), parameter, rows)


def _with_layout(
    array: Array, input_shape: Shape | None, parameter: str, data_format: str | None
) -> Array:
    """Return a view with axes (N, C, H, W), none of them empty, of what may hold pixels."""
    if data_format is not None and data_format not in DATA_FORMATS:
        raise invalid("data_format", "be 'NCHW' or 'NHWC'", repr(data_format))
    if not is_number(array.dtype):
        raise invalid(parameter, "hold integers or floating-point numbers", f"dtype {array.dtype}")
    if array.ndim == 0 or array.shape[0] == 0:
        raise invalid(parameter, "hold at least one image", f"shape {array.shape}")
    if input_shape is None:
        array = channels_first(array, data_format, parameter)
    else:
        array = _with_input_shape(array, input_shape, parameter)
    if array.size == 0:
        raise invalid(parameter, "have no axis of length 0", f"shape {array.shape}")
    return array


def image_shape(
    dtype: np.dtype[Any], shape: tuple[int, ...], data_format: str | None, parameter: str
) -> tuple[int, ...]:
    """Return (N, C, H, W) of images that have not been read, or raise as `as_images` would."""
    # One value that stands for all takes no memory.
    unread = np.broadcast_to(np.zeros((), dtype), shape)
    return _with_layout(unread, None, parameter, data_format).shape


def channels_first(array: Array, data_format: str | None, parameter: str) -> Array:
    """Return a view with axes (N, C, H, W)."""
    if array.ndim == 3:
        return array[:, np.newaxis]
    if array.ndim != 4:
        raise invalid(
            parameter, "have shape (N, H, W), (N, H, W, C) or (N, C, H, W)", f"shape {array.shape}"
        )
    if data_format is None:
        first, last = (array.shape[axis] in CHANNEL_COUNTS for axis in (1, 3))
        if first and last and array.shape[1:] != (1, 1, 1):
            raise invalid(
                parameter,
                "come with data_format 'NCHW' or 'NHWC' where both axis 1 and axis 3 may be the"
                " channels (1, 3 or 4)",
                f"shape {array.shape}",
            )
        if not (first or last):
            raise invalid(
                parameter,
                "have 1, 3 or 4 channels in either axis 1 or axis 3, or come with"
                " data_format 'NCHW' or 'NHWC'",
                f"shape {array.shape}",
            )
        data_format = "NCHW" if first else "NHWC"
    return array if data_format == "NCHW" else array.transpose(0, 3, 1, 2)


def _with_input_shape(array: Array, input_shape: Shape, parameter: str) -> Array:
    """Return a view with axes (N, C, H, W) whose last three lengths are ``input_shape``."""
    channels, height, width = input_shape
    if array.shape[1:] == (channels, height, width):
        return array
    if array.shape[1:] == (height, width, channels):
        return array.transpose(0, 3, 1, 2)
    rule = f"have shape (N, {channels}, {height}, {width}) or (N, {height}, {width}, {channels})"
    one_image: list[tuple[int, ...]] = [(channels, height, width), (height, width, channels)]
    if channels == 1:
        if array.shape[1:] == (height, width):
            return array[:, np.newaxis]
        rule = f"have shape (N, 1, {height}, {width}), (N, {height}, {width}, 1) or"
        rule += f" (N, {height}, {width})"
        one_image.append((height, width))
    hint = " (one image: give images[np.newaxis])" if array.shape in one_image else ""
    raise invalid(parameter, rule, f"shape {array.shape}{hint}")


def _exact_floats(array: Array, dtype: np.dtype[Any], parameter: str, rows: Rows) -> Array:
    for numbers, chunk in _image_chunks(array, rows):
        finite = np.isfinite(chunk)
        if not finite.all():
            index = np.unravel_index(int(np.argmin(finite)), chunk.shape)
            place = (numbers[int(index[0])], *map(int, index[1:]))
            value = float(chunk[index])
            raise invalid(
                parameter, "be finite", f"{value} at (image, channel, row, column) {place}"
            )
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    if np.finfo(array.dtype).maxexp > np.finfo(dtype).maxexp:
        largest = max(float(np.abs(chunk).max()) for _, chunk in _image_chunks(array, rows))
        if largest > float(np.finfo(dtype).max):
            raise invalid(parameter, f"fit in {dtype}", f"a value of magnitude {largest:.7g}")
    # Of the rows nothing overflows.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, dtype=dtype)


def _exact_integers(array: Array, dtype: np.dtype[Any], parameter: str, rows: Rows) -> Array:
    if array.dtype in (np.uint8, np.bool_):
        return np.ascontiguousarray(array, dtype=np.uint8)
    lowest = min(int(chunk.min()) for _, chunk in _image_chunks(array, rows))
    highest = max(int(chunk.max()) for _, chunk in _image_chunks(array, rows))
    if lowest >= 0 and highest <= 255:
        return np.ascontiguousarray(array, dtype=np.uint8)
    exact = 1 << (np.finfo(dtype).nmant + 1)
    if -lowest > exact or highest > exact:
        furthest = highest if highest > exact else lowest
        raise invalid(parameter, f"hold integers of magnitude at most {exact} ({dtype})", furthest)
    return np.ascontiguousarray(array, dtype=dtype)


def _image_chunks(images: Array, rows: Rows) -> Iterator[tuple[Sequence[int], Array]]:
    """Yield (their numbers, images) in order, about ``CHUNK_VALUES`` values at a time."""
    step = max(1, CHUNK_VALUES // max(1, math.prod(images.shape[1:])))
    if rows is None:
        for start in range(0, len(images), step):
            yield range(start, start + step), images[start : start + step]
        return
    for start in range(0, len(rows), step):
        chosen = rows[start : start + step]
        yield chosen.tolist(), images[chosen]


def as_labels(
    labels: ArrayLike,
    count: int,
    classes: int,
    parameter: str = "labels",
    *,
    several_classes: bool = False,
    rows: Rows = None,
) -> NDArray[np.int32]:
    """Return ``labels`` as int32 class indices of shape (count,).

    Parameters
    ----------
    labels : array_like
        (count,) integers in 0..classes - 1.
    count, classes : int
        How many images and how many classes there are.
    parameter : str
        The name in the messages.
    several_classes : bool
        Refuse labels that all name one class; training asks for this. A class is one also where
        none of its images takes part.
    rows : ndarray, optional
        int64: the images whose labels have to lie in the range; where others' do not, they
        become that of the first one.

    Raises
    ------
    InvalidInput
        Wrong rank or length, no integers, out of range, or one class only.
    """
    try:
        array = np.asarray(labels)
    except ValueError:
        raise invalid(
            parameter, "be one array of integers", "sequences of unequal lengths"
        ) from None
    if array.ndim != 1:
        raise invalid(parameter, "have shape (N,)", f"shape {array.shape}")
    if len(array) != count:
        raise invalid(parameter, f"hold one label for each of the {count} images", len(array))
    if array.dtype.kind not in "bui":
        raise invalid(parameter, "be integers", f"dtype {array.dtype}")
    outside = (array < 0) | (array >= classes)
    if rows is not None:
        replaced = outside.copy()
        replaced[rows] = False
        array, outside = np.where(replaced, array[rows[0]], array), outside & ~replaced
    if outside.any():
        index = int(np.argmax(outside))
        raise invalid(
            parameter, f"lie in 0..{classes - 1}", f"{int(array[index])} at index {index}"
        )
    if several_classes and (array == array[0]).all():
        raise invalid(parameter, "name at least two classes", f"only class {int(array[0])}")
    return np.ascontiguousarray(array, dtype=np.int32)


def of_rows(targets: Array, rows: Rows) -> Array:
    """Return targets with the first row's in the place of those that take no part.

    Nothing that is found out about all of them can then depend on the latter.
    """
    if rows is None:
        return targets
    told = np.repeat(targets[rows[:1]], len(targets), axis=0)
    told[rows] = targets[rows]
    return told


def stratified_split(
    labels: ArrayLike, fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of a training and a test part with each class in proportion.

    Parameters
    ----------
    labels : array_like
        (N,) integers.
    fraction : float
        The test part's share of every class, rounded to the nearest whole image; a class of at
        least two images has at least one in each part, and a class of one is trained on.
    seed : int
        The same seed cuts the same labels alike on every machine.

    Returns
    -------
    train, test : ndarray
        int64 indices in ascending order.

    Raises
    ------
    InvalidInput
        A fraction outside (0, 1), a seed outside 0..2**64 - 1, or no class of two images.
    """
    from convprop.machine.native import engine

    if not 0.0 < fraction < 1.0:
        raise invalid("test_fraction", "lie between 0 and 1, both excluded", fraction)
    if not 0 <= seed < 1 << 64:
        raise invalid("seed", "lie in 0..2**64 - 1", seed)
    array = np.asarray(labels)
    order = np.argsort(engine.random_bits(seed, SPLIT_STREAM, len(array)), kind="stable")
    in_test = np.zeros(len(array), dtype=bool)
    for label in np.unique(array):
        members = order[array[order] == label]
        if len(members) >= 2:
            wanted = math.floor(fraction * len(members) + 0.5)
            in_test[members[: min(max(wanted, 1), len(members) - 1)]] = True
    if not in_test.any():
        raise invalid("labels", "give some class at least two images to split", "one of each")
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)
