"""What the equations take and give."""

from __future__ import annotations

from types import EllipsisType

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.inexact]  # any float or complex dtype
Indices = npt.NDArray[np.intp]
Pair = tuple[int, int]  # rows, columns
Sides = tuple[int, int, int, int]  # top, bottom, left, right
WindowIndex = tuple[EllipsisType, slice, slice]
