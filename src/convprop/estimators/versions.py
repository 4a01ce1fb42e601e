"""What scikit-learn's versions since 1.4 have under different names, or not yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:  # 1.6
    from sklearn.utils.validation import validate_data
except ImportError:

    def validate_data(estimator: Any, X: Any, **settings: Any) -> Any:
        """Return X checked, and its number and names of features kept or compared."""
        return estimator._validate_data(X, **settings)


try:  # 1.9
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:
    # mypy sees the installed version's class alone.
    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Without callbacks, nothing."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


class Progress:
    """What scikit-learn's callbacks are told: a task for the training, one for each epoch.

    Parameters
    ----------
    estimator : estimator
    epochs : int
        How many there will be at most.
    X, y, sample_weight
        As fit got them.
    fitted : callable
        Returns the attributes that make a copy of the estimator fitted as it stands.
    """

    def __init__(
        self,
        estimator: Any,
        epochs: int,
        X: Any,
        y: Any,
        sample_weight: Any,
        fitted: Callable[[], dict[str, Any]],
    ) -> None:
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self.given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self.epochs = epochs
        self.fitted = fitted
        self.begun = 0
        self.epoch: Any = None
        self.whole: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self.whole = estimator._init_callback_context(max_subtasks=epochs)
            self.whole.call_on_fit_task_begin(**self.given)
            self._begin()

    def _begin(self) -> None:
        self.begun += 1
        self.epoch = self.whole.subcontext(task_name=f"epoch {self.begun}")
        self.epoch.call_on_fit_task_begin(**self.given)

    def end_epoch(self) -> bool:
        """Tell of an epoch's end, and that the next one begins; return whether to stop."""
        if self.whole is None:
            return False
        stop = self.epoch.call_on_fit_task_end(**self.given, reconstruction_attributes=self.fitted)
        self.epoch = None
        if not stop and self.begun < self.epochs:
            self._begin()
        return bool(stop)

    def end(self) -> None:
        """Tell of the training's end; an epoch that was announced did not come."""
        if self.whole is None:
            return
        if self.epoch is not None:
            self.epoch.call_on_fit_task_end(**self.given)
        self.whole.call_on_fit_task_end(**self.given, reconstruction_attributes=self.fitted)


__all__ = ["CallbackSupportMixin", "Progress", "validate_data", "with_callbacks"]
