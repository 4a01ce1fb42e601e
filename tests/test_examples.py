"""The examples run, and print and draw what docs/examples/ keeps of them.

    PYTHONPATH=examples python tests/test_examples.py [NAME...]

keeps it anew.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from test_docs import SAME_BITS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs" / "examples"
HELPERS = ("drawings", "pictures")
EXAMPLES = [path for path in sorted(ROOT.glob("examples/*.py")) if path.stem not in HELPERS]
PIXELS = re.compile(r'href="data:image/png;base64,([^"]*)"')


def printed_by(path: Path, *arguments: str) -> str:
    """Run an example in the current folder."""
    before = sys.argv
    sys.argv = [str(path), *arguments]
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = before
    return printed.getvalue()


def taken_apart(drawing: str) -> tuple[str, list[np.ndarray]]:
    """Return a drawing's text, and the pixels in it: files of one image are not all the same."""
    files = [base64.b64decode(data) for data in PIXELS.findall(drawing)]
    pixels = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    return PIXELS.sub("", drawing), pixels


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    needed = [str(request.getfixturevalue("mnist_folder"))] if path.stem == "mnist" else []
    monkeypatch.chdir(tmp_path)
    printed = printed_by(path, *needed)
    drawings = sorted(drawing.name for drawing in tmp_path.glob("*.svg"))
    assert drawings == sorted(kept.name for kept in KEPT.glob(f"{path.stem}*.svg"))
    if not SAME_BITS:
        return
    assert printed == (KEPT / f"{path.stem}.txt").read_text()
    for name in drawings:
        text, pixels = taken_apart((tmp_path / name).read_text())
        kept_text, kept_pixels = taken_apart((KEPT / name).read_text())
        assert text == kept_text
        assert [image.shape for image in pixels] == [image.shape for image in kept_pixels]
        if path.stem != "photos":  # JPEG leaves a decoder some freedom.
            assert all(map(np.array_equal, pixels, kept_pixels))


def test_each_example_has_its_page() -> None:
    for path in EXAMPLES:
        page = (KEPT / f"{path.stem.replace('_', '-')}.md").read_text()
        assert f"../../examples/{path.name}" in page
        assert f"{path.stem}.txt" in page
        for drawing in KEPT.glob(f"{path.stem}*.svg"):
            assert f"({drawing.name})" in page


if __name__ == "__main__":
    os.chdir(KEPT)
    for path in EXAMPLES:
        if sys.argv[1:] and path.stem not in sys.argv[1:]:
            continue
        needed = [os.environ["CONVPROP_MNIST"]] if path.stem == "mnist" else []
        Path(f"{path.stem}.txt").write_text(printed_by(path, *needed))
    for model in Path().glob("*.safetensors"):
        model.unlink()
