"""What the two estimators have in common: training, features, the table in HTML."""

from __future__ import annotations

import copy
import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from convprop.about import html_forms
from convprop.auto import auto_layers
from convprop.data.arrays import Array, stratified_split
from convprop.data.normalise import weighted_normalisation
from convprop.errors import invalid
from convprop.estimators.agreement import check_agreement, snapshot
from convprop.estimators.images import Received
from convprop.estimators.settings import Settings
from convprop.estimators.versions import CallbackSupportMixin, Progress
from convprop.graph import Graph, Layers
from convprop.layers import Flatten
from convprop.losses import Loss, SquaredError
from convprop.network import Network
from convprop.optimizers import Optimizer, OptimizerState
from convprop.presets import preset_layers
from convprop.schedules import Constant
from convprop.training import train
from convprop.training.records import EpochRecord
from convprop.training.stopping import EarlyStopping

Fit = TypeVar("Fit", bound=Callable[..., Any])


def leaves_what_was_fitted(fit: Fit) -> Fit:
    """Let a fit that leaves no new network leave what an earlier one has said of X, too."""

    @functools.wraps(fit)
    def safe(self: Any, *arguments: Any, **options: Any) -> Any:
        names = ("n_features_in_", "feature_names_in_")
        before = {name: vars(self)[name] for name in names if name in vars(self)}
        network = getattr(self, "network_", None)
        self._check_settings()
        check_agreement(self, options["partly"])
        try:
            return fit(self, *arguments, **options)
        except BaseException:
            if network is not None and self.network_ is network:
                for name in names:
                    vars(self).pop(name, None)
                vars(self).update(before)
            raise

    return cast(Fit, safe)


@dataclasses.dataclass
class Task:
    """One training, as the classifier or the regressor has prepared it.

    Attributes
    ----------
    images : ndarray
        (N, C, H, W).
    targets : ndarray
        int32 (N,) or float64 (N, K).
    outputs : int
    weights : ndarray or None
    given : tuple
        X, y and sample_weight as the callbacks get them.
    fitted : dict
        What the estimator will know besides the network, by attribute.
    partly : bool
        One more epoch for the network there is.
    names : list of str or None
        Of the classes.
    stopping : EarlyStopping or None
    """

    images: Array
    targets: Array
    outputs: int
    weights: NDArray[np.float64] | None
    given: tuple[Any, Any, Any]
    fitted: dict[str, Any]
    partly: bool
    names: list[str] | None = None
    stopping: EarlyStopping | None = None

    @property
    def rows(self) -> NDArray[np.int64]:
        """Which images take part: those of weight above 0."""
        return np.arange(len(self.images)) if self.weights is None else np.flatnonzero(self.weights)


