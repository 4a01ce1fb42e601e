"""Reading HTML strictly: every element closed in its turn, and what tables and pictures say."""

from __future__ import annotations

import base64
import io
import itertools
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """A page's parts. What is not well formed raises AssertionError."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[int, str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.pairs: dict[str, str] = {}
        self.blocks: list[str] = []
        self.captions: list[str] = []
        self._text: list[str] = []
        self._caption = self._name = ""
        self._rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len(dict(attributes)) == len(attributes)
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"th", "td", "caption", "h1", "h2", "h3", "dt", "dd", "code", "figcaption"}:
            self._text = []
        elif tag == "tr":
            self._rows.append([])
        elif tag == "table":
            self._rows = []

    def handle_startendtag(self, tag, attributes):
        assert "svg" in self.open
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        text = " ".join("".join(self._text).split())
        if tag in {"th", "td"}:
            self._rows[-1].append(text)
        elif tag == "caption":
            self._caption = text
        elif tag == "table":
            self.tables[self._caption] = self._rows
        elif tag in {"h1", "h2", "h3"}:
            self.headings.append((int(tag[1]), text))
        elif tag == "dt":
            self._name = text
        elif tag == "dd":
            self.pairs[self._name] = text
        elif tag == "code":
            self.blocks.append("".join(self._text))
        elif tag == "figcaption":
            self.captions.append(text)

    def handle_data(self, data):
        self._text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def pictures(self) -> dict[str, np.ndarray]:
        """Return the pixels of every picture, by its alternative text."""
        return {img["alt"]: pixels_of(img["src"]) for img in self.all("img")}


def pixels_of(address: str) -> np.ndarray:
    """Return the pixels of a picture that an address holds."""
    head, _, data = address.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
        image.load()
        return np.asarray(image)


def assert_self_contained(html: str, page: Page) -> None:
    """Expect nothing that a browser would fetch or run."""
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "base", "form", "video", "use"}
        assert not [name for name in attributes if name.startswith("on") or name == "srcset"]
        for name in ("src", "href"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#"))
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policies = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def assert_accessible(page: Page) -> None:
    """Expect headings in order, names for pictures and boxes, and ids that differ."""
    levels = [level for level, _ in page.headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    assert page.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for _, attributes in page.tags:
        for reference in attributes.get("aria-labelledby", "").split():
            assert reference in ids
    assert all(img["alt"] for img in page.all("img"))
    assert len(page.all("svg")) == len(page.all("title")) - 1 == len(page.all("desc"))
    for box in (div for div in page.all("div") if div.get("tabindex")):
        assert box["role"] == "region"
        assert box["aria-label"]


def read_page(path: Path) -> Page:
    """Return a page that needs nothing else and that everybody can read."""
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert_self_contained(html, page)
    assert_accessible(page)
    return page
