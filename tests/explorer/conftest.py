"""A running explorer for all tests of a file."""

import pytest
from server import Client, running


@pytest.fixture(scope="module")
def stranger():
    """A client that has not entered, of a server that no other test's pages can end."""
    with running(stays=True) as client:
        yield client


@pytest.fixture(scope="module")
def client(stranger):
    """A client that has."""
    known = object.__new__(Client)
    known.__dict__.update(stranger.__dict__)
    return known.enter()
