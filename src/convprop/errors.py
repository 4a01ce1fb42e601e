"""The package's exceptions, and the one form every message about a bad value takes."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

from convprop.shown import printable, shortened, written

_LONGEST_NAME = 4096
"""Characters: a parameter may be a file, whose name is needed whole."""
_LONGEST_RULE = 1000
_BETWEEN = frozenset(("convprop", "sklearn", "joblib"))


class ConvpropError(Exception):
    """Base of every error that a user of the package can cause.

    Its lines quote files, and so may hold anything; what is shown of them is printable.
    """

    resizable: bool = False
    """Whether another ``size`` for all images mends it."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*map(printable, lines))

    def __str__(self) -> str:
        return "\n".join(self.args)


class InvalidInput(ConvpropError, ValueError):
    """A parameter or an array breaks a rule; the message names parameter, rule and value."""

    parameter: str = ""
    rule: str = ""
    received: object = None


class UnknownArgument(InvalidInput, TypeError):
    """A function or a class has no argument of that name; the message lists those it has."""


class DataError(ConvpropError, ValueError):
    """A data file or folder cannot be used; the message names it."""

    skippable: bool = False
    """Whether ``skip_unreadable`` leaves it out."""


class ModelFileError(ConvpropError, ValueError):
    """A model file is damaged, or describes something this version does not know."""


class TooFewThreads(ConvpropError, RuntimeError):
    """The system does not start as many threads as were asked for; the message has both numbers."""


class OutOfMemory(ConvpropError, MemoryError):
    """What was asked for takes more memory than there is; of a batch the message says how much."""


class TrainingDiverged(ConvpropError, RuntimeError):
    """The loss stopped being a finite number; the network holds its last good weights."""

    step: int = 0
    """How many steps those weights have taken; 0: they are the ones that training began with."""


class ConvpropWarning(UserWarning):
    """Base of the package's warnings."""


class TrainingWarning(ConvpropWarning):
    """The losses of a training show that it goes wrong."""


class RangeWarning(ConvpropWarning):
    """Images or targets have other values than those that the network was trained on."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called the package, whatever is in between.

    That is functions of its own, and what scikit-learn wraps an estimator's methods in.
    """
    frame: FrameType | None = sys._getframe()
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def invalid(parameter: str, rule: str, received: object) -> InvalidInput:
    """Return the error "<parameter> must <rule>, got <received>", each part of bounded length."""
    error = InvalidInput(sentence(parameter, rule, received))
    error.parameter, error.rule, error.received = parameter, rule, received
    return error


def sentence(what: object, rule: str, received: object) -> str:
    """Return "<what> must <rule>, got <received>", each part of bounded length."""
    name = shortened(str(what), _LONGEST_NAME)
    return f"{name} must {shortened(rule, _LONGEST_RULE)}, got {shortened(written(received))}"