class ConvNet(
    ClassNamePrefixFeaturesOutMixin, CallbackSupportMixin, TransformerMixin, Settings, ABC
):
    """The base of both estimators."""

    network_: Network
    _made_of: Any

    def __sklearn_is_fitted__(self) -> bool:
        # A fit that failed has left n_features_in_.
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ---- Training ----

    def _going_on(self, partly: bool) -> bool:
        """Whether a fit goes on with the network there is."""
        return (partly or self.warm_start) and hasattr(self, "network_")

    def _train(self, task: Task) -> Self:
        """Make the network, unless it goes on with the one there is, and train it."""
        partly, count = task.partly, len(task.rows)
        batch_size = self._batch_size(count)
        epochs = 1 if partly else self._epochs(count, batch_size)
        if self._going_on(partly):
            network, seen = self.network_, self.t_
            curve = self.loss_curve_ if partly else []
        else:
            network, seen, curve = self._network(task, self._seed()), 0, []
        counted = self._images_counted(task, network.seed)
        optimizer = self._trained_by(min(self._batch_size(counted), counted))
        if self.early_stopping and not partly:
            task.stopping = self._stopping(task, network.seed)
        records: list[EpochRecord] = []

        def fitted() -> dict[str, Any]:
            return self._attributes(copy.deepcopy(network), records, task, seen, curve)

        state = self._optimizer_state(optimizer) if partly else None
        X, y, sample_weight = task.given
        progress = None
        if not partly:
            progress = Progress(self, epochs, X, y, sample_weight, fitted)

        def on_epoch(record: EpochRecord) -> bool:
            records.append(record)
            if self.verbose:
                print(_line(record), flush=True)
            return progress is not None and progress.end_epoch()

        try:
            history = train(
                network,
                task.images,
                task.targets,
                optimizer=optimizer,
                schedule=Constant() if partly else self._schedule(),
                epochs=epochs,
                batch_size=batch_size,
                validation=None if task.stopping is None else self.validation_fraction,
                shuffle=self.shuffle,
                sample_weight=task.weights,
                augment=self.augment,
                stopping=task.stopping,
                clip_norm=self.clip_norm,
                average=self.average,
                state=state,
                on_epoch=on_epoch,
            )
        finally:
            network.release()
        if history:
            for name, value in self._attributes(network, history, task, seen, curve).items():
                setattr(self, name, value)
            self._state = state
        if history.interrupted:
            # What is learned by then is kept, but not returned as if it were all: a search would
            # rank it beside trainings of all epochs, and go on with the next one.
            raise KeyboardInterrupt
        if progress is not None:
            progress.end()
        return self

    def _images_counted(self, task: Task, seed: int) -> int:
        """Return how many images are trained on, where one of weight 2 is two images."""
        rows = task.rows
        if self.early_stopping and not task.partly:
            classes = task.targets[rows] if task.targets.ndim == 1 else np.zeros(len(rows))
            rows = rows[stratified_split(classes, self.validation_fraction, seed)[0]]
        if task.weights is None:
            return len(rows)
        weights = task.weights[rows]
        # Weights below 1 are shares, as where their sum is 1: they make no fewer images.
        return max(int(np.count_nonzero(weights)), round(float(weights.sum())), 1)

    def _optimizer_state(self, optimizer: Optimizer) -> OptimizerState:
        """Return what the last partial_fit has left, or a new one."""
        state: OptimizerState | None = getattr(self, "_state", None)
        if (
            state is None
            or not self._going_on(True)
            or type(state.optimizer) is not type(optimizer)
        ):
            return OptimizerState()
        return state

    def _network(self, task: Task, seed: int) -> Network:
        preset, outputs = self._preset(), task.outputs
        layers: Layers
        _, channels, height, width = task.images.shape
        shape = (channels, height, width)
        if preset is not None:
            layers = preset_layers(preset, shape, outputs)
        elif isinstance(self.network, str):
            # Where all images are one batch, nothing is left to chance: an image of weight 2 is
            # two images.
            several = len(task.rows) > self._batch_size(len(task.rows))
            layers = auto_layers(shape, outputs, dropout=several and task.names is not None)
        else:
            layers = self.network
        dtype = "float64" if task.images.dtype == np.float64 else "float32"
        network = Network(layers, shape, self._loss(), seed, dtype)
        if network.outputs != outputs:
            rule = f"end with {outputs} outputs for this y"
            raise invalid("network", rule, f"{network.outputs}: {network.graph.trace()}")
        network.class_names = task.names
        if task.names is None:
            network.target_scaling = task.fitted["target_mean_"], task.fitted["target_scale_"]
        # Where all weigh 1, training does it.
        if task.weights is not None and (task.weights[task.rows] != 1).any():
            network.normalisation = weighted_normalisation(task.images, task.weights)
        return network

    @abstractmethod
    def _loss(self) -> Loss:
        """Return what a new network makes small."""

    @abstractmethod
    def _stopping(self, task: Task, seed: int) -> EarlyStopping:
        """Return when to stop; the seed chooses what is held out."""

    def _attributes(
        self,
        network: Network,
        records: list[EpochRecord],
        task: Task,
        seen: int,
        curve: list[float],
    ) -> dict[str, Any]:
        """Return what fit leaves on the estimator."""
        losses = [*curve, *(record.loss for record in records)]
        attributes = {
            **task.fitted,
            "network_": network,
            "_made_of": snapshot(self.network),
            "loss_curve_": losses,
            "loss_": losses[-1],
            "best_loss_": min(losses),
            "n_iter_": len(losses),
            "t_": seen + len(task.rows) * len(records),
            "validation_scores_": None,
            "best_validation_score_": None,
        }
        if task.stopping is not None:
            scores = self._scores(records, task)
            # Of a copy while training goes on, the weights are those of the last epoch.
            epoch = getattr(records, "best_epoch", None) or len(scores)
            attributes |= {
                "best_loss_": None,
                "validation_scores_": scores,
                "best_validation_score_": scores[epoch - 1],
            }
        return attributes

    @abstractmethod
    def _scores(self, records: list[EpochRecord], task: Task) -> list[float]:
        """Return what `score` says of the held-out part after each epoch."""

    # ---- Use ----

    def _images(self, X: Any) -> Array:
        """Return X as the fitted network takes it."""
        check_is_fitted(self)
        return Received(self, X, self.network_.input_shape).images()

    def _outputs(self, X: Any) -> Array:
        """Return the network's raw outputs, (n, K)."""
        images = self._images(X)
        return self.network_.forward(images)

    def transform(self, X: Any) -> Array:
        """Return what the layer before the last one gives for each image.

        Parameters
        ----------
        X : array_like
            As for fit.

        Returns
        -------
        ndarray of shape (n, features)
        """
        images = self._images(X)
        return self._features().forward(images)

    def _features(self) -> Network:
        """Return the network without its last layer, with the same parameters."""
        whole = self.network_
        before = Graph(whole.graph.input, whole.graph.nodes[:-1])
        layers = before if before.nodes else [Flatten()]
        features = Network(layers, whole.input_shape, SquaredError(), dtype=whole.dtype)
        for name in features.parameters:
            features.parameters[name] = whole.parameters[name]
        features.normalisation = whole.normalisation
        features.training_settings = whole.training_settings
        return features

    @property
    def _n_features_out(self) -> int:
        return int(np.prod(self.network_.shapes[-2]))

    # ---- HTML ----

    def _repr_html_inner(self) -> str:
        return str(super()._repr_html_inner()) + self._table()

    def _repr_mimebundle_(self, **settings: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**settings)
        if "text/html" in bundle:
            bundle["text/html"] += self._table()
        return bundle

    def _table(self) -> str:
        return html_forms.network(self.network_) if hasattr(self, "network_") else ""


def _line(record: EpochRecord) -> str:
    """Return what verbose says of an epoch."""
    measured = {
        "loss": record.loss,
        "accuracy": record.accuracy,
        "validation loss": record.validation_loss,
        "validation accuracy": record.validation_accuracy,
    }
    parts = [f"{name} {value:.4f}" for name, value in measured.items() if value is not None]
    return f"epoch {record.epoch}: {', '.join(parts)}, {record.seconds:.2f} s"
