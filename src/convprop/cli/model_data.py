"""Data as a trained network takes it: its size, its channels, its classes or its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from convprop.data import Dataset, Split, load
from convprop.data.dataset import Labels
from convprop.data.image_files import MODES
from convprop.data.sources import holds_arrays
from convprop.errors import invalid
from convprop.layers import shape_text
from convprop.network import Network
from convprop.report.words import counted


def load_for(
    network: Network,
    model: Path,
    data: str,
    *,
    test_fraction: float = 0.2,
    labels: bool = True,
    skip_unreadable: bool = False,
    stream: bool = False,
) -> Split:
    """Load data for the network of a file, or say what does not fit.

    Image files are resized and get the network's channels; arrays have to fit, but for grey
    images, of which colour ones are made. Labels index the network's classes, or are numbers as
    it predicts them; without ``labels`` they are not looked at.

    Raises
    ------
    DataError, InvalidInput
        As `load`; another shape, classes that the network does not know, too few numbers.
    """
    channels, *size = network.input_shape

    def read(kind: Labels) -> Split:
        return load(
            data,
            size=None if holds_arrays(data) else (size[0], size[1]),
            test_fraction=test_fraction,
            skip_unreadable=skip_unreadable,
            stream=stream,
            channels=channels if channels in MODES else None,
            class_names=network.class_names if kind == "classes" else None,
            labels=kind,
        )

    numbers = _learns_numbers(network, data)
    split = read("any" if not labels else "numbers" if numbers else "classes")
    if labels and numbers and split.train.labels.shape[1] != network.outputs:
        fractions = (np.rint(split.train.labels) != split.train.labels).any()
        if network.target_scaling is not None or fractions:
            rule = f"hold {counted(network.outputs, 'number')} for each image to fit {model}"
            raise invalid(data, rule, split.train.labels.shape[1])
        # The squared error has taught it classes, whose names it does not know.
        split = read("classes")
    return replace(
        split,
        train=_fitted(split.train, network, model),
        test=_fitted(split.test, network, model),
    )


def _learns_numbers(network: Network, data: str) -> bool:
    """Whether the labels of ``data`` are to be read as numbers: those of folders are classes."""
    if network.target_scaling is not None:
        return True
    return network.predicts_numbers and holds_arrays(data)


def _fitted(images: Dataset, network: Network, model: Path) -> Dataset:
    """Return ``images`` as the network takes them, or say what does not fit."""
    own = images.image_shape
    if own[0] == 1 < network.input_shape[0] and isinstance(images.images, np.ndarray):
        coloured = np.repeat(images.images, network.input_shape[0], axis=1)
        images = replace(images, images=coloured)
    if images.image_shape != network.input_shape:
        rule = f"hold images of {shape_text(network.input_shape)} to fit {model}"
        received = f"{shape_text(own)} (image files would be resized)"
        raise invalid(images.name, rule, received)
    if images.labels.ndim == 2 or network.class_names is not None:
        return images
    names, classes = images.class_names, max(network.outputs, 2)
    if len(names) > classes:
        rule = f"have at most {classes} classes to fit {model}"
        raise invalid(images.name, rule, len(names))
    # A class that the data does not have may be predicted, too.
    return replace(images, class_names=[*names, *map(str, range(len(names), classes))])
