"""Networks: layers in order, their parameters by name, and what goes forward and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from convprop.arguments import checks_names
from convprop.attributes import (
    checked_class_names,
    checked_dtype,
    checked_loss,
    checked_normalisation,
    checked_target_scaling,
)
from convprop.checks import flag, seed_number
from convprop.data.arrays import Rows, as_images
from convprop.data.stream import ImageStream, is_stream, prefetched
from convprop.data.value_range import warn_of_range
from convprop.dtypes import is_float
from convprop.errors import OutOfMemory, invalid
from convprop.graph import Graph, Layers, Node, Statistics, graph
from convprop.layers import Layer, Shape
from convprop.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy, SquaredError
from convprop.machine.memory import free_memory
from convprop.machine.native import engine
from convprop.ops.loss import as_weights, taking_part
from convprop.parameters import Parameters, first_values
from convprop.passes import Backpropagation, Evaluation, LayerPass
from convprop.targets import as_targets

if TYPE_CHECKING:
    from os import PathLike

    from convprop.optimizers import Optimizer

Array = NDArray[Any]

# A prediction's images go through the engine in batches: enough blocks of sixteen for many
# threads, as far as the maps of all layers fit into so many bytes. No output depends on it.
PREDICT_BATCH = 256
PREDICT_BYTES = 1 << 28
# Plans of fewer bytes are made without a look at the memory that is free.
CHECKED_BYTES = 1 << 26
# Of more layers a repr leaves out those in the middle.
MOST_SHOWN = 16
# Up to so many have a plan of their own; the engine (kernels/plan/plan.cc) takes them one by one.
FEW_IMAGES = 8


class Network:
    """A convolutional network.

    Parameters
    ----------
    layers : list of Layer, Residual, Parallel and SqueezeExcite, or dict
        In a row, each of which reads the one before it; or nodes by name, each a tuple of its layer
        and of the names of what it reads: ``{"a": (Conv(8, 3), "input"), "b": (ReLU(), "a")}``.
    input_shape : (C, H, W)
    loss : Loss
    seed : int
        0 .. 2**64 - 1; of the first weights, and of training unless it is given another.
    dtype : "float32" or "float64"

    Attributes
    ----------
    layers, names, shapes : tuple
        shapes[0] is the input's, shapes[l] that of layer l's output.
    parameters : Parameters
        By name ("conv1.weight", "conv1.bias", ...): the arrays that training updates.
    training_settings : dict or None
        How it was trained; a model file keeps it.
    target_scaling : (offset, scale) or None
        Of a network that predicts numbers: their unit. Where it is given, targets and what
        ``predict`` returns are numbers in that unit, while the raw outputs and the loss are those
        of (number - offset) / scale, which training learns best where it has a size of about 1.

    Raises
    ------
    InvalidInput
        Layers that do not fit one another; the message traces the shapes.
    """

    @checks_names
    def __init__(
        self,
        layers: Layers,
        input_shape: Sequence[int],
        loss: Loss = SoftmaxCrossEntropy(),
        seed: int = 0,
        dtype: DTypeLike = "float32",
    ) -> None:
        self.graph: Graph = graph(layers, input_shape)
        self.loss = checked_loss(loss, self.graph)
        self.seed = seed_number(seed)
        self.dtype: np.dtype[Any] = checked_dtype(dtype)
        self._parameters = Parameters(first_values(self.graph, self.seed, self.dtype))
        self.training_settings: dict[str, Any] | None = None
        self._normalisation: tuple[Array, Array] | None = None
        self._target_scaling: tuple[Array, Array] | None = None
        self._class_names: tuple[str, ...] | None = None
        self._plans: dict[tuple[str, bool, str], tuple[tuple[int, int, int], Any]] = {}

    @property
    def parameters(self) -> Parameters:
        """The live parameters by name."""
        return self._parameters

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in order."""
        return tuple(node.layer for node in self.graph.nodes)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names."""
        return tuple(node.name for node in self.graph.nodes)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The input's shape and every layer's output shape."""
        return self.graph.shapes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, rows, columns = self.graph.input
        return channels, rows, columns

    @property
    def outputs(self) -> int:
        """K, the number of raw outputs."""
        return self.graph.outputs

    @property
    def normalisation(self) -> tuple[Array, Array] | None:
        """(offset, scale), float64 (C,): the network sees (pixel - offset) * scale. Or None."""
        return self._normalisation

    @normalisation.setter
    def normalisation(self, value: tuple[ArrayLike, ArrayLike] | None) -> None:
        checked = None if value is None else checked_normalisation(value, self.graph, self.dtype)
        self._normalisation = checked

    @property
    def target_scaling(self) -> tuple[Array, Array] | None:
        """(offset, scale), float64 (K,): a number is output * scale + offset. Or None."""
        return self._target_scaling

    @target_scaling.setter
    def target_scaling(self, value: tuple[ArrayLike, ArrayLike] | None) -> None:
        checked = None if value is None else checked_target_scaling(value, self.graph, self.loss)
        self._target_scaling = checked

    @property
    def predicts_numbers(self) -> bool:
        """Whether the outputs are numbers, and not what speaks for classes.

        They are where the loss is the squared error and classes have no names. A network that
        labels have taught by the squared error should be given its ``class_names``.
        """
        if self._target_scaling is not None:
            return True
        return isinstance(self.loss, SquaredError) and self._class_names is None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The classes' names in the order of the outputs, or None."""
        return self._class_names

    @class_names.setter
    def class_names(self, value: Iterable[str] | None) -> None:
        self._class_names = None if value is None else checked_class_names(value, self.graph)

    def __repr__(self) -> str:
        chain = self.graph.is_chain
        layers = [repr(layer) for layer in self.layers]
        if not chain:
            reads = [", ".join(map(repr, self.graph.read_names(n))) for n in self.graph.nodes]
            pairs = zip(self.names, layers, reads, strict=True)
            layers = [f"{name!r}: ({layer}, {read})" for name, layer, read in pairs]
        if len(layers) > MOST_SHOWN:
            layers[MOST_SHOWN - 2 : -1] = [f"... {len(layers) - MOST_SHOWN + 1} more ..."]
        listed = ", ".join(layers)
        listed = f"[{listed}]" if chain else f"{{{listed}}}"
        return f"Network({listed}, input_shape={self.input_shape}, loss={self.loss})"

    def __getstate__(self) -> dict[str, Any]:
        # Plans hold native memory and are made again when needed.
        return self.__dict__ | {"_plans": {}}

    @checks_names
    def set_trainable(self, trainable: bool, *layers: str) -> None:
        """Have some layers trained, or all, or no more; their weights stay as they are.

        Parameters
        ----------
        trainable : bool
            What becomes of ``trainable`` of the layers that have parameters.
        *layers : str
            Their names, where * stands for anything: "conv1", "conv*". None: all layers.

        Raises
        ------
        InvalidInput
            A name that no layer with parameters has.
        """
        self.graph = self.graph.with_trainable(flag("trainable", trainable), layers)
        self.release()

    def plan(
        self, mode: str, batch_size: int, part_size: int = 0, statistics: Statistics = "batch"
    ) -> Any:
        """Return the engine's plan for a mode, bound to the parameters.

        The last one is kept, and besides it the last one for few images. Batches may come in parts
        of at most ``part_size`` images, 0: as a whole.
        """
        key = (batch_size, part_size, engine.get_num_threads())
        what = mode, batch_size <= FEW_IMAGES, statistics
        kept = self._plans.get(what)
        if kept is None or kept[0] != key:
            made = self._made_plan(mode, batch_size, part_size, statistics)
            made.bind(list(self.parameters.values()))
            kept = self._plans[what] = (key, made)
        return kept[1]

    def release(self) -> None:
        """Give back the engine's memory for batches; what needs it again takes it again."""
        self._plans.clear()

    def plan_bytes(
        self,
        mode: str,
        batch_size: int | None = None,
        part_size: int = 0,
        statistics: Statistics = "batch",
    ) -> int:
        """Return the memory that a plan takes; a batch is by default what predictions go in."""
        batch = self.predict_batch() if batch_size is None else batch_size
        try:
            return int(engine.plan_bytes(*self._plan_arguments(mode, batch, part_size, statistics)))
        except MemoryError:
            rule = "take less memory than a process can address"
            raise invalid("batch_size", rule, f"{batch:,} images of these layers") from None

    def _made_plan(self, mode: str, batch_size: int, part_size: int, statistics: Statistics) -> Any:
        """Return a new plan; raise OutOfMemory where it would not fit into what is free.

        The system gives memory as it is written to, and ends a process that writes to more than
        there is.
        """
        size = self.plan_bytes(mode, batch_size, part_size, statistics)
        if size < CHECKED_BYTES or size <= (free_memory() or size):
            arguments = self._plan_arguments(mode, batch_size, part_size, statistics)
            with suppress(MemoryError):
                return engine.Plan(*arguments)
        raise OutOfMemory(f"a batch of {batch_size:,} images takes {size / 1e9:,.1f} GB")

    def _plan_arguments(
        self, mode: str, batch_size: int, part_size: int, statistics: Statistics
    ) -> tuple[Any, ...]:
        return (
            self.dtype.name,
            self.input_shape,
            self.graph.descriptions(statistics),
            self.loss.kind,
            batch_size,
            mode,
            self.loss.reduction,
            self.loss.label_smoothing,
            part_size,
        )

    def lane_normalisation(self) -> tuple[Array, Array]:
        """Return offset and scale in the network's dtype, 0 and 1 where there are none."""
        channels = self.input_shape[0]
        offset, scale = self._normalisation or (np.zeros(channels), np.ones(channels))
        return offset.astype(self.dtype), scale.astype(self.dtype)

    def as_images(self, images: ArrayLike | ImageStream, parameter: str = "images") -> Array:
        """Return images as the engine takes them; raise InvalidInput if they do not fit."""
        source = self.as_source(images, parameter)
        return source if isinstance(source, np.ndarray) else source[np.arange(source.shape[0])]

    def as_source(
        self, images: ArrayLike | ImageStream, parameter: str = "images", rows: Rows = None
    ) -> Array | ImageStream:
        """Return images as ``as_images`` does, but a stream, once it is checked, as it is.

        Of an array only the values of ``rows`` are looked at, if they are given.
        """
        if not is_stream(images):
            array = cast(ArrayLike, images)
            return as_images(array, self.dtype, self.input_shape, parameter, rows=rows)
        if tuple(images.shape[1:]) != self.input_shape or images.shape[0] < 1:
            rule = f"have shape (N, {', '.join(map(str, self.input_shape))})"
            raise invalid(parameter, rule, f"shape {tuple(images.shape)}")
        if images.dtype not in (np.uint8, self.dtype):
            raise invalid(parameter, f"have dtype uint8 or {self.dtype}", images.dtype)
        return images

    def as_weighed(
        self, images: ArrayLike | ImageStream, sample_weight: ArrayLike | None
    ) -> tuple[Array | ImageStream, NDArray[np.float64] | None, Rows]:
        """Return images as ``as_source`` does, their weights, and which of them take part.

        What an image of weight 0 holds decides nothing: it may be NaN, or no byte among bytes.
        """
        shape = getattr(images, "shape", ())
        count = len(images) if isinstance(images, Sequence) else shape[0] if shape else 0
        # Without images, the error is theirs.
        weights = as_weights(sample_weight, count) if count else None
        rows = taking_part(weights)
        return self.as_source(images, rows=rows), weights, rows

    def warn_of_range(
        self, images: Array | ImageStream, parameter: str = "images", rows: Rows = None
    ) -> None:
        """Warn where checked images have other values than those that it was trained on.

        What a network that was never trained is normalised by says nothing of that.
        """
        if self._normalisation is not None and self.training_settings is not None:
            warn_of_range(images, self._normalisation, parameter, rows)

    def as_targets(
        self,
        targets: ArrayLike,
        count: int,
        parameter: str = "targets",
        *,
        training: bool = False,
        rows: Rows = None,
    ) -> Array:
        """Return targets as the engine takes them: int32 (N,) labels or floats (N, K)."""
        return as_targets(
            targets,
            count,
            self.graph,
            self.loss,
            self.dtype,
            parameter,
            training,
            self._target_scaling,
            rows,
        )

    def are_labels(self, targets: ArrayLike) -> bool:
        """Whether targets name classes, so that there is an accuracy."""
        array = np.asarray(targets)
        if self._target_scaling is not None:
            return False
        numbers = isinstance(self.loss, SquaredError) and is_float(array.dtype)
        return array.ndim == 1 and not numbers

    @checks_names
    def forward(self, images: ArrayLike | ImageStream) -> Array:
        """Return the raw outputs of the last layer.

        Parameters
        ----------
        images : array_like or ImageStream
            (N, C, H, W), uint8 or floating; (N, H, W, C) and (N, H, W) are taken too. A stream
            is read some images at a time.

        Returns
        -------
        ndarray
            (N, K), in the network's dtype.
        """
        return self._joined(images, lambda outputs: outputs)

    def _joined(self, images: ArrayLike | ImageStream, of: Callable[[Array], Array]) -> Array:
        """Return what ``of`` makes of every batch's raw outputs, as one array."""
        source = self.as_source(images)
        self.warn_of_range(source)
        joined = None
        for part, outputs in self.forward_batches(source):
            made = of(outputs)
            if len(made) == source.shape[0]:
                return made
            if joined is None:
                joined = np.empty((source.shape[0], *made.shape[1:]), made.dtype)
            joined[part] = made
        assert joined is not None
        return joined

    def forward_batches(
        self, images: Array | ImageStream, indices: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[slice, Array]]:
        """Yield the raw outputs of checked images, or of the rows ``indices`` of them, in order.

        For measures that need no more than a batch of them at a time: with many classes all
        outputs take more memory than all else.

        Yields
        ------
        part, outputs : slice, ndarray
            Which of the images (or of ``indices``) they are of; (n, K), in the network's dtype.
        """
        count = images.shape[0] if indices is None else len(indices)
        size = self.predict_batch()
        parts = [slice(n, min(n + size, count)) for n in range(0, count, size)]
        plan = self.plan("predict", FEW_IMAGES if count <= FEW_IMAGES else size)
        normalisation = self.lane_normalisation()
        if isinstance(images, np.ndarray):
            for part in parts:
                pixels, places = (
                    (images[part], None) if indices is None else (images, indices[part])
                )
                outputs = plan.predict(pixels, places, *normalisation)
                yield part, outputs.reshape(len(outputs), self.outputs)
            return
        rows = np.arange(count) if indices is None else indices
        read = prefetched(images, [rows[part] for part in parts])
        for part, pixels in zip(parts, read, strict=True):
            outputs = plan.predict(pixels, None, *normalisation)
            yield part, outputs.reshape(len(outputs), self.outputs)

    def predict_batch(self) -> int:
        """Return how many images predictions carry at once."""
        image_bytes = self.graph.numbers * self.dtype.itemsize
        return min(max(PREDICT_BYTES // image_bytes // 16 * 16, 16), PREDICT_BATCH)

    @checks_names
    def predict(self, images: ArrayLike | ImageStream) -> Array:
        """Return what the loss makes of the raw outputs, (N, K).

        As a rule probabilities; of a network that predicts numbers, these in the unit of
        ``target_scaling``, as float64 where there is one.
        """
        return self._joined(images, self.prediction_of)

    def prediction_of(self, outputs: Array) -> Array:
        """Return what ``predict`` does, by raw outputs (N, K)."""
        if self._target_scaling is None:
            return self.loss.prediction(outputs)
        offset, scale = self._target_scaling
        # Beside 1.7e9 float32 tells steps of 128 apart.
        numbers: Array = outputs.astype(np.float64) * scale + offset
        return numbers

    @checks_names
    def predict_classes(self, images: ArrayLike | ImageStream) -> NDArray[np.int64]:
        """Return each image's most probable class, (N,)."""
        return self._joined(images, self.classes_of)

    def classes_of(self, outputs: Array) -> NDArray[np.int64]:
        """Return the most probable classes, (N,), by raw outputs (N, K)."""
        if self.outputs > 1:
            classes: NDArray[np.int64] = np.argmax(outputs, axis=1)
            return classes
        threshold = 0.0 if isinstance(self.loss, BinaryCrossEntropy) else 0.5
        return (outputs[:, 0] > threshold).astype(np.int64)

    @checks_names
    def evaluate(
        self,
        images: ArrayLike | ImageStream,
        targets: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Evaluation:
        """Return the (weighted) mean loss of the images, and the accuracy where there are labels.

        Parameters
        ----------
        images : array_like or ImageStream
            As for ``forward``.
        targets : array_like
            (N,) labels, or (N, K) numbers in the unit of ``target_scaling``; (N,) for one output.
        sample_weight : array_like, optional
            (N,) numbers of at least 0; images of weight 0 are left out.
        """
        checked, weights, rows = self.as_weighed(images, sample_weight)
        labels = self.are_labels(targets)
        wanted = self.as_targets(targets, checked.shape[0], rows=rows)
        self.warn_of_range(checked, rows=rows)
        return self.measure(checked, wanted, weights, rows, labels)

    def measure(
        self,
        images: Array | ImageStream,
        targets: Array,
        weights: NDArray[np.float64] | None,
        indices: NDArray[np.int64] | None,
        labels: bool,
    ) -> Evaluation:
        """Evaluate checked arrays, or the rows ``indices`` of them."""
        count = images.shape[0] if indices is None else len(indices)
        # Added up in the end: the order of the sum does not depend on the batches.
        losses, right = np.empty(count), np.empty(count, dtype=bool)
        for part, outputs in self.forward_batches(images, indices):
            wanted = targets[part if indices is None else indices[part]]
            losses[part] = self.losses_of(outputs, wanted)
            if labels:
                right[part] = self.classes_of(outputs) == wanted.reshape(-1)
        weights = weights if weights is None or indices is None else weights[indices]
        loss = float(np.average(losses, weights=weights))
        return Evaluation(loss, float(np.average(right, weights=weights)) if labels else None)

    def losses_of(self, outputs: Array, targets: Array) -> NDArray[np.float64]:
        """Return each image's loss, (N,), by raw outputs (N, K) and checked targets."""
        kind, smoothing = self.loss.kind, self.loss.label_smoothing
        losses, _ = engine.loss(outputs, targets, kind, None, smoothing)
        return losses

    @checks_names
    def backpropagate(
        self,
        images: ArrayLike,
        targets: ArrayLike,
        sample_weight: ArrayLike | None = None,
        statistics: Statistics = "batch",
    ) -> Backpropagation:
        """Carry images forward and the loss's gradient back, and keep everything.

        Dropout is the identity. All images are one batch: every layer's arrays are in memory.

        Parameters
        ----------
        images, targets, sample_weight
            As for ``evaluate``.
        statistics : "batch" or "running"
            Which ones a BatchNorm goes by: those of these images, as in training, or the running
            ones, as in predictions.

        Returns
        -------
        Backpropagation
        """
        loss, gradients, plan = self._pass(images, targets, sample_weight, statistics)
        # The engine gives a row of values as maps of one pixel.
        outputs, deltas = (
            [read(index).reshape(-1, *shape) for index, shape in enumerate(self.shapes)]
            for read in (plan.output, plan.delta)
        )
        passes = tuple(
            LayerPass(
                node.name,
                tuple(outputs[value] for value in node.reads),
                outputs[place + 1],
                deltas[place + 1],
                _own(gradients, node),
            )
            for place, node in enumerate(self.graph.nodes)
        )
        return Backpropagation(loss, passes, deltas[0], gradients)

    @checks_names
    def gradients(
        self,
        images: ArrayLike,
        targets: ArrayLike,
        sample_weight: ArrayLike | None = None,
        statistics: Statistics = "batch",
    ) -> dict[str, Array]:
        """Return dE/d(parameter) by name, as ``backpropagate`` does, of those that are trained."""
        return self._pass(images, targets, sample_weight, statistics)[1]

    def _pass(
        self,
        images: ArrayLike,
        targets: ArrayLike,
        sample_weight: ArrayLike | None,
        statistics: Statistics,
    ) -> tuple[float, dict[str, Array], Any]:
        if statistics not in ("batch", "running"):
            raise invalid("statistics", "be 'batch' or 'running'", repr(statistics))
        checked = self.as_images(images)
        count = len(checked)
        wanted = self.as_targets(targets, count)
        weights = as_weights(sample_weight, count)
        plan = self.plan("inspect", count, statistics=statistics)
        gradients = {name: np.empty_like(self.parameters[name]) for name in self.graph.trained}
        loss, _ = plan.gradients(
            checked,
            None,
            wanted,
            weights,
            *self.lane_normalisation(),
            0,
            self.seed,
            list(gradients.values()),
        )
        return loss, gradients, plan

    def weights_sha256(self) -> str:
        """Return a hash of every parameter's name, shape and bits."""
        import hashlib

        digest = hashlib.sha256()
        for name, array in self.parameters.items():
            digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return digest.hexdigest()

    if TYPE_CHECKING:
        # What leads to modules above this one: convprop/doors.py puts it on.
        def summary(
            self,
            batch_size: int | None = None,
            *,
            images: int | None = None,
            optimizer: Optimizer = ...,
        ) -> str: ...
        def explore(
            self, images: ArrayLike, labels: ArrayLike | None = None, *, height: int = 900
        ) -> Any: ...
        def save(
            self, path: str | PathLike[str], training_settings: dict[str, Any] | None = None
        ) -> None: ...
        @staticmethod
        def load(path: str | PathLike[str]) -> Network: ...


def _own(gradients: dict[str, Array], node: Node) -> dict[str, Array]:
    trained = (part for part, parameter in node.parameters.items() if parameter.trained)
    return {part: gradients[f"{node.name}.{part}"] for part in trained}
