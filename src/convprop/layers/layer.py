"""What every layer is: a frozen description, which a Network gives parameters.

Shapes are those of one image: (C, H, W), or (F,) once a layer has flattened it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from convprop.checks import Pair
from convprop.described import Described
from convprop.errors import invalid
from convprop.geometry import Window
from convprop.initializers import Initializer, Zeros

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Parameter:
    """An array that a layer has.

    Attributes
    ----------
    shape : tuple of int
    initializer : Initializer or None
        Of its first values; None: the customary one of weights, by what follows the layer.
    trained : bool
        Whether an optimizer updates it. What it does not update has no gradient.
    """

    shape: Shape
    initializer: Initializer | None
    trained: bool = True


class Layer(Described, ABC):
    """Base of the layers. ``inputs`` are the shapes of what a layer reads, in order."""

    source: ClassVar[str]
    """The section of the article, or the paper, that the layer is from."""

    family: ClassVar[str]
    """The engine's word for its operation: layers of one family are explained and drawn alike."""

    joins: ClassVar[bool] = False
    """Whether it reads several values; all others read one."""

    rectifies: ClassVar[bool | None] = None
    """Of an activation, whether it takes half of the variance away: weights before it begin larger.

    None: what comes behind the layer decides.
    """

    sees_all_pixels: ClassVar[bool] = False
    """Whether each pixel that it gives depends on all that it reads."""

    keeps_variance: ClassVar[bool] = False
    """Of an activation, whether it is made to, behind weights of variance 1 / fan_in."""

    reads_output: ClassVar[bool] = False
    """Whether the delta that it gives depends on its output, as that of an activation does."""

    reads_input: ClassVar[bool] = False
    """Whether it depends on its input, as that of a SiLU does."""

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of one image's output; raise InvalidInput if the inputs do not fit."""
        return inputs[0]

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return the parameters by name ("weight", "bias", "slope"), or nothing."""
        return {}

    def multiply_adds(self, *inputs: Shape) -> int:
        """Return the multiply-adds of one image's forward pass."""
        return 0

    def window(self, *inputs: Shape) -> Window | None:
        """Return what moves over the maps of a convolution or a pooling, padding resolved."""
        return None

    def convention(self) -> str | None:
        """Return which of several customary definitions the layer follows, if there are any."""
        return None

    @abstractmethod
    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""


def shape_text(shape: Shape) -> str:
    """Return a shape as "6x28x28"."""
    return "x".join(map(str, shape))


def maps_of(shape: Shape) -> tuple[int, Pair]:
    """Return the channels and the (rows, columns) of an input that must have them."""
    if len(shape) != 3:
        received = f"{shape_text(shape)} values in one row"
        raise invalid("input", "have channels, rows and columns", received)
    return shape[0], (shape[1], shape[2])


def checked_initializer(value: object) -> Initializer | None:
    """Return a layer's initializer, or None for the customary one."""
    if value is None or isinstance(value, Initializer):
        return value
    raise invalid("initializer", "be None or one of convprop.initializers", repr(value))


def checked_name(value: object) -> str | None:
    """Return a layer's own name, or None."""
    if value is None or (isinstance(value, str) and value.isidentifier() and len(value) <= 64):
        return value
    raise invalid("name", "be an identifier of at most 64 characters", repr(value))


Trainable = bool | Literal["weight", "bias"]
"""Of a layer with a weight and a bias, which of them an optimizer updates."""


def checked_trainable(value: object, bias: bool) -> Trainable:
    """Return whether a layer with a weight, and perhaps a bias, is trained."""
    for known in (True, False, "weight", "bias"):
        if type(value) is type(known) and value == known:
            if known == "bias" and not bias:
                raise invalid("trainable", "be True or False without a bias", repr(value))
            return known
    raise invalid("trainable", "be True, False, 'weight' or 'bias'", repr(value))


def weight_and_bias(
    shape: Shape, initializer: Initializer | None, bias: bool, trainable: Trainable
) -> dict[str, Parameter]:
    """Return the parameters of a sum of products over the first axis; biases begin at 0."""
    parameters = {"weight": Parameter(shape, initializer, trainable in (True, "weight"))}
    if bias:
        parameters["bias"] = Parameter((shape[0],), Zeros(), trainable in (True, "bias"))
    return parameters
