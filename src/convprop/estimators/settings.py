"""The estimators' parameters, those within them, and what they stand for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from convprop.arguments import checks_names, nearest
from convprop.auto import AUTO
from convprop.checks import flag, non_negative, number, positive, positive_integer
from convprop.described import Described
from convprop.errors import InvalidInput, invalid
from convprop.layers import Layer, Shape
from convprop.optimizers import OPTIMIZERS, Optimizer, optimizer_for
from convprop.presets import PRESETS, Preset
from convprop.schedules import Schedule, Trapezoid
from convprop.training.augmentation import Augment


class Settings(BaseEstimator):
    """What both estimators are told; `ConvNetClassifier` says what each parameter is."""

    @checks_names
    def __init__(
        self,
        network: str | Iterable[Layer] = "auto",
        *,
        input_shape: Shape | None = None,
        data_format: Literal["NCHW", "NHWC"] | None = None,
        optimizer: Optimizer | str | None = None,
        learning_rate_init: float | None = None,
        schedule: Schedule | None = None,
        alpha: float | None = None,
        epochs: int | None = None,
        batch_size: int | Literal["auto"] = "auto",
        shuffle: bool = True,
        augment: Augment | None = None,
        clip_norm: float | None = None,
        average: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.network = network
        self.input_shape = input_shape
        self.data_format = data_format
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.schedule = schedule
        self.alpha = alpha
        self.epochs = epochs
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.augment = augment
        self.clip_norm = clip_norm
        self.average = average
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    # ---- Parameters within parameters ----

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of optimizer, schedule and augment by "optimizer__...".

        Parameters
        ----------
        deep : bool
            Also the latter.
        """
        parameters: dict[str, Any] = super().get_params(deep)
        if deep:
            for name, value in list(parameters.items()):
                if isinstance(value, Described):
                    parameters |= {
                        f"{name}__{field}": getattr(value, field) for field in _of(value)
                    }
        return parameters

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters.

        Parameters
        ----------
        **parameters
            By name; "optimizer__momentum" and the like change one field of what there is, which
            is replaced, and for None of what None stands for.
        """
        known = self.get_params(deep=False)
        for name in parameters:
            if (outer := name.partition("__")[0]) not in known:
                # scikit-learn's words, and the nearest name.
                words = f"Invalid parameter {name!r} for estimator {type(self).__name__}"
                valid = f"Valid parameters are: {', '.join(known)}"
                raise InvalidInput(f"{words}{nearest(outer, known)}. {valid}")
        own = {name: value for name, value in parameters.items() if name in known}
        super().set_params(**own)
        nested: dict[str, dict[str, Any]] = {}
        for name in parameters.keys() - own.keys():
            outer, _, field = name.partition("__")
            nested.setdefault(outer, {})[field] = parameters[name]
        for outer, changes in nested.items():
            value = self._described(outer)
            fields = [] if value is None else _of(value)
            for field in changes:
                if field not in fields:
                    rule = f"be one of {', '.join(fields)}" if fields else "be left out"
                    received = f"the parameter {outer}={value!r}{nearest(field, fields)}"
                    raise invalid(f"{outer}__{field}", rule, received)
            setattr(self, outer, dataclasses.replace(value, **changes))
        return self

    def _described(self, parameter: str) -> Any:
        """Return what a parameter stands for, if it has fields."""
        if parameter == "optimizer":
            return self._optimizer()
        if parameter == "schedule":
            return self._schedule()
        value = getattr(self, parameter, None)
        if parameter == "augment" and value is None:
            return Augment()
        return value if isinstance(value, Described) else None

    # ---- What they stand for ----

    def _preset(self) -> Preset | None:
        """Return the preset that is named, or None for "auto" and for layers."""
        if not isinstance(self.network, str) or self.network == "auto":
            return None
        if self.network not in PRESETS:
            names = ", ".join(("auto", *PRESETS))
            raise invalid("network", f"be a list of layers, or one of {names}", repr(self.network))
        return PRESETS[self.network]

    def _suggested(self) -> Optimizer:
        """Return the optimizer where none is named."""
        return (self._preset() or AUTO).optimizer

    def _optimizer(self) -> Optimizer:
        chosen = self.optimizer
        if chosen is None:
            return self._suggested()
        if isinstance(chosen, Optimizer):
            return chosen
        if not isinstance(chosen, str) or chosen not in OPTIMIZERS:
            names = ", ".join(OPTIMIZERS)
            raise invalid("optimizer", f"be None, an Optimizer or one of {names}", repr(chosen))
        return optimizer_for(self._suggested(), chosen)

    def _schedule(self) -> Schedule:
        if self.schedule is not None:
            return self.schedule
        return Trapezoid() if self.early_stopping else (self._preset() or AUTO).schedule

    def _batch_size(self, images: int) -> int:
        if self.batch_size != "auto":
            return positive_integer("batch_size", self.batch_size)
        return min((self._preset() or AUTO).batch_size, images)

    def _epochs(self, images: int, batch_size: int) -> int:
        if self.epochs is not None:
            return positive_integer("epochs", self.epochs)
        preset = self._preset()
        return AUTO.epochs(images, batch_size) if preset is None else preset.epochs

    def _check_settings(self) -> None:
        """Raise InvalidInput where a setting that training knows by another name is wrong."""
        flag("warm_start", self.warm_start)
        flag("early_stopping", self.early_stopping)
        positive_integer("n_iter_no_change", self.n_iter_no_change)
        non_negative("tol", self.tol)
        rule = "be a number above 0 and below 1"
        number("validation_fraction", self.validation_fraction, rule, math.ulp(0.0), 1.0)

    def _seed(self) -> int:
        state = self.random_state
        if isinstance(state, Integral) and state >= 1 << 64:
            raise invalid("random_state", "be below 2**64", state)
        if isinstance(state, Integral) and not isinstance(state, bool) and state >= 0:
            return int(state)
        return int(check_random_state(state).randint(2**31 - 1))

    def _trained_by(self, taken: int) -> Optimizer:
        """Return the optimizer with ``learning_rate_init`` and ``alpha`` in it.

        What nothing is said about follows ``taken``, the images that a batch really has.
        """
        chosen = self._optimizer()
        if self.learning_rate_init is None and not isinstance(self.optimizer, Optimizer):
            chosen = chosen.for_batches(taken, (self._preset() or AUTO).batch_size)
        changes: dict[str, Any] = {}
        if self.learning_rate_init is not None:
            changes["learning_rate"] = positive("learning_rate_init", self.learning_rate_init)
        if self.alpha is not None:
            changes["weight_decay"] = non_negative("alpha", self.alpha) / taken
        return dataclasses.replace(chosen, **changes)


def _of(value: Described) -> list[str]:
    """Return the names of a description's fields."""
    assert dataclasses.is_dataclass(value)
    return [field.name for field in dataclasses.fields(value)]
