"""Networks that branch, as the page is told of them.

Their layers are computed in a row, with layers of the same shapes in the joins' places; what the
page is told says what they would read.
"""

from __future__ import annotations

import base64

import numpy as np

import convprop as cp


def residual():
    """Return the layers of a block whose input is added to its output, and what is told of them."""
    layers = [
        cp.Conv(4, 3, padding=1, name="stem"),
        cp.ReLU(),
        cp.Conv(4, 3, padding=1, name="first"),
        cp.ReLU(),
        cp.Conv(4, 3, padding=1, name="second"),
        cp.Conv(4, 1, name="sum"),
        cp.MaxPool(2),
        cp.Dense(10),
    ]
    return layers, {"sum": ("add", [5, 2])}


def branches():
    """Return the layers of two branches that are put one after the other."""
    layers = [
        cp.Conv(4, 3, padding=1, name="stem"),
        cp.Conv(3, 1, name="narrow"),
        cp.Conv(5, 3, padding=1, name="wide"),
        cp.ReLU(),
        cp.Conv(8, 1, name="both"),
        cp.Dense(10),
    ]
    return layers, {"wide": ("conv", [1]), "both": ("concat", [2, 4])}


def inception():
    """Return the layers of four branches of one to three layers each, and a way around them."""
    layers = [
        cp.Conv(4, 3, padding=1, name="stem"),
        cp.Conv(4, 1, name="point"),
        cp.Conv(4, 1, name="reduce"),
        cp.Conv(4, 3, padding=1, name="three"),
        cp.Conv(4, 1, name="squeeze"),
        cp.Conv(4, 3, padding=1, name="five_a"),
        cp.Conv(4, 3, padding=1, name="five_b"),
        cp.AveragePool(3, stride=1, padding=1),
        cp.Conv(16, 1, name="all_four"),
        cp.Conv(4, 1, name="back"),
        cp.Conv(4, 1, name="gate"),
        cp.Dense(10),
    ]
    return layers, {
        "reduce": ("conv", [1]),
        "squeeze": ("conv", [1]),
        "average_pool1": ("pool", [1]),
        "all_four": ("concat", [2, 4, 7, 8]),
        "gate": ("multiply", [10, 1]),
    }


def told(changes):
    """Return the change of the network's answer that says what the layers would be and read."""

    def change(answer):
        for layer in answer["layers"]:
            kind, reads = changes.get(layer["name"], (layer["kind"], layer["reads"]))
            layer |= {"kind": kind, "reads": reads}
        return answer

    return {"open": change}


def sending(value, readers):
    """Return the change of the maps' answer that tells what readers send to a value.

    The n-th of k sends n / (1 + ... + k) of the value's delta.
    """
    shares = np.arange(1, len(readers) + 1) / sum(range(1, len(readers) + 1))

    def change(answer):
        packed = answer["deltas"][value]
        delta = np.frombuffer(base64.b64decode(packed["data"]), packed["dtype"])
        parts = [(delta * share).astype(delta.dtype) for share in shares]
        answer["sent"] = {
            str(value): [
                {"reader": reader, "delta": packed | {"data": base64.b64encode(part).decode()}}
                for reader, part in zip(readers, parts, strict=True)
            ]
        }
        return answer

    return {"maps": change}
