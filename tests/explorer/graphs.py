"""Networks that branch, for the explorer's page."""

from __future__ import annotations

import convprop as cp


def residual():
    """Return a block whose input is added to its output."""
    return {
        "stem": (cp.Conv(4, 3, padding=1), "input"),
        "relu1": (cp.ReLU(), "stem"),
        "first": (cp.Conv(4, 3, padding=1), "relu1"),
        "relu2": (cp.ReLU(), "first"),
        "second": (cp.Conv(4, 3, padding=1), "relu2"),
        "sum": (cp.Add(), "second", "relu1"),
        "max_pool1": (cp.MaxPool(2), "sum"),
        "dense1": (cp.Dense(10), "max_pool1"),
    }


def branches():
    """Return two branches that are put one after the other."""
    return {
        "stem": (cp.Conv(4, 3, padding=1), "input"),
        "narrow": (cp.Conv(3, 1), "stem"),
        "wide": (cp.Conv(5, 3, padding=1), "stem"),
        "relu1": (cp.ReLU(), "wide"),
        "both": (cp.Concat(), "narrow", "relu1"),
        "dense1": (cp.Dense(10), "both"),
    }


def mobile():
    """Return shuffled groups, a pool in ceil mode, one with gaps in its windows, and a gate."""
    return [
        *(cp.Conv(6, 3, padding=1), cp.ReLU(), cp.MaxPool(3, stride=2, ceil_mode=True)),
        *(cp.Conv(6, 1, groups=2), cp.ChannelShuffle(2)),
        cp.Residual(cp.SqueezeExcite(2), drop=0.1),
        *(cp.AveragePool(2, stride=1, dilation=2), cp.Dense(10)),
    ]


def inception():
    """Return four branches of one to three layers each, and a way around them."""
    return {
        "stem": (cp.Conv(4, 3, padding=1), "input"),
        "point": (cp.Conv(4, 1), "stem"),
        "reduce": (cp.Conv(4, 1), "stem"),
        "three": (cp.Conv(4, 3, padding=1), "reduce"),
        "squeeze": (cp.Conv(4, 1), "stem"),
        "five_a": (cp.Conv(4, 3, padding=1), "squeeze"),
        "five_b": (cp.Conv(4, 3, padding=1), "five_a"),
        "average_pool1": (cp.AveragePool(3, stride=1, padding=1), "stem"),
        "all_four": (cp.Concat(), "point", "three", "five_b", "average_pool1"),
        "back": (cp.Conv(4, 1), "all_four"),
        "gate": (cp.Multiply(), "back", "stem"),
        "dense1": (cp.Dense(10), "gate"),
    }
