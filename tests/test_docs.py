"""The pages: their code runs, and prints what they say it prints.

A page's blocks are run in order, in one namespace and in a folder of its own. A block of
``python`` is executed. Of a block of ``sh``, the lines that begin with ``convprop`` are run. A
block of ``toml`` is the file that its first line names. What a block of ``text`` shows, directly
below one that runs, must have been printed; three dots there stand for anything.

    PYTHONPATH=examples python tests/test_docs.py PAGE...

puts what is printed now in the place of what a page shows, and draws its pictures anew (that of
the report in Chromium).
"""

from __future__ import annotations

import contextlib
import doctest
import io
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import convprop as cp
from browser import chromium, shown
from convprop.cli.app import COMMANDS, run
from convprop.initializers import INITIALIZERS
from convprop.machine.native import engine
from convprop.schedules import SCHEDULES
from drawings import draw_photos
from pages import Page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHER_PROGRAMS = (".venv/bin/pip", ".venv/bin/python", "pip", "python", "python3", "tensorboard")
"""What begins a line of shell that is not ours to run."""

DRAWN = {"find-rate.svg": "rates.svg", "report.png": "report.html"}
"""Pictures of pages, and the files that the pages' commands write of what they show."""

SAME_BITS = "x86_64_v2" not in engine.__name__
"""Numbers on the pages are those of processors with fused multiply-add."""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    start: int
    """Where in the page the text begins."""
    line: int
    """The same as a line, from 1."""
    needs: str | None
    """What a comment above it says that it needs."""
    follows: bool
    """Whether there is nothing but a blank line between the block before and this one."""


def blocks(page: Path) -> list[Block]:
    """Return the blocks in a language; {directives} and plain figures of text have none."""
    found, text, end = [], page.read_text(), -1
    fence = re.compile(
        r"^(?:<!-- needs: (?P<needs>\w+) -->\n)?```(?P<language>[^`\n]*)\n(?P<text>.*?)^```$",
        re.MULTILINE | re.DOTALL,
    )
    for match in fence.finditer(text):
        follows = text[end : match.start()].strip() == "" and end >= 0
        line = text.count("\n", 0, match.start("text")) + 1
        start = match.start("text")
        found.append(Block(match["language"], match["text"], start, line, match["needs"], follows))
        end = match.end()
    return [block for block in found if block.language.isalpha()]


class Reader:
    """Does with a page's blocks what a reader would."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.names: dict[str, Any] = {"__name__": page.stem}
        self.printed = ""

    def do(self, block: Block) -> None:
        """Run a block; of one that shows what was printed, see that it does."""
        match block.language:
            case "python":
                self.printed = self.python(block)
            case "sh":
                self.printed = self.shell(block)
            case "toml":
                Path(block.text.splitlines()[0].removeprefix("# ")).write_text(block.text)
            case "text":
                assert block.follows, f"{self.page}:{block.line}: nothing printed this"
                assert not SAME_BITS or self.shows(block), (
                    f"{self.page}:{block.line} shows\n{block.text}\nand this was printed\n"
                    f"{self.printed}"
                )
            case other:
                pytest.fail(f"{self.page}:{block.line}: what is to be done with {other}?")

    def python(self, block: Block) -> str:
        """Execute a block, under the line numbers of its page."""
        code = compile("\n" * (block.line - 1) + block.text, str(self.page), "exec")
        with redirect_stdout(io.StringIO()) as printed:
            exec(code, self.names)
        return printed.getvalue()

    def shell(self, block: Block) -> str:
        """Run the lines that are ours, in this process."""
        printed = io.StringIO()
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["convprop"]:
                with redirect_stdout(printed), redirect_stderr(printed):
                    status = run(words[1:])
                    if status:
                        print(f"exit status {status}")
            else:
                assert not words or words[0] in OTHER_PROGRAMS, f"{self.page}: {line}"
        assert "exit status" not in printed.getvalue(), printed.getvalue()
        return printed.getvalue()

    def shows(self, block: Block) -> bool:
        """Whether a block says what was printed."""
        checker = doctest.OutputChecker()
        return checker.check_output(block.text, _tidy(self.printed), doctest.ELLIPSIS)


def _tidy(text: str) -> str:
    """Return lines as a page has them: nothing before the first, after the last, at the ends."""
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of made-up photos, one subfolder a class, such as a reader may have."""
    folder = tmp_path_factory.mktemp("pages") / "photos"
    draw_photos(folder, 40)
    return folder


@pytest.fixture
def a_new_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand in an empty folder, in a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    threads = cp.get_num_threads()
    yield
    cp.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.usefixtures("a_new_terminal")
def test_the_pages_run(page: Path, photos: Path, request: pytest.FixtureRequest) -> None:
    if "photos/" in page.read_text():
        shutil.copytree(photos, "photos")
    reader = Reader(page)
    for block in blocks(page):
        if block.needs == "mnist":
            os.symlink(request.getfixturevalue("mnist_folder"), "mnist")
        elif block.needs is not None:
            pytest.importorskip(block.needs)
        reader.do(block)
    for picture, written in drawn(page):
        assert not SAME_BITS or is_of(picture, written), f"{picture} is not of {written} any more"


def drawn(page: Path) -> list[tuple[Path, Path]]:
    """Return the pictures that a page shows of what its commands write, and what they write."""
    names = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", page.read_text())
    return [(page.parent / name, Path(DRAWN[name])) for name in names if name in DRAWN]


