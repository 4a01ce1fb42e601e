"""What several test files need."""

import gc
import os
from pathlib import Path

import pytest

from convprop.about import profile

# scikit-learn's check that its array API mode changes nothing asks for it, and SciPy reads it
# when it is imported.
os.environ.setdefault("SCIPY_ARRAY_API", "1")


BESIDE = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_finish() -> None:
    """Keep what is there by now out of Python's later searches for garbage, which take longer."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def usual_limit_seconds() -> float:
    """Let profiles measure the machine for a tenth of the usual time, and return that."""
    usual = profile.LIMIT_SECONDS
    profile.LIMIT_SECONDS = usual / 10
    return usual


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Return the folder of the real MNIST idx files.

    It lies beside the repository unless CONVPROP_MNIST names another.
    """
    folder = Path(os.environ.get("CONVPROP_MNIST", BESIDE / "mnist"))
    if folder.is_dir():
        return folder
    missing = f"the idx files of MNIST are not in {folder}; CONVPROP_MNIST may name their folder"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def photographs_folder() -> Path:
    """Return a folder of photographs, one subfolder a class, such as the tutorials' ants and bees.

    It lies beside the repository unless CONVPROP_PHOTOGRAPHS names another.
    """
    folder = Path(os.environ.get("CONVPROP_PHOTOGRAPHS", BESIDE / "hymenoptera" / "train"))
    if not folder.is_dir():
        pytest.skip(f"no photographs are in {folder}; CONVPROP_PHOTOGRAPHS may name their folder")
    return folder
