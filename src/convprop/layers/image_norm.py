"""Normalisations of an image by its own numbers: no image changes another one's output."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

from convprop.checks import flag, positive, positive_integer
from convprop.errors import invalid
from convprop.initializers import Constant, Zeros
from convprop.layers.layer import Layer, Parameter, Shape, checked_name, maps_of
from convprop.ops.image_norm import check_groups, odd_size


@dataclass(frozen=True, repr=False)
class ImageNorm(Layer):
    """Base of the normalisations to mean 0 and variance 1: x = w x^ + b.

    x^ is (o - mean) / sqrt(variance + epsilon) with the biased variance, divided by n, in training
    and in prediction alike.

    Parameters
    ----------
    epsilon : float
        Above 0.
    affine : bool
        Whether each channel has a weight, which begins at 1, and a bias, which begins at 0.
    name : str, optional
        In the place of "group_norm1", "group_norm2", ...
    """

    reads_output = True

    _: KW_ONLY
    epsilon: float = 1e-5
    affine: bool = True
    name: str | None = None

    def __post_init__(self) -> None:
        self._set(
            epsilon=positive("epsilon", self.epsilon),
            affine=flag("affine", self.affine),
            name=checked_name(self.name),
        )

    def parameters(self, *inputs: Shape) -> dict[str, Parameter]:
        """Return weight and bias (C,), if there are any."""
        shape = inputs[0][:1]
        if not self.affine:
            return {}
        return {"weight": Parameter(shape, Constant(1.0)), "bias": Parameter(shape, Zeros())}

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": self.family, "epsilon": self.epsilon, "affine": self.affine}


@dataclass(frozen=True, repr=False)
class GroupNorm(ImageNorm):
    """Normalised over the pixels of each group of channels; parameters as in ImageNorm.

    As PyTorch's GroupNorm. GroupNorm(1) is over channels, rows and columns.

    Parameters
    ----------
    groups : int
        Divides the channels.
    """

    kind = family = "group_norm"
    sees_all_pixels = True
    source = "Wu and He, Group normalization, ECCV 2018"
    positional = ("groups",)

    groups: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(groups=positive_integer("groups", self.groups))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape; raise InvalidInput unless each group has several numbers."""
        check_groups(self.groups, inputs[0])
        return inputs[0]

    def convention(self) -> str:
        """Return what has its own mean and variance."""
        return "mean and variance of each group"

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return super().native(*inputs) | {"groups": self.groups}


class InstanceNorm(ImageNorm):
    """Normalised over the pixels of each channel; parameters as in ImageNorm.

    As ONNX's InstanceNormalization, or PyTorch's InstanceNorm2d(affine=True).
    """

    kind = "instance_norm"
    family = "group_norm"
    sees_all_pixels = True
    source = "Ulyanov, Vedaldi and Lempitsky, Instance normalization, 2016"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape; raise InvalidInput unless its maps have several pixels."""
        channels, _ = maps_of(inputs[0])
        check_groups(channels, inputs[0])
        return inputs[0]

    def convention(self) -> str:
        """Return what has its own mean and variance."""
        return "mean and variance of each channel"

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return super().native(*inputs) | {"groups": inputs[0][0]}


class LayerNorm(ImageNorm):
    """Normalised over the channels of each pixel, or over a row of values.

    As ConvNeXt has it, and PyTorch's LayerNorm(C) of arrays whose channels come last. What
    PyTorch's LayerNorm([C, H, W]) normalises together GroupNorm(1) does, with a weight a channel
    and not a number. Parameters as in ImageNorm.
    """

    kind = family = "layer_norm"
    source = "Ba, Kiros and Hinton, Layer normalization, 2016; Liu et al., ConvNeXt, CVPR 2022"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape; raise InvalidInput unless it has several channels."""
        if inputs[0][0] < 2:
            raise invalid("input", "have several channels to be normalised together", 1)
        return inputs[0]

    def convention(self) -> str:
        """Return what has its own mean and variance."""
        return "mean and variance of each pixel"


@dataclass(frozen=True, repr=False)
class LocalResponseNorm(Layer):
    """Each number divided by a power of the squares round it: o / (k + alpha / size sum o^2)^beta.

    The sum is over the channels c - size // 2 ... c + size // 2 of its pixel, as far as there are
    any. alpha is divided by the size, and k is 1, as in PyTorch and ONNX; AlexNet's paper does not
    divide, and its settings are LocalResponseNorm(5, alpha=5e-4, k=2).

    Parameters
    ----------
    size : int
        How many channels: odd.
    alpha, beta, k : float
        Above 0.
    """

    kind = family = "local_response_norm"
    reads_output = True
    source = "Krizhevsky, Sutskever and Hinton, ImageNet classification, NIPS 2012, Section 3.3"
    positional = ("size",)

    size: int = 5
    _: KW_ONLY
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def __post_init__(self) -> None:
        self._set(
            size=odd_size(self.size),
            alpha=positive("alpha", self.alpha),
            beta=positive("beta", self.beta),
            k=positive("k", self.k),
        )

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape; raise InvalidInput unless it is one of maps."""
        maps_of(inputs[0])
        return inputs[0]

    def convention(self) -> str:
        """Return what alpha is of."""
        return "alpha divided by the size"

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        settings = {name: getattr(self, name) for name in ("size", "alpha", "beta", "k")}
        return {"kind": self.kind, **settings}
