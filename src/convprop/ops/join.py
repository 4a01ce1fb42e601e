"""Joins: what several branches give becomes one value, and its delta goes back to each.

Arrays are (N, C, H, W) or (N, F), float32 or float64, all of one dtype. Both functions take

kind : "add", "multiply" or "concat"
    The sum of arrays of one shape; the product of two of one shape, or of maps and one number a
    channel (N, C, 1, 1); the channels of all, one array's after the other's.

and raise InvalidInput, which names the parameter, the rule and what was received. For the
sums themselves see `convprop.equations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from convprop.checks import check_values
from convprop.errors import invalid
from convprop.machine.native import description, engine
from convprop.ops.arrays import Array, checked, require_shape

Kind = Literal["add", "multiply", "concat"]
KINDS: tuple[Kind, ...] = ("add", "multiply", "concat")

Shape = tuple[int, ...]


def forward(inputs: Sequence[Array], kind: Kind) -> Array:
    """Return the join of two arrays or more; of "multiply" they are two.

    Parameters
    ----------
    inputs : sequence of (N, C, H, W) or (N, F)
        A sum begins with the first.

    Returns
    -------
    x : (N, C, H, W) or (N, F)
    """
    arrays, _ = _checked(inputs, kind)
    return engine.join_forward(arrays, description(kind))


def input_delta(delta: Array, inputs: Sequence[Array], kind: Kind) -> list[Array]:
    """Return dE/do of each input.

    "add": the delta as it is. "multiply": the delta times the other input, summed over the map
    where an input is one number a channel. "concat": each input's own channels of the delta.

    Parameters
    ----------
    delta : (N, C, H, W) or (N, F)
        In the shape of the output.
    inputs : sequence of (N, C, H, W) or (N, F)
        What was joined.

    Returns
    -------
    deltas : list of ndarray
        In the inputs' shapes.
    """
    arrays, output = _checked(inputs, kind)
    axes = "(N, C, H, W)" if len(output) == 3 else "(N, F)"
    delta = checked("delta", delta, axes, ("inputs[0]", arrays[0]))
    require_shape("delta", delta, len(arrays[0]), *output)
    return engine.join_input_delta(delta, arrays, description(kind))


def output_shape(kind: Kind, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of one image's join from those of its inputs.

    Raises
    ------
    InvalidInput
        Shapes that do not fit one another; of "multiply" others than two.
    """
    first, *others = shapes
    if kind == "add":
        if any(shape != first for shape in others):
            raise invalid("inputs", "have one shape to be added", _texts(shapes))
        return first
    if kind == "multiply":
        if len(others) != 1:
            raise invalid("inputs", "be two to be multiplied", len(shapes))
        if others[0] != first and others[0] != (first[0], *(1,) * (len(first) - 1)):
            rule = "have one shape, or the second one number a channel, to be multiplied"
            raise invalid("inputs", rule, _texts(shapes))
        return first
    if any(shape[1:] != first[1:] for shape in others):
        raise invalid("inputs", "have as many rows and columns to be joined", _texts(shapes))
    return sum(shape[0] for shape in shapes), *first[1:]


def _texts(shapes: Sequence[Shape]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes)


def _checked(inputs: object, kind: Kind) -> tuple[list[Array], Shape]:
    """Return the arrays as the engine takes them, and the shape of an image's join."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise invalid("kind", "be 'add', 'multiply' or 'concat'", repr(kind))
    if not isinstance(inputs, list | tuple) or len(inputs) < 2:
        received = len(inputs) if isinstance(inputs, list | tuple) else type(inputs).__name__
        raise invalid("inputs", "be a list of two arrays or more", received)
    first = checked("inputs[0]", inputs[0], "")
    if first.ndim not in (2, 4):
        raise invalid("inputs[0]", "have the axes (N, C, H, W) or (N, F)", f"shape {first.shape}")
    axes = "(N, C, H, W)" if first.ndim == 4 else "(N, F)"
    arrays = [first]
    for number, one in enumerate(inputs[1:], start=1):
        name = f"inputs[{number}]"
        arrays.append(checked(name, one, axes, ("inputs[0]", first)))
        if len(one) != len(first):
            raise invalid(name, f"have as many images as inputs[0], {len(first)}", len(one))
    shape = output_shape(kind, [array.shape[1:] for array in arrays])
    check_values("output", shape)
    return arrays, shape
