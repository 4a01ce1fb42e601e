"""Convolutional networks on the CPU: fast, exact to the bit, and open to the last product."""

from typing import TYPE_CHECKING, Any

from convprop import (
    _cpu,  # noqa: F401 - before all that an interpreter which it refuses would have to end with
    _startup,  # noqa: F401 - before all that takes time to import
    doors,  # noqa: F401 - methods of its classes
    equations,
    initializers,
    ops,
    schedules,
)
from convprop.data.stream import ImageFiles
from convprop.errors import (
    ConvpropError,
    ConvpropWarning,
    DataError,
    InvalidInput,
    ModelFileError,
    OutOfMemory,
    RangeWarning,
    TooFewThreads,
    TrainingDiverged,
    TrainingWarning,
)
from convprop.files.model import load
from convprop.graph import Parallel, Residual, SqueezeExcite
from convprop.layers import *  # noqa: F403 - a new one is named there alone
from convprop.layers import __all__ as _layers
from convprop.losses import BinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError
from convprop.machine.threads import get_num_threads, set_num_threads
from convprop.network import Network
from convprop.optimizers import LAMB, LARS, SGD, Adadelta, Adam, AdamW, RMSprop
from convprop.presets import preset
from convprop.training import train
from convprop.training.augmentation import Augment
from convprop.training.checkpoint import CheckpointError, Checkpoints, CheckpointWarning
from convprop.training.lookahead import Lookahead
from convprop.training.stopping import EarlyStopping

if TYPE_CHECKING:
    from convprop import explain
    from convprop.estimators import ConvNetClassifier, ConvNetRegressor

__all__ = [
    "LAMB",
    "LARS",
    "SGD",
    "Adadelta",
    "Adam",
    "AdamW",
    "Augment",
    "BinaryCrossEntropy",
    "CheckpointError",
    "CheckpointWarning",
    "Checkpoints",
    "ConvNetClassifier",
    "ConvNetRegressor",
    "ConvpropError",
    "ConvpropWarning",
    "DataError",
    "EarlyStopping",
    "ImageFiles",
    "InvalidInput",
    "Lookahead",
    "ModelFileError",
    "Network",
    "OutOfMemory",
    "Parallel",
    "RMSprop",
    "RangeWarning",
    "Residual",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "SqueezeExcite",
    "TooFewThreads",
    "TrainingDiverged",
    "TrainingWarning",
    "__version__",  # noqa: F405 - __getattr__ has it
    "equations",
    "explain",
    "get_num_threads",
    "initializers",
    "load",
    "ops",
    "preset",
    "schedules",
    "set_num_threads",
    "train",
]
__all__ += _layers


def __getattr__(name: str) -> Any:
    # importlib.metadata takes a fifth of the import's time, and few ask for the version.
    if name == "__version__":
        from convprop.version import version

        return version()
    if name == "explain":
        from importlib import import_module

        return import_module("convprop.explain")
    # scikit-learn takes a second to import.
    if name in ("ConvNetClassifier", "ConvNetRegressor"):
        from convprop import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
