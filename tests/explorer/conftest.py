"""A running explorer for all tests of a file."""

import pytest
from server import Client, running


@pytest.fixture(scope="module")
def stranger():
    """A client that has not entered."""
    with running() as client:
        yield client


@pytest.fixture(scope="module")
def client(stranger):
    """A client that has."""
    known = object.__new__(Client)
    known.__dict__.update(stranger.__dict__)
    return known.enter()
