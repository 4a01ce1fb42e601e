"""Layers: what each one is, its parameters, its output shape and its place in the article.

A layer is a frozen description; a Network gives it parameters and the engine carries it
out. Shapes are those of one image: (C, H, W), or (F,) once a layer has flattened it.
"""

from __future__ import annotations

from convprop.described import from_dict, table
from convprop.initializers import INITIALIZERS
from convprop.layers.activations import (
    Activation,
    Identity,
    LeakyReLU,
    ReLU,
    ScaledTanh,
    Sigmoid,
    Softplus,
    Tanh,
)
from convprop.layers.conv import Conv
from convprop.layers.dense import Dense, Flatten
from convprop.layers.dropout import Dropout
from convprop.layers.joins import Add, Concat, Join, Multiply
from convprop.layers.layer import Layer, Parameter, Shape, shape_text
from convprop.layers.pool import AveragePool, L2Pool, MaxPool, Pool

LAYERS = table(
    Conv,
    MaxPool,
    AveragePool,
    L2Pool,
    Dense,
    Flatten,
    Dropout,
    ReLU,
    LeakyReLU,
    Sigmoid,
    Tanh,
    ScaledTanh,
    Softplus,
    Identity,
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
    "AveragePool",
    "Concat",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "Identity",
    "Join",
    "L2Pool",
    "Layer",
    "LeakyReLU",
    "MaxPool",
    "Multiply",
    "Parameter",
    "Pool",
    "ReLU",
    "ScaledTanh",
    "Shape",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "layer_from_dict",
    "shape_text",
]
