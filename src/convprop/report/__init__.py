"""Reports: what a training came to, in one file that needs no other."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from convprop.arguments import checks_names
from convprop.data.dataset import Dataset
from convprop.data.stream import ImageStream
from convprop.errors import invalid
from convprop.files.atomic import replace_file
from convprop.network import Network
from convprop.report.words import counted
from convprop.training.records import History

if TYPE_CHECKING:
    from convprop.report.html import Safe

__all__ = ["write_regression_report", "write_report"]

AGAIN = "To do it again"
"""The heading of the command."""


@checks_names
def write_report(
    path: str | PathLike[str],
    network: Network,
    history: History,
    test: Dataset,
    *,
    command: str,
    settings: dict[str, object],
    resumes: bool = False,
) -> None:
    """Write a page about a trained network.

    It holds curves, confusions, each class's measures, the most confident mistakes, calibration,
    the first layer's weights, settings, versions and the weights' hash; pictures and style
    too, so that no reader's browser asks anyone for anything. It is for phones, desktops and
    paper.

    Parameters
    ----------
    path : path
        A file of that name is replaced.
    network : Network
        A classifier. Its ``class_names``, if it has any, are the classes.
    history : History
        What `convprop.train` returned.
    test : Dataset
        Images that the training has not seen; a stream is read some at a time, and the images
        of the mistakes that are shown once more.
    command : str
        What makes this training again: a command line, or lines of Python.
    settings : dict
        What to show as the settings, by name.
    resumes : bool
        Whether the command goes on with the training, which was interrupted, instead.

    Raises
    ------
    InvalidInput
        A path that cannot be written, targets that are not the classes of the images, as in a
        regression, or images that do not fit the network.
    DataError
        Classes that the network does not know, or a file that cannot be read.

    Examples
    --------
    >>> import convprop as cp
    >>> from convprop.data import load
    >>> from convprop.report import write_report
    >>> digits = load("digits")
    >>> net = cp.preset("digits", (1, 8, 8), 10)
    >>> history = cp.train(net, digits.train.images, digits.train.labels, validation=0.1)
    >>> write_report(
    ...     "report.html", net, history, digits.test,
    ...     command="python digits.py", settings={"data": "digits", "epochs": 5},
    ... )
    """
    _check(("network", network, Network), ("history", history, History), ("test", test, Dataset))
    # Not before it is asked for: a training without a report does without these.
    from convprop.report import classification, confusion, html
    from convprop.report.measure import measure

    measured = measure(network, test)
    count, classes = len(measured.labels), len(measured.class_names)
    about = f"{test.name}: {counted(count, 'test image')} of {counted(classes, 'class')}"
    sections = [
        confusion.confusion_section(measured),
        classification.classes_section(measured),
        classification.mistakes_section(measured, test),
        classification.calibration_section(measured),
    ]
    figures = classification.key_figures(measured, network, history)
    heading = "To go on with it" if resumes else AGAIN
    told = html.section("command", heading, html.block(command))
    _write(path, network, history, test.name, about, figures, sections, told, settings)


@checks_names
def write_regression_report(
    path: str | PathLike[str],
    network: Network,
    history: History,
    images: ArrayLike | ImageStream,
    targets: ArrayLike,
    *,
    command: str,
    settings: dict[str, object],
    name: str = "regression",
    output_names: Sequence[str] | None = None,
    image_names: Sequence[str] | None = None,
    offset: ArrayLike | None = None,
    scale: ArrayLike | None = None,
) -> None:
    """Write a page about a network that predicts numbers.

    It holds curves, R² and errors of each output, predictions over true values, a histogram of
    the errors, the images with the largest ones, and what `write_report` says of every network.

    Parameters
    ----------
    path : path
        A file of that name is replaced.
    network : Network
        Its loss is the squared error.
    history : History
        What `convprop.train` returned.
    images : array_like or ImageStream
        (N, C, H, W), which the training has not seen.
    targets : array_like
        (N, K), or (N,) for one output: the true numbers, in the unit in which to report.
    command : str
        What makes this training again: a command line, or lines of Python.
    settings : dict
        What to show as the settings, by name.
    name : str
        What the page is about, for its title.
    output_names, image_names : sequence of str, optional
        K and N of them.
    offset, scale : array_like, optional
        One number, or K: a prediction is the network's output times ``scale`` plus ``offset``.
        If not given, those of its ``target_scaling``, which a `ConvNetRegressor` has set.

    Raises
    ------
    InvalidInput
        A path that cannot be written, a network with another loss, images, targets or names
        that do not fit it, or numbers that are not finite.
    DataError
        A file of a stream that cannot be read.

    Examples
    --------
    >>> import convprop as cp
    >>> from convprop.data import load
    >>> from convprop.report import write_regression_report
    >>> digits = load("digits")
    >>> ink, test_ink = (part.images.mean(axis=(2, 3)) for part in (digits.train, digits.test))
    >>> layers = [cp.Conv(8, 3), cp.ReLU(), cp.Dense(1)]
    >>> net = cp.Network(layers, (1, 8, 8), cp.SquaredError())
    >>> history = cp.train(net, digits.train.images, ink)
    >>> write_regression_report(
    ...     "ink.html", net, history, digits.test.images, test_ink,
    ...     command="python ink.py", settings={"data": "digits"}, output_names=["ink"],
    ... )
    """
    _check(("network", network, Network), ("history", history, History))
    from convprop.report import html, regression

    checked = network.as_source(images)
    count = checked.shape[0]
    if image_names is not None and len(image_names) != count:
        raise invalid("image_names", f"be {count} names, one for each image", len(image_names))
    found = regression.predictions(network, checked, targets, output_names, offset, scale)
    outputs = counted(len(found.names), "output")
    about = f"{name}: {outputs}, measured on {counted(count, 'test image')}"
    sections = [
        regression.outputs_section(found),
        regression.agreement_section(found),
        regression.largest_errors_section(found, checked, image_names),
    ]
    figures = regression.key_figures(found, network, history)
    told = html.section("command", AGAIN, html.block(command))
    _write(path, network, history, name, about, figures, sections, told, settings)


def _check(*given: tuple[str, object, type]) -> None:
    for parameter, value, kind in given:
        if not isinstance(value, kind):
            raise invalid(parameter, f"be a {kind.__name__}", repr(value))


def _write(
    path: str | PathLike[str],
    network: Network,
    history: History,
    name: str,
    about: str,
    figures: str,
    measured: list[Safe],
    told: Safe,
    settings: dict[str, object],
) -> None:
    """Put what was measured between what every report has."""
    from convprop.report import html, sections

    if history.ended is not None:
        about += f"; trained on {history.ended:%Y-%m-%d, %H:%M} UTC"
    page = html.page(
        f"Training report: {name}",
        [
            "<header>\n<h1>Training report</h1>",
            html.paragraph(about, kind="about"),
            figures,
            sections.course_words(network, history),
            "</header>",
            told,
            sections.curves_section(history),
            *measured,
            sections.layer_section(network),
            sections.network_section(network),
            sections.settings_section(settings),
            sections.origin_section(network, settings),
        ],
    )
    replace_file(path, page.encode(errors="replace"))
