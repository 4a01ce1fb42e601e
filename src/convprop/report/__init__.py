"""Reports: what a training came to, in one file that needs no other."""

from __future__ import annotations

from os import PathLike

from convprop.data.dataset import Dataset
from convprop.errors import invalid
from convprop.files import replace_file
from convprop.network import Network
from convprop.records import History

__all__ = ["write_report"]


def write_report(
    path: str | PathLike[str],
    network: Network,
    history: History,
    test: Dataset,
    *,
    command: str,
    settings: dict[str, object],
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
    for parameter, value, kind in (
        ("network", network, Network),
        ("history", history, History),
        ("test", test, Dataset),
    ):
        if not isinstance(value, kind):
            raise invalid(parameter, f"be a {kind.__name__}", repr(value))
    replace_file(path, _page(network, history, test, command, settings).encode(errors="replace"))


def _page(
    network: Network, history: History, test: Dataset, command: str, settings: dict[str, object]
) -> str:
    # Not before it is asked for: a training without a report does without these.
    from convprop.report import sections
    from convprop.report.confusion import confusion_section
    from convprop.report.html import block, page, paragraph, section
    from convprop.report.measure import measure
    from convprop.report.words import counted

    measured = measure(network, test)
    images, classes = len(measured.labels), len(measured.class_names)
    about = f"{test.name}: {counted(images, 'test image')} of {counted(classes, 'class')}"
    return page(
        f"Training report: {test.name}",
        [
            "<header>\n<h1>Training report</h1>",
            paragraph(about, kind="about"),
            sections.key_figures(measured, network, history),
            "</header>",
            section("command", "To do it again", block(command)),
            sections.curves_section(history),
            confusion_section(measured),
            sections.classes_section(measured),
            sections.mistakes_section(measured, test),
            sections.calibration_section(measured),
            sections.layer_section(network),
            sections.network_section(network),
            sections.settings_section(settings),
            sections.origin_section(network),
        ],
    )
