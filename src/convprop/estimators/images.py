"""What the estimators take as X, and what becomes of it: images (N, C, H, W)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from convprop.auto import square_guess
from convprop.checks import is_integer
from convprop.data.arrays import CHANNEL_COUNTS, DATA_FORMATS, Array, Rows, Shape, as_images
from convprop.dtypes import is_float
from convprop.errors import invalid
from convprop.estimators.pictures import as_array, as_list, files_of, is_folder
from convprop.estimators.versions import validate_data


class Received:
    """X as it was given, with the checks made that scikit-learn makes of all of it.

    Its values are looked at by ``images``, when it is known which images take part.

    Parameters
    ----------
    estimator : estimator
        Its ``input_shape`` and ``data_format`` say how X is read; it is given, or compared by,
        its ``n_features_in_``.
    X : array_like, list or column of paths or PIL images, or path of a folder
    known : (C, H, W), optional
        The shape that the images must have; None in the first fit.

    Raises
    ------
    InvalidInput, ValueError, TypeError
        Neither; or, of rows, another number of features; or NaN.
    """

    def __init__(self, estimator: Any, X: Any, known: Shape | None) -> None:
        if estimator.data_format not in (None, *DATA_FORMATS):
            raise invalid("data_format", "be None, 'NCHW' or 'NHWC'", repr(estimator.data_format))
        self._estimator, self._known = estimator, known
        self._pictures = files_of(X) if is_folder(X) else as_list(X)
        if self._pictures is not None:
            return
        # A frame keeps its columns' names.
        array = X if hasattr(X, "shape") else np.asarray(X)
        if len(array.shape) <= 2:
            self._array = validate_data(estimator, array, reset=known is None, dtype="numeric")
        else:
            self._array = check_array(array, allow_nd=True, input_name="X", dtype="numeric")

    def __len__(self) -> int:
        return len(self._array if self._pictures is None else self._pictures)

    def images(self, rows: Rows = None) -> Array:
        """Return (N, C, H, W), uint8 or floating, and let the estimator know its features.

        Parameters
        ----------
        rows : ndarray, optional
            int64: the images that take part, None: all. Neither dtype nor shape depends on the
            others, and pictures among them are not even opened.

        Raises
        ------
        InvalidInput
            Images of another shape.
        DataError
            A file that cannot be read.
        """
        estimator, known = self._estimator, self._known
        if self._pictures is not None:
            shape = known or full_shape(estimator, None)
            channels, size = (None, None) if shape is None else (shape[0], shape[1:])
            stretch = estimator.input_shape is not None
            images = as_array(self._pictures, channels, size, stretch, rows)
        elif self._array.ndim <= 2:
            return self._of_rows(rows)
        else:
            array, order = self._array, estimator.data_format
            images = as_images(array, _float(array), None, "X", data_format=order, rows=rows)
            if known is None:
                _check_input_shape(estimator, array.shape[1:], images.shape[1:])
        if known is None:
            estimator.n_features_in_ = math.prod(images.shape[1:])
            # Of an earlier fit, on rows.
            estimator.__dict__.pop("feature_names_in_", None)
        elif images.shape[1:] != known:
            rule = f"hold images of shape {known} (C, H, W), as in fit"
            raise invalid("X", rule, f"{images.shape[1:]}")
        return images

    def _of_rows(self, taking_part: Rows) -> Array:
        rows = self._array
        shape, last = _row_shape(self._estimator, rows.shape[1], self._known)
        images = rows.reshape(len(rows), *shape)
        if last:
            images = images.transpose(0, 3, 1, 2)
        return as_images(images, _float(rows), images.shape[1:], "X", rows=taking_part)


def _row_shape(estimator: Any, features: int, known: Shape | None) -> tuple[tuple[int, ...], bool]:
    """Return what a row is reshaped to, and whether its last axis is the channels."""
    last = estimator.data_format == "NHWC"
    if known is not None:
        channels, height, width = known
    else:
        channels, height, width = full_shape(estimator, 1) or square_guess(features)
    if channels * height * width != features:
        rule = f"have as many values as X has features, {features}"
        raise invalid("input_shape", rule, repr(estimator.input_shape))
    return ((height, width, channels) if last else (channels, height, width)), last


def _check_input_shape(estimator: Any, given: tuple[int, ...], images: tuple[int, ...]) -> None:
    """An array has its images' shape: ``input_shape`` may say it in either order, or in none."""
    wanted = _lengths(estimator)
    if wanted is not None and wanted not in (given, images, images[1:]):
        rule = f"be left out or be that of the images in X, {images} (C, H, W)"
        raise invalid("input_shape", rule, repr(estimator.input_shape))


def full_shape(estimator: Any, channels: int | None) -> Any:
    """Return ``input_shape`` as (C, H, W), with these channels if it has none; None stays None.

    Raises
    ------
    InvalidInput
        No such shape, or one that is plainly meant in the order that ``data_format`` does not
        say: (8, 8, 1) is no grey image but eight channels, and is read so if "NCHW" is given.
    """
    shape = _lengths(estimator)
    if shape is None or len(shape) == 2:
        return None if shape is None else (channels, *shape)
    first, middle, last = shape
    if estimator.data_format == "NHWC":
        if first in CHANNEL_COUNTS and last not in CHANNEL_COUNTS and last == middle:
            rule = "be (H, W, C) with data_format='NHWC'"
            raise invalid("input_shape", rule, f"{shape}, {last} channels of {first}x{middle}")
        return last, first, middle
    if estimator.data_format is None and _channels_last(shape):
        rule = "be (C, H, W), or come with data_format 'NHWC' (or with 'NCHW', if it is)"
        raise invalid("input_shape", rule, f"{shape}, {first} channels of {middle}x{last}")
    return shape


def _channels_last(shape: tuple[int, ...]) -> bool:
    first, middle, last = shape
    usual = first in CHANNEL_COUNTS and not 1 < first == middle != last
    return last in CHANNEL_COUNTS and not usual


def _lengths(estimator: Any) -> tuple[int, ...] | None:
    """Return ``input_shape`` as it was given, checked."""
    given = estimator.input_shape
    if given is None:
        return None
    last = estimator.data_format == "NHWC"
    if (
        not isinstance(given, tuple | list)
        or len(given) not in (2, 3)
        or not all(is_integer(length, 1) for length in given)
    ):
        rule = f"be (H, W) or {'(H, W, C)' if last else '(C, H, W)'}, each a positive integer"
        raise invalid("input_shape", rule, repr(given))
    return tuple(int(length) for length in given)


def _float(array: Array) -> Any:
    """Return the dtype that floating values of an array are kept in."""
    return np.float64 if is_float(array.dtype) and array.dtype.itemsize == 8 else np.float32
