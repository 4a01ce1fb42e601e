"""The softmax as a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convprop.layers.layer import Layer, Shape


@dataclass(frozen=True, repr=False)
class Softmax(Layer):
    """At each pixel exp(x_c) / sum_k exp(x_k) over the channels, of a row over its values.

    Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990;
    PyTorch's and ONNX's Softmax along axis 1. It is for the inside of a network, as for
    attention: ``SoftmaxCrossEntropy`` takes its own softmax of the last layer's outputs, which
    are to be raw.
    """

    kind = family = "softmax"
    source = "Bridle, Probabilistic interpretation of feedforward classification outputs, 1990"
    rectifies = False
    reads_output = True

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": "softmax"}
