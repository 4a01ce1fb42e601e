"""What each layer that reads a value sends back to it: whole arrays, by the engine's operations."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from convprop import ops
from convprop.explain.batch_norm import scales
from convprop.explain.factor import described
from convprop.explain.place import Place
from convprop.explain.sums import flushed

Array = NDArray[Any]


def sent(place: Place) -> Array:
    """Return the delta that a node sends to the value that the place is of, in that one's shape."""
    layer, native, delta = place.node.layer, place.node.native, place.delta
    match layer.family:
        case "conv":
            options = _chosen(native, "stride", "padding", "dilation", "groups", "flip_kernel")
            size = place.o.shape[2], place.o.shape[3]
            return ops.conv.input_delta(
                delta, place.parameter("weight"), input_size=size, **options
            )
        case "dense":
            back = ops.dense.input_delta(delta, place.parameter("weight"))
            return back.reshape(place.o.shape)
        case "pool":
            options = ops.pool.options_of(native)
            return ops.pool.input_delta(delta, place.o, native["pool"], **options)
        case "batch_norm":
            each = scales(place).reshape(-1, *[1] * (delta.ndim - 2))
            return flushed(each * delta)
        case "group_norm" | "layer_norm":
            weight = place.parameter("weight") if place.has("weight") else None
            options = {"groups": native.get("groups"), "epsilon": native["epsilon"]}
            return ops.image_norm.input_delta(delta, place.o, weight, **options)
        case "local_response_norm":
            options = _chosen(native, "size", "alpha", "beta", "k")
            return ops.local_response_norm.input_delta(delta, place.o, **options)
        case "channel_shuffle":
            return ops.channel_shuffle.input_delta(delta, native["groups"])
        case "activation":
            kind, settings = described(native)
            return ops.activation.input_delta(delta, place.x, kind, x=place.o, **settings)
        case "prelu":
            return ops.prelu.input_delta(delta, place.o, place.parameter("slope"))
        case "softmax":
            return ops.softmax.input_delta(delta, place.x)
        case "add" | "multiply" | "concat":
            inputs = place.done.layers[place.index].inputs
            return ops.join.input_delta(delta, inputs, layer.family)[place.read]
        case _:
            return delta.reshape(place.o.shape)


def _chosen(native: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: native[name] for name in names}
