"""What a report says of a network that predicts numbers: what is measured, and its HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convprop.brief import Brief
from convprop.errors import invalid
from convprop.losses import SquaredError
from convprop.network import Network
from convprop.report.chart import Floats
from convprop.report.charts import agreement_chart, error_chart
from convprop.report.html import Pair, Safe, definitions, paragraph, section, table
from convprop.report.sections import answered, drawn, gallery, training_figures
from convprop.report.words import counted, plain, quantity, told_apart
from convprop.training.records import History

MOST_DRAWN = 6
"""Of more outputs the ones with the smallest R² are drawn."""

MOST_IMAGES = 24


@dataclass(frozen=True, repr=False)
class Predictions(Brief):
    """What a network says of images, beside the truth.

    Attributes
    ----------
    names : tuple of str
        Of the K outputs.
    true, predicted : ndarray
        (N, K)
    """

    names: tuple[str, ...]
    true: Floats
    predicted: Floats

    @property
    def errors(self) -> Floats:
        """Predicted less true, (N, K)."""
        return self.predicted - self.true

    def rmse(self) -> Floats:
        """Return the root of the mean squared error of each output, (K,)."""
        rmse: Floats = np.sqrt(np.mean(self.errors**2, axis=0))
        return rmse

    def mean_absolute_error(self) -> Floats:
        """Return the mean of each output's absolute errors, (K,)."""
        mean: Floats = np.abs(self.errors).mean(axis=0)
        return mean

    def r2(self) -> Floats:
        """Return each output's coefficient of determination, (K,); NaN where all are alike."""
        deviation = self.true.std(axis=0)
        spread = np.where(deviation > 0, deviation, np.nan)
        r2: Floats = 1.0 - (self.rmse() / spread) ** 2
        return r2

    def mean_r2(self) -> float | None:
        """Return the mean of those that are known, as scikit-learn's score of a regressor is."""
        known = self.r2()
        known = known[np.isfinite(known)]
        return float(known.mean()) if len(known) else None

    def largest(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the images with the largest errors, and of each the output that has it.

        Errors of different outputs are compared in root mean squared errors of theirs.
        """
        rmse = self.rmse()
        relative = np.abs(self.errors) / np.where(rmse > 0, rmse, 1.0)
        rows = np.argsort(-relative.max(axis=1), kind="stable")[:most]
        return rows, relative[rows].argmax(axis=1)


def predictions(
    network: Network,
    images: Any,
    targets: ArrayLike,
    names: Sequence[str] | None = None,
    offset: ArrayLike | None = None,
    scale: ArrayLike | None = None,
) -> Predictions:
    """Carry images through a network, and compare.

    An offset or a scale that is not given is that of the network's ``target_scaling``.

    Raises
    ------
    InvalidInput
        A network that has another loss than the squared error; targets, names, an offset or a
        scale that do not fit its outputs or are not finite; outputs that are not finite.
    """
    if not isinstance(network.loss, SquaredError):
        raise invalid("network", "have the loss SquaredError()", repr(network.loss))
    count, outputs = images.shape[0], network.outputs
    true = np.asarray(targets, dtype=np.float64)
    if true.shape == (count,) and outputs == 1:
        true = true[:, np.newaxis]
    if true.shape != (count, outputs):
        raise invalid("targets", f"have shape {(count, outputs)}", f"shape {true.shape}")
    if not np.isfinite(true).all():
        raise invalid("targets", "be finite", "NaN or infinity")
    if names is None:
        names = [f"output {number}" for number in range(1, outputs + 1)]
    if len(set(names)) != outputs or len(names) != outputs:
        raise invalid("output_names", f"be {outputs} names that differ", repr(list(names)))
    own = network.target_scaling or (0.0, 1.0)
    offset = own[0] if offset is None else offset
    scale = own[1] if scale is None else scale
    predicted = network.forward(images).astype(np.float64)
    predicted = predicted * _for_outputs("scale", scale, outputs)
    predicted += _for_outputs("offset", offset, outputs)
    if not np.isfinite(predicted).all():
        raise invalid("network", "have finite outputs for the test images", "NaN or infinity")
    return Predictions(tuple(names), true, predicted)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return what was predicted of several parts' images as of one."""
    true, predicted = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("true", "predicted")
    )
    return Predictions(parts[0].names, true, predicted)


