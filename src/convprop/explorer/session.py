"""What one page looks at: a network of its own, an image, and the training between two looks."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convprop.checks import is_integer
from convprop.data.dataset import Dataset
from convprop.data.image_files import resize_images
from convprop.data.normalise import normalisation
from convprop.errors import TrainingDiverged, invalid
from convprop.explain import Explainer
from convprop.explain.place import check_index
from convprop.network import Network
from convprop.optimizers import OPTIMIZERS, Optimizer, OptimizerState
from convprop.parameters import first_values
from convprop.schedules import Constant
from convprop.training.batches import Batches, Data
from convprop.training.course import Course
from convprop.training.run import Run

Array = NDArray[Any]

BATCH_SIZE = 32
MOST_STEPS = 20
"""Of one request: what keeps a small network's answer within a tenth of a second."""
MOST_SECONDS = 0.5
"""Of one request: of a large network as many steps as fit, so that the server can end soon."""
MOST_MOMENTS = 120
"""Copies of the weights that the way back in time keeps."""
MOST_MOMENT_BYTES = 32 << 20


@dataclass
class Moment:
    """The network after some steps, to go back to."""

    step: int
    loss: float
    weights: list[Array]
    optimizer: Optimizer
    state: OptimizerState


class Session:
    """One page's network, image and training.

    Parameters
    ----------
    net : Network
        Copied.
    data : Dataset
        Its images can be chosen, and are trained on.
    optimizer : Optimizer
        What training begins with.
    index : int
        Of the first image.
    fresh : bool
        Whether the network has not been trained yet.
    """

    def __init__(
        self,
        net: Network,
        data: Dataset,
        optimizer: Optimizer,
        *,
        index: int = 0,
        fresh: bool = False,
    ) -> None:
        self.net = copy.deepcopy(net)
        # The page has labels for targets, and shows the outputs as they are.
        self.net.target_scaling = None
        self.data = data
        self.optimizer = optimizer
        self._pass: Explainer | None = None
        self._epoch: tuple[int, list[NDArray[np.int64]]] | None = None
        self.choose(index)
        self._begin(fresh)

    # ---- The image ----

    def choose(self, index: object, label: object = None) -> None:
        """Take an image of the data, and its label, unless another one is given."""
        row = check_index("index", index, len(self.data))
        target = int(self.data.labels[row]) if label is None else self._checked(label)
        self.index: int | None = row
        self._take(self.data.images[row : row + 1], target)

    def draw(self, pixels: Array) -> None:
        """Take pixels (C, H, W) of 0 ... 1, drawn or uploaded, stretched to the network's size.

        0 is what the data's smallest pixel is, 1 what its largest is. The label stays.
        """
        images = resize_images(pixels[np.newaxis].astype(np.float32), self.net.input_shape[1:])
        channels = self.net.input_shape[0]
        if images.shape[1] != channels:
            grey = images.mean(axis=1, keepdims=True)
            images = np.repeat(grey, channels, axis=1)
        low, high = self.range
        scaled = low + np.clip(images, 0, 1) * (high - low)
        dtype = self.data.images.dtype
        if dtype == np.uint8:
            scaled = np.rint(scaled)
        self.index = None
        self._take(np.ascontiguousarray(scaled.astype(dtype)), self.label)

    def invert(self) -> None:
        """Turn the image's light into dark: a digit on paper into one like the data's."""
        low, high = self.range
        inverted = np.clip(low + high - self.image.astype(np.float32), low, high)
        self.index = None
        self._take(inverted.astype(self.image.dtype), self.label)

    def label_as(self, label: object) -> None:
        """Take another label for the image: the target of its loss."""
        self._take(self.image, self._checked(label))

    @property
    def relabelled(self) -> bool:
        """Whether the image's target is another one than the data's."""
        return self.index is not None and self.label != int(self.data.labels[self.index])

    def _checked(self, label: object) -> int:
        return check_index("label", label, max(self.net.outputs, 2))

    def _take(self, image: Array, label: int) -> None:
        self.image, self.label = image, label
        self._pass = None

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest pixel of the first images."""
        some = self.data.images[:256]
        return float(some.min()), float(some.max())

    @property
    def explainer(self) -> Explainer:
        """The image's pass through the network as it is now."""
        if self._pass is None:
            self._pass = Explainer(self.net, self.image, np.array([self.label], np.int32))
        return self._pass

    # ---- Training ----

    def _begin(self, fresh: bool) -> None:
        """Be at step 0, with the weights that the network has."""
        self.fresh = fresh
        self.state = OptimizerState()
        self.step = 0
        self.moments: list[Moment] = []
        self._pass = None
        self._remember(self.explainer.done.loss)

    def start_anew(self) -> None:
        """Take fresh weights, those that the network's seed gives; forget the training."""
        values = first_values(self.net.graph, self.net.seed, self.net.dtype)
        for name, array in self.net.parameters.items():
            array[...] = values[name]
        self._begin(fresh=True)

    def train(self, steps: object, optimizer: Optimizer) -> list[float]:
        """Take some steps on the data, a batch each; return each batch's loss.

        They are fewer where they take more than MOST_SECONDS.

        Raises
        ------
        InvalidInput
            Steps that are no integer in 1 .. MOST_STEPS.
        TrainingDiverged
            The network is as it was before.
        """
        if not is_integer(steps, 1) or int(steps) > MOST_STEPS:
            raise invalid("steps", f"be an integer in 1 .. {MOST_STEPS}", repr(steps))
        if type(optimizer) is not type(self.optimizer):
            self.state = OptimizerState()
        self.optimizer = optimizer
        self.moments = [moment for moment in self.moments if moment.step <= self.step]
        self._pass = None
        began = self.step
        try:
            losses: list[float] = []
            run, until = self._run(), time.monotonic() + MOST_SECONDS
            while len(losses) < int(steps) and not (losses and time.monotonic() > until):
                losses.append(run.step(self._rows(run.batches)).loss)
                self.step += 1
        except TrainingDiverged:
            failed = self.step + 1
            # What the optimizer has gathered by then is as infinite as the loss.
            self.go_back(began)
            message = f"the loss is no number any more at step {failed}: a smaller learning rate"
            raise TrainingDiverged(
                f"{message} may help; the network is again as after step {self.step}"
            ) from None
        self._remember(losses[-1])
        return losses

    def _run(self) -> Run:
        """Return the training that goes on from where this one is."""
        net, data = self.net, self.data
        if net.normalisation is None:
            net.normalisation = normalisation(data.images)
        # Labels are classes here, whatever the network's loss makes of its outputs.
        wanted = np.eye(max(net.outputs, 2), dtype=net.dtype)[data.labels][:, -net.outputs :]
        targets = np.ascontiguousarray(wanted)
        course = Course(self.optimizer, Constant(), 1, BATCH_SIZE, net.seed)
        return Run(net, course, Data(data.images, targets, labels=False), state=self.state)

    def _rows(self, batches: Batches) -> NDArray[np.int64]:
        """Return the next batch's rows."""
        epoch, batch = divmod(self.step, batches.per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, batches.rows_of(epoch + 1)
        return self._epoch[1][batch]

    def _remember(self, loss: float) -> None:
        weights = [array.copy() for array in self.net.parameters.values()]
        self.moments.append(
            Moment(self.step, loss, weights, self.optimizer, copy.deepcopy(self.state))
        )
        each = sum(array.nbytes for array in (*weights, *self.state.arrays))
        most = max(min(MOST_MOMENTS, MOST_MOMENT_BYTES // max(each, 1)), 4)
        if len(self.moments) > most:
            # The first and the last stay, and of those between every other one.
            self.moments = [*self.moments[:-1:2], self.moments[-1]]

    def go_back(self, step: object) -> int:
        """Be as after the remembered step nearest to ``step``; return which one that is."""
        if not is_integer(step, 0):
            raise invalid("step", "be an integer of at least 0", repr(step))
        moment = min(self.moments, key=lambda moment: abs(moment.step - int(step)))
        for live, array in zip(self.net.parameters.values(), moment.weights, strict=True):
            live[...] = array
        self.state = copy.deepcopy(moment.state)
        self.optimizer, self.step = moment.optimizer, moment.step
        self._pass = None
        return moment.step


def optimizer_named(kind: object, learning_rate: object) -> Optimizer:
    """Return an optimizer by its kind, with that learning rate."""
    if not isinstance(kind, str) or kind not in OPTIMIZERS:
        raise invalid("optimizer", f"be one of {', '.join(OPTIMIZERS)}", repr(kind))
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, int | float):
        raise invalid("learning_rate", "be a number", repr(learning_rate))
    return OPTIMIZERS[kind](learning_rate=learning_rate)
