"""The classifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

from convprop.arguments import checks_names
from convprop.auto import AUTO
from convprop.data.arrays import Array
from convprop.data.dataset import quoted
from convprop.errors import InvalidInput, invalid
from convprop.estimators.base import ConvNet, Task, leaves_what_was_fitted
from convprop.estimators.images import Received
from convprop.estimators.pictures import is_folder, labelled_files
from convprop.estimators.versions import with_callbacks
from convprop.layers import Layer, Shape
from convprop.losses import SoftmaxCrossEntropy
from convprop.ops.loss import as_weights, taking_part
from convprop.optimizers import Optimizer
from convprop.schedules import Schedule
from convprop.training.augmentation import Augment
from convprop.training.records import EpochRecord
from convprop.training.stopping import EarlyStopping

Weights = NDArray[np.float64]


class ConvNetClassifier(ClassifierMixin, ConvNet):
    """A convolutional network that learns classes.

    Parameters
    ----------
    network : str or list of Layer
        A preset's name; layers that end with an output for each class; or "auto", a sound
        network for the data's shape: see `convprop.estimators.auto_layers`, also for the time
        it takes. It drops units out where there is more than one batch; of one batch an image
        of weight 2 is two images.
    input_shape : (H, W) or (C, H, W), optional
        What rows of X are, and what pictures are stretched to; (H, W, C) with
        ``data_format="NHWC"``. None: rows are a square grey image if their number of values is
        a square, a square colour image if it is three times one, and otherwise a grey image of
        one row; pictures are as large as they are, and all alike, in fit and in predict. An
        array of images has its own shape, which this must not contradict.
    data_format : "NCHW" or "NHWC", optional
        Whether channels come before or after rows and columns in X. None: in four axes, the
        one of axes 1 and 3 whose length is 1, 3 or 4; in two axes, before. An ``input_shape``
        that reads like the other order, such as (8, 8, 1), has to come with one of the two.
    optimizer : Optimizer or str, optional
        One of convprop's, or its name: "sgd", "adam", "adamw", "rmsprop", "adadelta". None: the
        preset's, `AdamW` with learning rate 0.004 for others. A name stands for the same, if it
        is that of the preset's; other optimizers have their own defaults, SGD a momentum of 0.9.
        Learning rate and weight decay, unless an Optimizer is given, suit the batches of "auto",
        and follow those that are really taken.
    learning_rate_init : float, optional
        In the place of the optimizer's default one; it follows nothing.
    schedule : Schedule, optional
        None: the preset's, `OneCycle` for others; with ``early_stopping`` `Trapezoid`.
    alpha : float, optional
        Strength of the L2 regularisation as in scikit-learn's perceptrons: the optimizer's
        weight decay is alpha divided by the batch size. None: the optimizer's own. An optimizer
        that is given a rate or a weight decay of its own comes without these two.
    epochs : int, optional
        None: the preset's; for others as many as make some 1000 steps, 5 to 100.
    batch_size : int or "auto"
        "auto": the preset's, 64 for others.
    shuffle : bool
        A new order in each epoch.
    augment : Augment, optional
        What happens to training images by chance.
    clip_norm, average : float, optional
        As for `convprop.train`.
    label_smoothing : float, optional
        As for `SoftmaxCrossEntropy`. None: the preset's, 0.1 for others.
    class_weight : "balanced" or dict, optional
        What multiplies the weights of a class's images; "balanced": all classes weigh alike.
        A dict may leave classes out, but name none that y has not.
    early_stopping : bool
        Hold out ``validation_fraction`` of every class, end when the accuracy on it has not
        risen by more than ``tol`` for ``n_iter_no_change`` epochs, and keep the best weights.
        Before the end the learning rate comes down, as `EarlyStopping` says. Without it the
        training takes all its epochs.
    validation_fraction, n_iter_no_change, tol
        See ``early_stopping``; the first and the last are refused without it.
    warm_start : bool
        fit goes on with the network there is: its layers, dtype, loss and seed stay. Another
        network, input_shape, label_smoothing or number as random_state is then refused, and by
        ``partial_fit`` after its first call.
    random_state : int, RandomState or None
        Of weights, order, held-out part, augmentation and dropout. The same int gives the same
        bits on every machine and with any number of threads.
    verbose : bool
        Print a line for each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        In ascending order.
    network_ : Network
        The trained network; ``network_.save`` writes a file for the command line.
    n_features_in_ : int
        C · H · W.
    feature_names_in_ : ndarray
        The columns of X, where it was a frame of values.
    n_iter_, t_ : int
        How many epochs the last fit took, and partial_fit since; and how many images in all.
    loss_, best_loss_ : float
        The last and the smallest of loss_curve_; best_loss_ is None with early stopping.
    loss_curve_, validation_scores_ : list
        By epoch. The second is None without early stopping, as is
    best_validation_score_ : float
        that of the weights, the best one of a rate that has come down.

    Notes
    -----
    The network computes in float64 where X is float64, as scikit-learn's estimators do, and in
    float32 otherwise: ``X.astype("float32")`` trains about twice as fast. Integers in 0..255
    stay bytes.

    Ctrl-C ends fit with KeyboardInterrupt after the step. If an epoch was finished by then, the
    estimator is fitted with what it has learned; a search or a cross-validation ends.

    Examples
    --------
    >>> from convprop import ConvNetClassifier
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> net = ConvNetClassifier("digits", epochs=3, random_state=0).fit(X[:1500], y[:1500])
    >>> bool(net.score(X[1500:], y[1500:]) > 0.9)
    True
    """

    classes_: NDArray[Any]

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
        label_smoothing: float | None = None,
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            network,
            input_shape=input_shape,
            data_format=data_format,
            optimizer=optimizer,
            learning_rate_init=learning_rate_init,
            schedule=schedule,
            alpha=alpha,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            augment=augment,
            clip_norm=clip_norm,
            average=average,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    @with_callbacks
    @checks_names
    def fit(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train on images and their classes.

        Parameters
        ----------
        X : array_like, list or column, or path
            (n, features), (n, H, W), (n, H, W, C) or (n, C, H, W); paths or PIL images; or a
            folder with one subfolder of images per class.
        y : array_like of shape (n,)
            Integers, strings, booleans or whole floats. None: the subfolders' names.
        sample_weight : array_like of shape (n,), optional
            At least 0; a weight of 2 is the image twice, and one of 0 as if it were not there,
            but for scikit-learn's rule that all of X and y be finite.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, None, partly=False)

    @checks_names
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch, going on with the weights and the optimizer's state.

        The first call's images give the normalisation. The learning rate is constant; a schedule
        or early stopping is refused.

        Parameters
        ----------
        X, y, sample_weight
            As for fit.
        classes : array_like, optional
            All classes there will be; needed in the first call unless they are all in it.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, classes, partly=True)

    @leaves_what_was_fitted
    def _fit(
        self,
        X: Any,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        classes: ArrayLike | None,
        *,
        partly: bool,
    ) -> Self:
        if y is None:
            X, y = self._of_folder(X)
        going_on = self._going_on(partly)
        received = Received(self, X, self.network_.input_shape if going_on else None)
        labels = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
        _distinct("y", labels)  # scikit-learn would sort them, too.
        check_classification_targets(labels)
        count = len(received)
        if len(labels) != count:
            raise invalid("y", f"have one class for each of the {count} images", len(labels))
        known = self._classes(labels, classes, going_on)
        targets: Array = _positions(labels, known)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, labels, dtype=np.float64)
        weights = as_weights(self._weights(targets, known, weights, partly), count)
        images = received.images(taking_part(weights))
        if partly and (targets == targets[0]).all():
            # Labels that are all alike are refused by training, which is meant for whole sets.
            targets = np.eye(len(known))[targets]
        return self._train(
            Task(
                images,
                targets,
                outputs=len(known),
                weights=weights,
                given=(X, y, sample_weight),
                fitted={"classes_": known},
                names=[str(name) for name in known],
                partly=partly,
            )
        )

    def _loss(self) -> SoftmaxCrossEntropy:
        given = self.label_smoothing
        usual = (self._preset() or AUTO).label_smoothing
        return SoftmaxCrossEntropy(label_smoothing=usual if given is None else given)

    def _of_folder(self, X: Any) -> tuple[Any, Any]:
        """Return a folder's files and classes."""
        if is_folder(X):
            return labelled_files(X)
        name = type(self).__name__
        rule = f"be given unless X is a folder: {name} requires y to be passed, but the target y is"
        raise InvalidInput(f"y must {rule} None")

    def _classes(
        self, labels: NDArray[Any], given: ArrayLike | None, going_on: bool
    ) -> NDArray[Any]:
        named = _distinct("y", labels) if given is None else _distinct("classes", given)
        classes = self.classes_ if going_on else named
        if going_on and given is not None and not np.array_equal(named, classes):
            raise invalid("classes", f"be those of the first call, {_names(classes)}", repr(given))
        if len(classes) < 2:
            raise invalid("y", "have at least two classes", f"one class, {_names(classes)}")
        return classes

    def _weights(
        self, targets: NDArray[np.int32], known: NDArray[Any], given: Weights | None, partly: bool
    ) -> Weights | None:
        """Return the images' weights with those of their classes in them."""
        if self.class_weight is None:
            return given
        if self.class_weight != "balanced":
            self._check_class_weight(known)
            factors = compute_class_weight(self.class_weight, classes=known, y=known[targets])
            if not (np.isfinite(factors) & (factors >= 0)).all():
                rule = "hold finite numbers of at least 0"
                raise invalid("class_weight", rule, repr(self.class_weight))
        elif partly:
            rule = "be None or a mapping for partial_fit, which does not see all images"
            raise invalid("class_weight", rule, "'balanced'")
        else:
            totals = np.bincount(targets, given, minlength=len(known))
            present = totals > 0
            factors = np.zeros(len(known))
            factors[present] = totals.sum() / (present.sum() * totals[present])
        chosen: Weights = factors[targets]
        return chosen if given is None else given * chosen

    def _check_class_weight(self, known: NDArray[Any]) -> None:
        # scikit-learn passes over classes that y has not, if it finds all that y has.
        if isinstance(self.class_weight, Mapping):
            for name in self.class_weight:
                if name not in known.tolist():
                    rule = f"hold only classes of y, {_names(known)}"
                    raise invalid("class_weight", rule, repr(name))

    def _stopping(self, task: Task, seed: int) -> EarlyStopping:
        return EarlyStopping(self.n_iter_no_change, self.tol, "validation_accuracy")

    def _scores(self, records: list[EpochRecord], task: Task) -> list[float]:
        return [float(record.validation_accuracy or 0.0) for record in records]

    def predict_proba(self, X: Any) -> Array:
        """Return each class's probability for each image.

        Parameters
        ----------
        X : array_like, list or column, or path
            As for fit; of a folder the images at any depth, in the byte order of their names.

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        outputs = self._outputs(X)
        return self.network_.loss.prediction(outputs)

    def predict_log_proba(self, X: Any) -> Array:
        """Return the probabilities' logarithms, finite where a probability rounds to 0.

        Parameters
        ----------
        X : array_like, list or column, or path
            As for predict_proba.

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        logarithms: Array = log_softmax(self._outputs(X), axis=1)
        return logarithms

    def predict(self, X: Any) -> NDArray[Any]:
        """Return each image's most probable class.

        Parameters
        ----------
        X : array_like, list or column, or path
            As for predict_proba.

        Returns
        -------
        ndarray of shape (n,)
        """
        best = np.argmax(self.predict_proba(X), axis=1)
        chosen: NDArray[Any] = self.classes_[best]
        return chosen

    def score(
        self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the accuracy.

        Parameters
        ----------
        X, y, sample_weight
            As for fit.

        Returns
        -------
        float
        """
        if y is None:
            X, y = self._of_folder(X)
        return float(super().score(X, y, sample_weight))


def _positions(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int32]:
    """Return where each label stands among the classes, which are in ascending order."""
    known = np.isin(labels, classes)
    if not known.all():
        stray = labels[int(np.argmin(known))]
        raise invalid("y", f"hold only the classes {_names(classes)}", _names(np.array([stray])))
    return np.searchsorted(classes, labels).astype(np.int32)


def _distinct(parameter: str, labels: ArrayLike) -> NDArray[Any]:
    """Return the classes in ascending order, which not all objects have."""
    values = np.asarray(labels)
    try:
        found: NDArray[Any] = np.unique(values)
    except TypeError:
        kinds = sorted({type(label).__name__ for label in values.flat})
        rule = "hold classes of one kind, numbers, strings or booleans"
        raise invalid(parameter, rule, " and ".join(kinds)) from None
    return found


def _names(classes: NDArray[Any]) -> str:
    return quoted([str(name) for name in classes])
