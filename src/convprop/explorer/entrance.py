"""A file that leads a browser to the page, so that no secret stands in the browser's command line.

Every user of a machine can read with which words a program was started; this file only its owner.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>convprop explore</title>
<meta http-equiv="refresh" content="0; url={url}">
<p>This file leads to the explorer once. The address that <code>convprop explore</code> has printed
leads there as often as you like.</p>
"""


@contextmanager
def entrance_file(url: str) -> Iterator[Path]:
    """Give a file that leads to ``url``, in a folder that its owner alone can enter."""
    with _private_folder() as folder:
        file = Path(folder, "explorer.html")
        file.touch(0o600)
        file.write_text(_PAGE.format(url=escape(url)), encoding="utf-8")
        yield file


def _private_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder; a browser in a sandbox of its own has another one than our /tmp."""
    try:
        return tempfile.TemporaryDirectory(prefix="convprop-", dir=Path.home())
    except (OSError, RuntimeError):  # There is no home, or it cannot be written.
        return tempfile.TemporaryDirectory(prefix="convprop-")
