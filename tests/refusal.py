"""Error messages are compared word by word."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def refuses(error: type[Exception], message: str) -> Iterator[None]:
    """Expect exactly ``error`` with exactly ``message``."""
    with pytest.raises(error) as caught:
        yield
    assert type(caught.value) is error
    assert str(caught.value) == message
