"""CONTRIBUTING.md's "Add an operation", followed to the letter in a copy of the repository.

Its blocks are taken as they stand and put where the line above each says; the copy is built for
one instruction set, and what is new is proved there. A step that is missing from the document is
missing from the copy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from convprop.machine.native import engine

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
RECORDED = "src/convprop/check/bits.txt"
MOST = {"An activation": 4, "A pooling": 7, "Another operation": 7}
"""Files that an addition may touch, the recorded bits among them."""

EDIT = re.compile(
    r"^ *In `(?P<path>[^`]+)`, "
    r"(?:a new file|(?P<how>before|behind|instead of) `(?P<text>[^`]+)`)\n\n"
    r"(?P<indent> *)```\w+\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


class Edit(NamedTuple):
    path: str
    how: str | None
    text: str
    code: str

    def make(self, root: Path) -> None:
        """Put the code where it belongs; the text must be in one line of the file."""
        file = root / self.path
        if self.how is None:
            assert not file.exists()
            file.write_text(self.code, "utf-8")
            return
        lines = file.read_text("utf-8").splitlines(keepends=True)
        (at,) = (number for number, line in enumerate(lines) if self.text in line)
        match self.how:
            case "before":
                lines.insert(at, self.code)
            case "behind":
                lines.insert(at + 1, self.code)
            case _:
                lines[at] = lines[at].replace(self.text, self.code.rstrip("\n"))
        file.write_text("".join(lines), "utf-8")


def section_of(title: str) -> str:
    """Return the text below a heading of the document, up to the next one."""
    (found,) = (
        text.removeprefix(f"{title}\n")
        for text in re.split(r"^###? ", DOCUMENT, flags=re.MULTILINE)
        if text.startswith(f"{title}\n")
    )
    return found


def edits(section: str) -> list[Edit]:
    """Return what a section of the document says to write."""
    return [
        Edit(one["path"], one["how"], one["text"] or "", _code(one))
        for one in EDIT.finditer(section_of(section))
    ]


def recording() -> list[str]:
    """Return what Python is told in the step that records bits, which all sections have."""
    first, *others = map(section_of, MOST)
    assert all("**Bits.** As an activation's." in other for other in others)
    return re.search(r"\*\*Bits\.\*\* `python ([^`]+)`", first)[1].split()


def _code(block: re.Match[str]) -> str:
    """Return a block without the indentation of the list that it stands in."""
    return re.sub(rf"^{block['indent']}", "", block["code"], flags=re.MULTILINE)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in tracked_in(root)}


def tracked_in(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        yield from (Path(folder, name) for name in names if not name.endswith(".pyc"))


def recorded(text: str) -> dict[str, str]:
    """Return the cases of recorded bits: each one's line, and the lines of its hashes."""
    cases = re.findall(r"^(\S.*)\n((?:  .*\n)+)", text, re.MULTILINE)
    assert cases
    return dict(cases)


def copy_of_the_tracked_files(to: Path) -> Path:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    return to


class Copy:
    """A copy of the repository with a Python of its own, which imports it.

    Its environment is given this one's packages by a path file, and so does not run their path
    files, among them that of an editable installation of convprop.
    """

    def __init__(self, folder: Path) -> None:
        self.root = copy_of_the_tracked_files(folder / "copy")
        self.build = folder / "build"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        self.python = folder / "venv" / "bin" / "python"
        paths = [str(self.root / "src"), sysconfig.get_path("purelib")]
        (site,) = folder.glob("venv/lib/python*/site-packages")
        (site / "copy.pth").write_text("\n".join(paths))

    def run(self, *command: str | Path, **environment: str) -> str:
        """Return what a command says; fail with it where the command does."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ran = subprocess.run(
            [str(word) for word in command],
            cwd=self.root,
            env=os.environ | {"PATH": path, "CONVPROP_ISA": engine.isa} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert ran.returncode == 0, f"{command}:\n{ran.stdout[-6000:]}"
        return ran.stdout

    def configure(self, build: Path, *options: str) -> None:
        """Configure a build for one instruction set.

        Nothing of the bits depends on how far the compiler optimises, and -O1 is built sooner.
        """
        launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        quick = ["-DCMAKE_BUILD_TYPE=Quick", "-DCMAKE_CXX_FLAGS_QUICK=-O1"]
        isa = f"-DCONVPROP_ISAS={engine.isa}"
        self.run("cmake", "-G", "Ninja", "-S", ".", "-B", build, isa, *quick, *launcher, *options)

    def compile(self) -> None:
        """Build the engine into the copy's package."""
        self.configure(self.build, f"-DPython_EXECUTABLE={self.python}")
        self.run("cmake", "--build", self.build)
        self.run("cmake", "--install", self.build, "--prefix", self.root / "src")

    def compile_selftest(self) -> Path:
        """Build the kernels' self-test."""
        build, name = self.build / "selftest", f"selftest_{engine.isa}"
        self.configure(build, "-DCONVPROP_SELFTEST=ON")
        self.run("cmake", "--build", build, "--target", name)
        return build / name


def test_the_steps_name_places_that_there_are(tmp_path: Path) -> None:
    """What takes no compiler: every block has its place, and the files are as few as is said."""
    root = copy_of_the_tracked_files(tmp_path)
    for section, most in MOST.items():
        steps = edits(section)
        assert 2 * len(steps) == section_of(section).count("```")
        assert len({step.path for step in steps} | {RECORDED}) <= most
        for step in steps:
            step.make(root)


@pytest.mark.slow
def test_what_is_added_by_the_steps_of_the_document_is_right(tmp_path: Path) -> None:
    for needed in ("cmake", "ninja", "nanobind"):
        if not find_spec(needed):
            pytest.skip(f"building takes {needed}")
    copy = Copy(tmp_path)
    before = contents(copy.root)
    touched = {}
    for section in MOST:
        for step in edits(section):
            step.make(copy.root)
        touched[section] = {step.path for step in edits(section)}
    copy.run(copy.python, "-m", "ruff", "format", "--no-cache", ".")
    copy.run(copy.python, "-m", "ruff", "check", "--no-cache", ".")
    copy.run(copy.python, "-m", "mypy", "--cache-dir", tmp_path / "mypy")
    after = contents(copy.root)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == set().union(*touched.values())

    copy.compile()
    copy.run(copy.python, *recording())
    old = recorded(before[RECORDED].decode())
    new = recorded((copy.root / RECORDED).read_text("ascii"))
    assert old.items() <= new.items(), "recorded bits have changed"
    for section, most in MOST.items():
        assert len(touched[section] | {RECORDED}) <= most, section

    assert "proved" in copy.run(copy.python, "tests/how_to_proof.py", tmp_path)
    assert copy.run(copy.python, "-m", "convprop", "check").count("log_sigmoid") >= 4
    wanted = "log_sigmoid or sum or exports or same_activations or kinds"
    files = ("test_equations.py", "test_ops.py", "test_layers.py", "explain/test_cases.py")
    ran = copy.run(
        copy.python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", wanted,
        *(f"tests/{file}" for file in files),
    )  # fmt: skip
    assert int(re.search(r"(\d+) passed", ran)[1]) > 60
    said = copy.run(copy.compile_selftest(), RECORDED, "2", "1", "3")
    assert " 0 failed" in said
    assert all(f"ok      {name} " in said for name in ("log_sigmoid", "sum-zeros", "scaled-40"))
