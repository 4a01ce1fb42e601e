"""What a dtype says of an array's values: the questions that are asked of what users give."""

from __future__ import annotations

from typing import Any

import numpy as np


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether values are floating-point numbers, of any size."""
    return np.issubdtype(dtype, np.floating)


def is_number(dtype: np.dtype[Any]) -> bool:
    """Whether values are real numbers: floating-point ones, integers, or truths as 0 and 1."""
    return is_float(dtype) or np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.bool_)


def is_text(dtype: np.dtype[Any]) -> bool:
    """Whether values are texts, and not bytes or objects."""
    return np.issubdtype(dtype, np.str_)
