"""JAX: the whole training step jitted, images as NHWC, the old weights' memory given back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from job import Job

Parameters = list[jax.Array]
_ACTIVATIONS = {
    "identity": lambda x: x,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "tanh": jnp.tanh,
}


class Trainer:
    """The network of the job in a file: a pure function of weights, optimizer state and batch."""

    def __init__(self, threads: int, job: str) -> None:
        # JAX has no setting for its threads: it starts one for each processor it may use.
        jax.clear_caches()
        self.job = Job.load(Path(job))
        images = self.job.images.transpose(0, 2, 3, 1)
        self.batches = [
            (jnp.array(images[r]), jnp.array(self.job.labels[r])) for r in self.job.batches()
        ]
        self.most_steps = len(self.batches)
        self.jitted = jax.jit(self._train_step, donate_argnums=(0, 1))

    def run(self, steps: int, after: Callable[[jax.Array], None]) -> None:
        """Train from the job's weights; call `after` with losses that may still be under way."""
        parameters = first = _channels_innermost(self.job)
        slots = 1 if self.job.optimizer["kind"] == "sgd" else 2
        state = [[jnp.zeros_like(p) for p in parameters] for _ in range(slots)]
        for index in range(steps):
            images, labels = self.batches[index]
            parameters, state, loss = self.jitted(parameters, state, images, labels, index + 1)
            if index == 0 and not all(value.is_deleted() for value in first):
                raise RuntimeError("JAX did not take the memory of the old weights")
            after(loss)

    def _loss(
        self, parameters: Parameters, images: jax.Array, labels: jax.Array, step: jax.Array
    ) -> jax.Array:
        outputs = _forward(self.job.layers, parameters, images, jax.random.key(step))
        scores = jax.nn.log_softmax(outputs)
        return -jnp.mean(jnp.take_along_axis(scores, labels[:, None], axis=1))

    def _train_step(
        self,
        parameters: Parameters,
        state: list[Parameters],
        images: jax.Array,
        labels: jax.Array,
        step: jax.Array,
    ) -> tuple[Parameters, list[Parameters], jax.Array]:
        loss, gradients = jax.value_and_grad(self._loss)(parameters, images, labels, step)
        update = {"sgd": _sgd, "adam": _adam}[self.job.optimizer["kind"]]
        parameters, state = update(parameters, gradients, state, self.job.optimizer, step)
        return parameters, state, loss


class Predictor:
    """The network of the job in a file, asked for the probabilities of one NumPy batch."""

    most_steps = sys.maxsize

    def __init__(self, threads: int, job: str) -> None:
        given = Job.load(Path(job))
        parameters = _channels_innermost(given)
        # Memory that is aligned for JAX is read in place.
        self.images = _aligned(given.images.transpose(0, 2, 3, 1))
        forward = jax.jit(
            lambda parameters, images: jax.nn.softmax(
                _forward(given.layers, parameters, images, jax.random.key(0))
            )
        )
        self.predict = partial(forward, parameters)

    def output(self) -> np.ndarray:
        """Return the probabilities."""
        return np.asarray(self.predict(self.images))

    def run(self, steps: int, after: Callable[[float], None]) -> None:
        """Predict so many times; there is no loss to tell `after`."""
        for _ in range(steps):
            self.output()
            after(0.0)


def _aligned(array: np.ndarray) -> np.ndarray:
    """Copy a float32 array to where a whole cache line begins."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    first = -memory.ctypes.data % 64
    copy = memory[first : first + array.nbytes].view(np.float32).reshape(array.shape)
    copy[:] = array
    return copy


def _sgd(
    parameters: Parameters,
    gradients: Parameters,
    state: list[Parameters],
    settings: dict[str, Any],
    step: jax.Array,
) -> tuple[Parameters, list[Parameters]]:
    velocity = [settings["momentum"] * v + g for v, g in zip(state[0], gradients, strict=True)]
    rate = settings["learning_rate"]
    return [p - rate * v for p, v in zip(parameters, velocity, strict=True)], [velocity]


def _adam(
    parameters: Parameters,
    gradients: Parameters,
    state: list[Parameters],
    settings: dict[str, Any],
    step: jax.Array,
) -> tuple[Parameters, list[Parameters]]:
    mean = [0.9 * m + 0.1 * g for m, g in zip(state[0], gradients, strict=True)]
    square = [0.999 * v + 0.001 * g * g for v, g in zip(state[1], gradients, strict=True)]
    rate = settings["learning_rate"] / (1 - 0.9**step)
    root = jnp.sqrt(1 - 0.999**step)
    updated = [
        p - rate * m / (jnp.sqrt(v) / root + 1e-8)
        for p, m, v in zip(parameters, mean, square, strict=True)
    ]
    return updated, [mean, square]


def _forward(
    layers: list[dict[str, Any]], parameters: Parameters, o: jax.Array, key: jax.Array
) -> jax.Array:
    remaining = iter(parameters)
    for number, layer in enumerate(layers):
        match layer["kind"]:
            case "conv":
                o = _conv(layer, o, next(remaining))
                o = o + next(remaining) if layer["bias"] else o
            case "pool" if layer["pool"] == "max":
                window, stride = (1, *layer["size"], 1), (1, *layer["stride"], 1)
                padding = ((0, 0), *_sides(layer), (0, 0))
                o = lax.reduce_window(o, -jnp.inf, lax.max, window, stride, padding)
            case "dense":
                o = o.reshape(len(o), -1) @ next(remaining)
                o = o + next(remaining) if layer["bias"] else o
            case "flatten":
                o = o.reshape(len(o), -1)
            case "dropout":
                kept = jax.random.bernoulli(
                    jax.random.fold_in(key, number), 1 - layer["rate"], o.shape
                )
                o = jnp.where(kept, o / (1 - layer["rate"]), 0)
            case "activation" if layer["activation"] in _ACTIVATIONS:
                o = _ACTIVATIONS[layer["activation"]](o)
            case _:
                raise ValueError(f"no JAX function for {layer}")
    return o


def _conv(layer: dict[str, Any], o: jax.Array, w: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        o,
        w,
        layer["stride"],
        _sides(layer),
        rhs_dilation=layer["dilation"],
        feature_group_count=layer["groups"],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _sides(layer: dict[str, Any]) -> tuple[tuple[int, int], tuple[int, int]]:
    top, bottom, left, right = layer["padding"]
    return (top, bottom), (left, right)


def _channels_innermost(job: Job) -> Parameters:
    """The job's parameters for NHWC images: kernels as HWIO, dense weights as (inputs, units).

    The dense layer that reads maps has its inputs in the order channel, row, column; they are
    put into the order row, column, channel, so that the network stays the same function.
    """
    parameters: Parameters = []
    given = iter(job.parameters)
    maps = jnp.zeros((1, *job.input_shape[1:], job.input_shape[0]))
    for layer in job.layers:
        own = [next(given) for _ in range(1 + layer["bias"])] if "bias" in layer else []
        if layer["kind"] == "conv":
            own[0] = own[0].transpose(2, 3, 1, 0)
        elif layer["kind"] == "dense":
            if maps.ndim == 4:
                h, w, c = maps.shape[1:]
                own[0] = own[0].reshape(-1, c, h, w).transpose(0, 2, 3, 1).reshape(len(own[0]), -1)
            own[0] = own[0].T
        here = [jnp.array(value) for value in own]
        if layer["kind"] != "flatten":
            maps = _forward([layer], here, maps, jax.random.key(0))
        parameters += here
    return parameters