def _for_outputs(parameter: str, values: ArrayLike, outputs: int) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (outputs,)) or not np.isfinite(array).all():
        raise invalid(parameter, f"be a finite number, or {outputs} of them", repr(values))
    return array


def key_figures(found: Predictions, network: Network, history: History) -> Safe:
    """Return the numbers that come first."""
    r2, rmse = found.r2(), found.rmse()
    if len(found.names) == 1:
        error = float(found.mean_absolute_error()[0])
        figures: list[Pair] = [
            ("R²", plain(float(r2[0]))),
            ("RMSE", quantity(float(rmse[0]))),
            ("mean absolute error", quantity(error)),
        ]
    else:
        figures = [
            ("mean R²", plain(found.mean_r2())),
            ("outputs", f"{len(r2):,}"),
        ]
    figures += training_figures(network, history, len(found.true))
    return definitions(figures, "figures")


def outputs_section(found: Predictions) -> Safe:
    """Return how far each output is from the truth."""
    means, spreads = found.true.mean(axis=0), found.true.std(axis=0)
    columns = [
        [plain(float(value)) for value in found.r2()],
        *(
            [quantity(float(value)) for value in values]
            for values in (
                found.rmse(),
                found.mean_absolute_error(),
                found.errors.mean(axis=0),
            )
        ),
        [
            told_apart(float(mean), float(spread))
            for mean, spread in zip(means, spreads, strict=True)
        ],
        [quantity(float(spread)) for spread in spreads],
    ]
    rows = list(zip(found.names, *columns, strict=True))
    head = (
        "output",
        "R²",
        "RMSE",
        "mean absolute",
        "mean error",
        "mean of true",
        "deviation of true",
    )
    return section("outputs", "Outputs", table("Errors: predicted less true", head, rows))


def agreement_section(found: Predictions) -> Safe:
    """Return predictions beside the truth, and the errors, of each output."""
    some = np.arange(len(found.names))
    words = "Each image's prediction over its true value, and how many have which error."
    if len(some) > MOST_DRAWN:
        # NaN comes last.
        some = np.argsort(found.r2(), kind="stable")[:MOST_DRAWN]
        words += (
            f" Of {len(found.names):,} outputs the {MOST_DRAWN} with the smallest R² are drawn."
        )
    pairs = []
    for number in some:
        name, true, predicted = found.names[number], found.true.T[number], found.predicted.T[number]
        agreement = drawn(agreement_chart(f"{name}: predictions", true, predicted), f"said{number}")
        errors = drawn(error_chart(f"{name}: errors", predicted - true), f"errors{number}")
        pairs.append(f'<div class="charts">\n{agreement}{errors}\n</div>')
    return section("agreement", "Predicted and true", paragraph(words), *pairs)


def largest_errors_section(
    found: Predictions, images: Any, image_names: Sequence[str] | None
) -> Safe:
    """Return pictures of the images with the largest errors."""
    rows, outputs = found.largest(MOST_IMAGES)
    spreads = found.true.std(axis=0)
    figures = []
    for row, output, drawing in zip(rows, outputs, gallery(images, rows), strict=True):
        origin = f"image {row}" if image_names is None else image_names[row]
        name = found.names[output] if len(found.names) > 1 else ""
        true, predicted = found.true[row, output], found.predicted[row, output]
        said, truth = (told_apart(float(n), float(spreads[output])) for n in (predicted, true))
        lines = (
            ("predicted", said, name),
            ("is", truth, f"error {quantity(predicted - true)}"),
        )
        alternative = f"{origin}: {name or found.names[0]} {truth}"
        figures.append(answered(drawing, f"{alternative}, predicted {said}", origin, lines))
    words = f"{len(rows)} of {counted(len(found.true), 'image')}, the largest errors first"
    if len(found.names) > 1:
        words += "; outputs are compared in RMSEs of theirs"
    return section(
        "largest",
        "Largest errors",
        paragraph(f"{words}."),
        f'<div class="mistakes">\n{"".join(figures)}\n</div>',
    )
