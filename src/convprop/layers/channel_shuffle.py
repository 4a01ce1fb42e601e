"""The shuffle of channels between grouped convolutions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convprop.checks import positive_integer
from convprop.errors import invalid
from convprop.layers.layer import Layer, Shape, maps_of


@dataclass(frozen=True, repr=False)
class ChannelShuffle(Layer):
    """The channels in another order: the first of each group, then the second of each, and so on.

    So each group of a grouped convolution behind it sees channels of all groups of the one before.

    Parameters
    ----------
    groups : int
        Those of the convolution before; it divides the channels.
    """

    kind = family = "channel_shuffle"
    source = "Zhang, Zhou, Lin and Sun, ShuffleNet, CVPR 2018, Section 3.1"
    positional = ("groups",)

    groups: int

    def __post_init__(self) -> None:
        self._set(groups=positive_integer("groups", self.groups))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input; raise InvalidInput unless it has groups of channels."""
        channels, _ = maps_of(inputs[0])
        if channels % self.groups:
            raise invalid("groups", f"divide the {channels} input channels", self.groups)
        return inputs[0]

    def native(self, *inputs: Shape) -> dict[str, Any]:
        """Return the description that the engine takes."""
        return {"kind": "channel_shuffle", "groups": self.groups}
