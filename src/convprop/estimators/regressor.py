"""The regressor."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_array

from convprop.arguments import checks_names
from convprop.data.arrays import Array, of_rows, stratified_split
from convprop.data.value_range import warn_of_targets
from convprop.errors import InvalidInput, invalid
from convprop.estimators.base import ConvNet, Task, leaves_what_was_fitted
from convprop.estimators.images import Received
from convprop.estimators.versions import with_callbacks
from convprop.losses import SquaredError
from convprop.ops.loss import as_weights, taking_part
from convprop.optimizers import SGD, AdamW, Optimizer
from convprop.targets import check_rounding
from convprop.training.records import EpochRecord
from convprop.training.stopping import EarlyStopping


class ConvNetRegressor(RegressorMixin, ConvNet):
    """A convolutional network that learns numbers: Eq. 9 on targets of mean 0 and variance 1.

    Parameters are those of `ConvNetClassifier` without class_weight and label_smoothing. A preset
    that comes with plain gradient descent, whose rate suits classes, is trained by AdamW. Early
    stopping measures R² of what is held out, of all outputs together. Ctrl-C does what
    it does there.

    Attributes
    ----------
    network_ : Network
        Its raw outputs are in standard deviations of the targets, counted from their mean; its
        ``target_scaling`` is these two, so that what it predicts has the targets' unit, from a
        model file, too:
    target_mean_, target_scale_ : ndarray of shape (n_outputs,)
    n_features_in_, feature_names_in_, n_iter_, t_, loss_, best_loss_, loss_curve_
        As for the classifier.
    validation_scores_, best_validation_score_
        Likewise, of R².

    Examples
    --------
    >>> import numpy as np
    >>> from convprop import ConvNetRegressor
    >>> images = np.random.default_rng(0).random((200, 8, 8), dtype="float32")
    >>> brightness = images.mean(axis=(1, 2))
    >>> net = ConvNetRegressor(epochs=20, random_state=0).fit(images, brightness)
    >>> bool(net.score(images, brightness) > 0.9)
    True
    """

    def _suggested(self) -> Optimizer:
        suggested = super()._suggested()
        return AdamW(1e-3) if isinstance(suggested, SGD) else suggested

    @with_callbacks
    @checks_names
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train on images and their numbers.

        Parameters
        ----------
        X : array_like, list or column, or path
            As for the classifier; of a folder the images at any depth, in the byte order of
            their names.
        y : array_like of shape (n,) or (n, n_outputs)
        sample_weight : array_like of shape (n,), optional
            At least 0; a weight of 2 is the image twice, and one of 0 as if it were not there,
            but for scikit-learn's rule that all of X and y be finite.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, partly=False)

    @checks_names
    def partial_fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one epoch, going on with the weights and the optimizer's state.

        The first call's images and targets give what both are normalised by. The learning rate
        is constant.

        Parameters
        ----------
        X, y, sample_weight
            As for fit.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, partly=True)

    @leaves_what_was_fitted
    def _fit(
        self, X: Any, y: ArrayLike | None, sample_weight: ArrayLike | None, *, partly: bool
    ) -> Self:
        if y is None:
            name = type(self).__name__
            rule = f"be given: {name} requires y to be passed, but the target y is"
            raise InvalidInput(f"y must {rule} None")
        going_on = self._going_on(partly)
        received = Received(self, X, self.network_.input_shape if going_on else None)
        count = len(received)
        values = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if values.ndim == 2 and values.shape[1] == 1:
            values = column_or_1d(values, warn=True)
        if values.ndim not in (1, 2) or len(values) != count:
            rule = f"have shape ({count},) or ({count}, outputs)"
            raise invalid("y", rule, f"shape {values.shape}")
        columns = values.reshape(count, -1)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, values, dtype=np.float64)
            weights = as_weights(weights, count)
        rows = taking_part(weights)
        images = received.images(rows)
        given = np.asarray(y).reshape(columns.shape)
        given, columns = of_rows(given, rows), of_rows(columns, rows)
        check_rounding(given, columns, "y")
        if going_on:
            fitted = {name: getattr(self, name) for name in ("target_mean_", "target_scale_")}
            if columns.shape[1] != len(self.target_mean_):
                rule = f"have {len(self.target_mean_)} outputs, as in the first call"
                raise invalid("y", rule, columns.shape[1])
            warn_of_targets(columns, fitted["target_mean_"], fitted["target_scale_"])
        else:
            fitted = _moments(columns, weights)
        fitted["_one_output"] = values.ndim == 1
        return self._train(
            Task(
                images,
                columns,
                outputs=columns.shape[1],
                weights=weights,
                given=(X, y, sample_weight),
                fitted=fitted,
                partly=partly,
            )
        )

    def _loss(self) -> SquaredError:
        return SquaredError()

    def _stopping(self, task: Task, seed: int) -> EarlyStopping:
        taking_part = task.rows
        _, held_out = stratified_split(np.zeros(len(taking_part)), self.validation_fraction, seed)
        rows = taking_part[held_out]
        weights = None if task.weights is None else task.weights[rows]
        mean, scale = task.fitted["target_mean_"], task.fitted["target_scale_"]
        deviation = _moments((task.targets[rows] - mean) / scale, weights)["target_scale_"]
        # The loss that the held-out targets' own mean would have: R² is counted from it.
        self._spread = float(np.square(deviation).sum()) / 2.0
        return EarlyStopping(self.n_iter_no_change, self.tol * self._spread, "validation_loss")

    def _scores(self, records: list[EpochRecord], task: Task) -> list[float]:
        losses = [float(record.validation_loss or 0.0) for record in records]
        return [1.0 - loss / self._spread for loss in losses]

    def predict(self, X: Any) -> Array:
        """Return the numbers of each image.

        Parameters
        ----------
        X : array_like, list or column, or path
            As for fit.

        Returns
        -------
        ndarray of shape (n,) or (n, n_outputs)
            float64, also of a network in float32, whose outputs are small where the numbers
            are large: beside 1.7e9 float32 tells steps of 128 apart.
        """
        images = self._images(X)
        values = self.network_.predict(images)
        return values[:, 0] if self._one_output else values


def _moments(columns: Array, weights: NDArray[np.float64] | None) -> dict[str, Any]:
    """Return each column's mean and standard deviation, 1 where it does not vary.

    Raises
    ------
    InvalidInput
        Differences whose squares, which R² is made of too, float64 does not hold.
    """
    if weights is not None:
        columns, weights = columns[weights > 0], weights[weights > 0]
    mean = np.average(columns, axis=0, weights=weights)
    # A rounded mean would leave a spurious variance.
    varies = columns.min(axis=0) < columns.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.average((columns - mean) ** 2, axis=0, weights=weights)
    tiny = varies & (square < np.finfo(np.float64).tiny)
    if tiny.any():
        column = columns[:, int(np.argmax(tiny))]
        rule = "have a variance that is no 0 in float64: multiply it by a number that is large"
        raise invalid("y", rule, f"values from {column.min():.3g} to {column.max():.3g}")
    scale = np.where(varies, np.sqrt(square), 1.0)
    if not np.isfinite([mean, scale]).all():
        rule = "have a finite variance: divide it by a number that is large"
        raise invalid("y", rule, f"values up to {np.abs(columns).max():.3g}")
    return {"target_mean_": mean, "target_scale_": scale}
