"""Layers: what each one is, its parameters, its output shape and its place in the article.

A layer is a frozen description; a Network gives it parameters and the engine carries it
out. Shapes are those of one image: (C, H, W), or (F,) once a layer has flattened it.
"""

from __future__ import annotations

from convprop.described import from_dict, table
from convprop.initializers import INITIALIZERS
from convprop.layers import activations, pool
from convprop.layers.activations import *  # noqa: F403 - a new one is named in its own file alone
from convprop.layers.activations import ACTIVATIONS
from convprop.layers.activations import Activation as Activation
from convprop.layers.batch_norm import BatchNorm
from convprop.layers.channel_shuffle import ChannelShuffle
from convprop.layers.conv import Conv
from convprop.layers.dense import Dense, Flatten
from convprop.layers.dropout import Dropout
from convprop.layers.image_norm import GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from convprop.layers.image_norm import ImageNorm as ImageNorm
from convprop.layers.joins import Add, Concat, Multiply
from convprop.layers.joins import Join as Join
from convprop.layers.layer import Layer as Layer
from convprop.layers.layer import Parameter as Parameter
from convprop.layers.layer import Shape as Shape
from convprop.layers.layer import shape_text as shape_text
from convprop.layers.pool import *  # noqa: F403 - the same
from convprop.layers.pool import POOLINGS
from convprop.layers.pool import Pool as Pool
from convprop.layers.prelu import PReLU
from convprop.layers.softmax import Softmax
from convprop.layers.stochastic_depth import StochasticDepth

LAYERS = table(
    Conv,
    *POOLINGS,
    Dense,
    Flatten,
    Dropout,
    StochasticDepth,
    ChannelShuffle,
    *ACTIVATIONS,
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    PReLU,
    Softmax,
    Add,
    Multiply,
    Concat,
)
"""The layers that a model file may name."""


def layer_from_dict(description: object, what: str) -> Layer:
    """Build a layer from its ``to_dict``; raise ModelFileError, beginning with ``what``."""
    if isinstance(description, dict) and isinstance(description.get("initializer"), dict):
        initializer = from_dict(description["initializer"], INITIALIZERS, f"{what}'s initializer")
        description = description | {"initializer": initializer}
    return from_dict(description, LAYERS, what)


# The layers themselves, which convprop has, too.
__all__ = [
    "Add",
    "BatchNorm",
    "ChannelShuffle",
    "Concat",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "LocalResponseNorm",
    "Multiply",
    "PReLU",
    "Softmax",
    "StochasticDepth",
]
__all__ += activations.__all__
__all__ += pool.__all__
