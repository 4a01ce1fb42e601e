"""Layers: what each one is, its parameters, its output shape and its place in the article.

A layer is a frozen description; a Network gives it parameters and the engine carries it
out. Shapes are those of one image: (C, H, W), or (F,) once a layer has flattened it.
"""

from __future__ import annotations

from convprop.described import from_dict, table
from convprop.initializers import INITIALIZERS
from convprop.layers import activations, pool
from convprop.layers.activations import *  # noqa: F403 - a new one is named in its own file alone
from convprop.layers.activations import ACTIVATIONS, Activation
from convprop.layers.conv import Conv
from convprop.layers.dense import Dense, Flatten
from convprop.layers.dropout import Dropout
from convprop.layers.joins import Add, Concat, Join, Multiply
from convprop.layers.layer import Layer, Parameter, Shape, shape_text
from convprop.layers.pool import *  # noqa: F403 - the same
from convprop.layers.pool import POOLINGS, Pool

LAYERS = table(
    Conv,
    *POOLINGS,
    Dense,
    Flatten,
    Dropout,
    *ACTIVATIONS,
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


__all__ = [
    "LAYERS",
    "Activation",
    "Add",
    "Concat",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "Join",
    "Layer",
    "Multiply",
    "Parameter",
    "Pool",
    "Shape",
    "layer_from_dict",
    "shape_text",
]
__all__ += activations.__all__
__all__ += pool.__all__
