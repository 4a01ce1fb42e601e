"""A real browser, for the tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

COMMANDS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Playwright's Chromium, or the system's; skip where there is none, but in CI fail."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        missing("Playwright is not installed: pip install 'convprop[browser]'")
    with sync_playwright() as playwright:
        system = next(filter(None, map(shutil.which, COMMANDS)), None)
        # A container's root may not use Chromium's sandbox; the pages are our own.
        try:
            browser = playwright.chromium.launch(executable_path=system, args=["--no-sandbox"])
        except Error as error:
            missing(f"no Chromium starts: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


def missing(reason: str) -> None:
    """Fail where everything must be tested, skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def shown(browser: Any, path: Path, width: int, **options: Any) -> Iterator[Any]:
    """Show a file; expect a quiet console and no request but for the file."""
    said: list[str] = []
    requested: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 800}, **options)
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.goto(path.as_uri())
    yield page
    assert said == []
    assert [url for url in requested if not url.startswith("data:")] == [path.as_uri()]
    context.close()


def assert_fits(page: Any) -> None:
    """Expect a page no wider than the window, and pictures that could be shown."""
    width, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= window
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
