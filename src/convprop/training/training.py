"""Training: epochs of shuffled batches, with the same bits however and wherever it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convprop.arguments import checks_names
from convprop.checks import flag, is_integer, number, positive, positive_integer, seed_number
from convprop.data.arrays import stratified_split
from convprop.data.normalise import normalisation
from convprop.data.stream import ImageStream
from convprop.errors import InvalidInput, invalid
from convprop.network import Network
from convprop.optimizers import Adam, Optimizer, OptimizerState
from convprop.schedules import Constant, Schedule
from convprop.training.augmentation import Augment
from convprop.training.batches import Data
from convprop.training.checkpoint import Checkpoints
from convprop.training.course import Course
from convprop.training.lookahead import Lookahead
from convprop.training.records import BatchRecord, EpochRecord, History
from convprop.training.run import Hooks, Run
from convprop.training.stopping import EarlyStopping

Array = NDArray[Any]

LANES = 16
"""Images of a block, which no part of a batch divides."""

__all__ = ["BatchRecord", "EpochRecord", "History", "train"]


@checks_names
def train(
    network: Network,
    images: ArrayLike | ImageStream,
    labels: ArrayLike,
    *,
    optimizer: Optimizer = Adam(1e-3),
    schedule: Schedule | None = None,
    epochs: int = 5,
    batch_size: int = 64,
    seed: int | None = None,
    validation: float | tuple[ArrayLike | ImageStream, ArrayLike] | None = None,
    shuffle: bool = True,
    sample_weight: ArrayLike | None = None,
    class_weight: Literal["balanced"] | Mapping[int, float] | None = None,
    balanced_batches: bool = False,
    normalise: bool = True,
    augment: Augment | None = None,
    stopping: EarlyStopping | None = None,
    clip_norm: float | None = None,
    average: float | None = None,
    lookahead: Lookahead | None = None,
    micro_batch: int | None = None,
    state: OptimizerState | None = None,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    on_start: Callable[[History], object] | None = None,
    on_batch: Callable[[BatchRecord], object] | None = None,
    on_epoch: Callable[[EpochRecord], object] | None = None,
) -> History:
    """Train a network, in place.

    Everything given is checked before anything is changed. The weights depend on the network,
    the data and the arguments alone, and not on threads, machine or an interruption after
    the step.

    Parameters
    ----------
    network : Network
    images : array_like or ImageStream
        (N, C, H, W), (N, H, W, C) or (N, H, W); uint8 stays uint8. A stream is read batch by
        batch.
    labels : array_like
        (N,) integers in 0..K-1; or (N, K) floats, (N,) for one output, in the unit of the
        network's ``target_scaling``.
    optimizer : Optimizer
    schedule : Schedule, optional
        Its factor multiplies the optimizer's learning rate at each step.
    epochs, batch_size : int
        The last batch of an epoch has what is left.
    seed : int, optional
        Of the shuffling, the held-out part, the augmentation and dropout; None: the network's.
    validation : float or (images, labels), optional
        What is measured after each epoch; a float holds out that fraction of every class.
    shuffle : bool
        A new order each epoch; False: the order given.
    sample_weight : array_like, optional
        (N,) numbers of at least 0. An image of weight 0 takes no part: split, normalisation,
        batches and weights are those of the others alone, to the bit.
    class_weight : "balanced" or mapping, optional
        What multiplies the weights of a class's training images: N / (K times its images), or
        the mapping's number for its label.
    balanced_batches : bool
        Take images of every class equally often; rare ones come several times in an epoch. It
        needs shuffle.
    normalise : bool
        If the network has no normalisation yet, give it the training images' channel means
        and standard deviations; for these a stream is read once more, before the first epoch.
    augment : Augment, optional
        What happens to training images by chance.
    stopping : EarlyStopping, optional
        When to end before the last epoch.
    clip_norm : float, optional
        Where the norm of all gradients together is larger, they are scaled down to it; Pascanu,
        Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
    average : float, optional
        Measure and keep, instead of the weights, their running mean: after each step this
        share of what it was, and the rest of the new weights; Polyak and Juditsky, 1992.
    lookahead : Lookahead, optional
        Slow weights, which go a part of the way to the others every few steps.
    micro_batch : int, optional
        Take a batch in parts of so many images, a multiple of 16, one after the other: for batches
        that do not fit into memory. The weights are the same, to the bit.
    state : OptimizerState, optional
        What an earlier training has filled and this one goes on with, and fills in its turn.
    checkpoints : Checkpoints, optional
        Where and how often to write the training's state; also after a KeyboardInterrupt. One
        that cannot be written is left out, with a CheckpointWarning.
    resume : bool
        Go on from the newest good checkpoint, or begin where there is none. Everything else
        must be as it was; the weights end as if there had been no interruption.
    on_start : callable, optional
        Called before the first step with a History: empty, or of what is gone on from.
    on_batch, on_epoch : callable, optional
        Called after each step with a BatchRecord, after each epoch with an EpochRecord. The
        training ends where one returns True; an exception ends it too and comes through.

    Returns
    -------
    History
        A KeyboardInterrupt, in a hook or from the keyboard, ends the training with
        ``interrupted`` set and what was learned kept.

    Raises
    ------
    InvalidInput
        Before anything is done.
    DataError
        From a stream; the network keeps what it has learned by then.
    TrainingDiverged
        The loss or a weight is NaN or infinite. The network holds its last good weights.
    """
    if not isinstance(network, Network):
        raise invalid("network", "be a Network", repr(network))
    _instance("optimizer", optimizer, Optimizer, "be one of convprop.optimizers")
    schedule = Constant() if schedule is None else schedule
    _instance("schedule", schedule, Schedule, "be None or one of convprop.schedules")
    for name, value, kind in (
        ("augment", augment, Augment),
        ("stopping", stopping, EarlyStopping),
        ("lookahead", lookahead, Lookahead),
        ("checkpoints", checkpoints, Checkpoints),
        ("state", state, OptimizerState),
    ):
        if value is not None:
            _instance(name, value, kind, f"be None or {kind.__name__}(...)")
    course = Course(
        optimizer,
        schedule,
        positive_integer("epochs", epochs),
        positive_integer("batch_size", batch_size),
        network.seed if seed is None else seed_number(seed),
        flag("shuffle", shuffle),
        augment,
        stopping,
        None if clip_norm is None else positive("clip_norm", clip_norm),
        None if average is None else _share("average", average),
        flag("balanced_batches", balanced_batches),
        lookahead,
    )
    flag("normalise", normalise)
    if flag("resume", resume) and checkpoints is None:
        raise invalid("checkpoints", "be given to resume", "None")
    if state is not None and checkpoints is not None:
        raise invalid("checkpoints", "be None where a state is given", repr(checkpoints))
    if not network.graph.trained:
        raise invalid("network", "have a parameter that is trained", "none")
    optimizer.factors(network.graph.parameters)
    hooks = Hooks(on_batch, on_epoch, on_start)
    for parameter, hook in vars(hooks).items():
        if hook is not None and not callable(hook):
            raise invalid(parameter, "be None or callable", repr(hook))
    _check_agreement(course)
    if micro_batch is not None:
        micro_batch = positive_integer("micro_batch", micro_batch)
        waiting = [n.name for n in network.graph.nodes if n.native.get("statistics") == "batch"]
        if waiting:
            rule = f"be left out beside {waiting[0]}, whose statistics are of whole batches"
            raise invalid("micro_batch", rule, f"{micro_batch}: BatchNorm(over=16)?")
        if micro_batch % LANES or micro_batch >= course.batch_size:
            rule = f"be a multiple of {LANES} below the batch_size, {course.batch_size}"
            raise invalid("micro_batch", rule, micro_batch)
    training, held_out = _sets(network, images, labels, validation, sample_weight, course.seed)
    _weigh_classes(training, class_weight)
    if balanced_batches and training.targets.ndim != 1:
        raise invalid("balanced_batches", "be False where targets are no labels", "True")
    if stopping is not None and held_out is None and stopping.measure != "loss":
        raise invalid("validation", f"be given for {stopping}", "None")
    no_labels = held_out is not None and not held_out.labels
    if stopping is not None and stopping.measure == "validation_accuracy" and no_labels:
        rule = "have another measure where the targets of validation are no labels"
        raise invalid("stopping", rule, repr(stopping))
    if checkpoints is not None:
        checkpoints.check(resume)
    before = network.normalisation, network.training_settings
    network.warn_of_range(training.images, rows=training.rows)
    if normalise and network.normalisation is None:
        network.normalisation = normalisation(training.images, training.rows)
    network.training_settings = course.settings()
    if isinstance(validation, tuple) and held_out is not None:
        network.warn_of_range(held_out.images, "validation images")
    run = Run(
        network,
        course,
        training,
        held_out,
        hooks,
        checkpoints,
        state or OptimizerState(),
        micro_batch=micro_batch,
    )
    if resume:
        try:
            run.resume()
        except InvalidInput:
            network.normalisation, network.training_settings = before
            raise
    return run.start()


def _instance(parameter: str, value: object, kind: type, rule: str) -> None:
    if not isinstance(value, kind):
        raise invalid(parameter, rule, repr(value))


def _check_agreement(course: Course) -> None:
    """Raise InvalidInput that names both of two settings of which one would have no effect."""
    if course.balanced and not course.shuffle:
        rule = "be True with balanced_batches=True, which takes images in an order of its own"
        raise invalid("shuffle", rule, "False")
    if course.augment is not None and course.augment.mixup and course.batch_size == 1:
        rule = "be at least 2 with mixup, which mixes images of a batch"
        raise invalid("batch_size", rule, 1)


def _share(parameter: str, value: object) -> float:
    return number(parameter, value, "be a number above 0 and below 1", math.ulp(0.0), 1.0)


def _sets(
    network: Network,
    images: ArrayLike | ImageStream,
    labels: ArrayLike,
    validation: float | tuple[ArrayLike | ImageStream, ArrayLike] | None,
    sample_weight: ArrayLike | None,
    seed: int,
) -> tuple[Data, Data | None]:
    """Return the checked training set and what is held out of it or given for validation."""
    checked, weights, taking_part = network.as_weighed(images, sample_weight)
    count = checked.shape[0]
    named = network.are_labels(labels)
    targets = network.as_targets(labels, count, "labels", training=True, rows=taking_part)
    training = Data(checked, targets, named, weights, taking_part)
    held_out = None
    if isinstance(validation, tuple) and len(validation) == 2:
        others = network.as_source(validation[0], "validation images")
        named = network.are_labels(validation[1])
        wanted = network.as_targets(validation[1], others.shape[0], "validation labels")
        held_out = Data(others, wanted, named)
    elif validation is not None:
        rule = "be None, (images, labels) or a number above 0 and below 1"
        fraction = number("validation", validation, rule, math.ulp(0.0), 1.0)
        rows = np.arange(count) if taking_part is None else taking_part
        classes = targets[rows] if targets.ndim == 1 else np.zeros(len(rows), dtype=np.int32)
        kept, measured = stratified_split(classes, fraction, seed)
        training.rows, held_out_rows = rows[kept], rows[measured]
        held_out = Data(checked, targets, named, weights, held_out_rows)
    return training, held_out


def _weigh_classes(
    training: Data, class_weight: Literal["balanced"] | Mapping[int, float] | None
) -> None:
    """Multiply the images' weights by those of their classes."""
    if class_weight is None:
        return
    targets = training.targets
    if targets.ndim != 1:
        raise invalid("class_weight", "be None where targets are no labels", repr(class_weight))
    rows = slice(None) if training.rows is None else training.rows
    present, counts = np.unique(targets[rows], return_counts=True)
    known = np.unique(targets)
    factors = np.ones(int(known[-1]) + 1)
    if isinstance(class_weight, Mapping):
        for label, weight in class_weight.items():
            if not is_integer(label, 0) or label not in known:
                raise invalid("class_weight", "name classes of the labels", repr(label))
            factors[label] = positive("class_weight", weight)
    elif isinstance(class_weight, str) and class_weight == "balanced":
        factors[present] = counts.sum() / (len(present) * counts)
    else:
        raise invalid("class_weight", "be None, 'balanced' or a mapping", repr(class_weight))
    weights = np.ones(len(targets)) if training.weights is None else training.weights
    training.weights = weights * factors[targets]
