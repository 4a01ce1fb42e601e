"""What several test files need."""

import os
from pathlib import Path

import pytest

MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Return the folder of the real MNIST idx files, which lies beside the repository."""
    if MNIST.is_dir():
        return MNIST
    if os.environ.get("CI") == "true":
        pytest.fail(f"{MNIST} does not exist")
    pytest.skip(f"{MNIST} does not exist")
