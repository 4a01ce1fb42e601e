"""What every test of the command line needs."""

import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import QUICK, stripes

from convprop.cli import app as cli


@pytest.fixture(scope="session", autouse=True)
def hang_up_is_heard() -> None:
    """Undo what nohup does to this process, and so to those that it starts."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def stripes_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz file of 80 training and 20 test images."""
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    images, labels = stripes(100)
    np.savez(path, images=images, labels=labels, class_names=["lying", "standing"])
    return path


@pytest.fixture(scope="session")
def stripes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kind of images as PNG files, one subfolder a class, of another size."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("lying", "standing"):
        (folder / name).mkdir()
    images, labels = stripes(20)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        name = ("lying", "standing")[label]
        Image.fromarray(image).resize((16, 16), 0).save(folder / name / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, stripes_file: Path) -> Path:
    """A network that tells the stripes apart."""
    path = tmp_path_factory.mktemp("model") / "stripes.safetensors"
    assert cli.run(["train", str(stripes_file), *QUICK, "--out", str(path)]) == 0
    return path


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the terminal that runs the tests into them."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