def is_of(picture: Path, written: Path) -> bool:
    """Whether a picture is of what was written; of a page's, whether it names the same figures."""
    if picture.suffix == ".svg":
        return picture.read_text() == written.read_text()
    with Image.open(picture) as image:
        return image.info.get("Description") == figures(written)


def figures(report: Path) -> str:
    """Return a report's command and the figures that it begins with, but for the time."""
    page = Page(report.read_text())
    names = itertools.takewhile(lambda name: name != "data", page.pairs)
    lines = [f"{name} {page.pairs[name]}" for name in names if name != "training time"]
    return "\n".join([page.blocks[0], *lines])


def draw(picture: Path, written: Path) -> None:
    """Make a picture anew: a drawing as it was written, of a page the upper part in a browser."""
    if picture.suffix == ".svg":
        shutil.copy(written, picture)
        return
    with chromium() as browser, shown(browser, written.resolve(), 900) as page:
        clip = {"x": 0, "y": 0, "width": 900, "height": 1250}
        image = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip)))
    text = PngInfo()
    text.add_text("Description", figures(written))
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(picture, pnginfo=text, optimize=True)


def test_every_public_name_is_in_the_reference() -> None:
    pages = " ".join(page.read_text() for page in (ROOT / "docs/reference").glob("*.md"))
    documented = set(
        re.findall(r"(?:autoclass|autofunction|automodule|py:data|autodata):: (\S+)", pages)
    )
    for module, place in re.findall(r"^```{public} (\S+) (\S+)$", pages, re.MULTILINE):
        documented |= {f"{place}.{name}" for name in import_module(module).__all__}
    modules = ("equations", "explain", "initializers", "ops", "schedules")
    names = {f"convprop.{name}" for name in cp.__all__ if name not in (*modules, "__version__")}
    names |= {f"convprop.equations.{name}" for name in cp.equations.__all__}
    names |= {f"convprop.explain.{name}" for name in cp.explain.__all__}
    names |= {
        f"{kind.__module__}.{kind.__name__}"
        for kind in (*INITIALIZERS.values(), *SCHEDULES.values())
    }
    assert names <= documented, sorted(names - documented)


def test_the_derivation_has_every_equation_in_order() -> None:
    page = (ROOT / "docs/explanation/backpropagation.md").read_text()
    shown = re.findall(r"^```{equation} (.*)$", page, re.MULTILINE)
    assert [int(key) for key in shown if key.isdecimal()] == list(range(1, 23))
    assert set(shown) == {str(key) for key in cp.equations.EQUATIONS}


def test_links_between_files_lead_somewhere() -> None:
    pages = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "DESIGN.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith(("http", "mailto")):
                assert (page.parent / target).exists(), f"{page}: {target}"


def site_commands(page: Path) -> list[list[str]]:
    """Return the words of the two commands by which a page says that the site is built."""
    *_, block = (block for block in blocks(page) if "sphinx" in block.text)
    return [shlex.split(line) for line in block.text.splitlines()]


def test_how_the_site_is_built() -> None:
    install, build = site_commands(ROOT / "README.md")
    assert site_commands(ROOT / "docs/index.md") == [install, build]
    assert build[:3] == [".venv/bin/python", "-m", "sphinx"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert install == [".venv/bin/pip", "install", f"{project['name']}[docs]"]
    assert "docs" in project["optional-dependencies"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as CONTRIBUTING says how to build it: a warning is an error."""
    for module in ("furo", "latex2mathml", "myst_parser", "sphinx"):
        pytest.importorskip(module, reason="the site needs convprop[docs]")
    built = tmp_path_factory.mktemp("site")
    *command, target = site_commands(ROOT / "README.md")[1]
    assert target == "build/site"
    done = subprocess.run(
        [sys.executable, *command[1:], "-W", "--keep-going", "-n", "-q", str(built)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return built


def test_the_site_asks_nobody_for_anything(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]+)")
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        assert loads.findall(page.read_text()) == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", sheet.read_text()), sheet


def test_the_site_has_the_mathematics_and_the_commands(site: Path) -> None:
    derivation = (site / "explanation/backpropagation.html").read_text()
    numbers = re.findall(r'href="#equation-(\d+)">\(\1\)</a>', derivation)
    assert [int(number) for number in numbers] == list(range(1, 23))
    assert derivation.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"') > 22
    commands = (site / "reference/command-line.html").read_text()
    for command in COMMANDS:
        assert f'id="convprop-{command.__name__.replace("_", "-")}"' in commands


def rewrite(page: Path) -> None:
    """Put what a page's blocks print into it."""
    reader, text, done = Reader(page), "", 0
    before = page.read_text()
    for block in blocks(page):
        if block.language != "text":
            reader.do(block)
        elif not reader.shows(block) and "..." in block.text:
            print(f"{page}:{block.line}: put in by hand what is to be seen of\n{reader.printed}")
        elif not reader.shows(block):
            text += before[done : block.start] + _tidy(reader.printed)
            done = block.start + len(block.text)
    page.write_text(text + before[done:])
    for picture, written in drawn(page):
        draw(picture, written)


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    for name in sys.argv[1:]:
        page = Path(name).resolve()
        with TemporaryDirectory() as folder, contextlib.chdir(folder):
            draw_photos(Path("photos"), 40)
            rewrite(page)
