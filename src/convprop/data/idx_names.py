"""Which files of a folder are the parts of an idx data set, whatever its distributor calls them.

MNIST, Fashion-MNIST and KMNIST name them train-images-idx3-ubyte and t10k-labels-idx1-ubyte,
gzipped or not; EMNIST and QMNIST put their own name in front and say test in the place of t10k;
torchvision lays all of them into MNIST/raw and the like.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from convprop.data.dataset import quoted
from convprop.data.faults import unusable

EXPECTED = "train-images-idx3-ubyte and train-labels-idx1-ubyte, or .gz"
"""For messages."""

_NAME = re.compile(
    r"(?P<prefix>(?:.*[-_.])?)(?P<part>train|t10k|test)-(?P<content>images|labels)"
    r"[-.]idx\d-(?:ubyte|int)(?:\.gz)?"
)


@dataclass
class IdxFiles:
    """The files of one set, by ("train" or "test", "images" or "labels")."""

    folder: Path
    prefix: str
    paths: dict[tuple[str, str], Path] = field(default_factory=dict)

    def has(self, part: str) -> bool:
        """Whether there is any file of a part."""
        return any(there == part for there, _ in self.paths)

    def path(self, part: str, content: str) -> Path:
        """Return a file; raise DataError where it is missing."""
        found = self.paths.get((part, content))
        if found is None:
            wanted = "t10k" if part == "test" and not self.prefix else part
            axes = 3 if content == "images" else 1
            file_name = f"{self.prefix}{wanted}-{content}-idx{axes}-ubyte"
            raise unusable(self.folder, f"hold {file_name} or {file_name}.gz", "neither")
        return found


def find(path: Path) -> IdxFiles | None:
    """Return the idx files of ``path``; None where there are none.

    Parameters
    ----------
    path : Path
        A folder that holds them itself, in raw or in NAME/raw; of one that holds several sets, the
        folder and the prefix of one, as in EMNIST/raw/emnist-letters.

    Raises
    ------
    DataError
        Several sets; the message says how to name one.
    """
    if not os.path.isdir(path):
        return next(
            (found for found in _sets(path.parent) if found.prefix == f"{path.name}-"), None
        )
    for folders in ([path], [path / "raw", *(folder / "raw" for folder in _subfolders(path))]):
        sets = [found for folder in folders for found in _sets(folder)]
        if len(sets) > 1:
            ways = [str(found.folder / found.prefix.rstrip("-")) for found in sets]
            received = f"{len(sets)}; name one of them: {quoted(ways)}"
            raise unusable(path, "hold one set of idx files", received)
        if sets:
            return sets[0]
    return None


def _subfolders(folder: Path) -> list[Path]:
    with suppress(OSError), os.scandir(folder) as found:
        return sorted(Path(entry.path) for entry in found if entry.is_dir())
    return []


def _sets(folder: Path) -> list[IdxFiles]:
    """Return the sets of a folder; none of one that is missing or may not be read."""
    found: dict[str, IdxFiles] = {}
    # Of a name that no file can have, a ValueError.
    with suppress(OSError, ValueError):
        for name in sorted(os.listdir(folder)):
            match = _NAME.fullmatch(name)
            if match is None or not (folder / name).is_file():
                continue
            files = found.setdefault(match["prefix"], IdxFiles(folder, match["prefix"]))
            key = "train" if match["part"] == "train" else "test", match["content"]
            # The file itself before its gzipped copy, which a download may leave beside it.
            files.paths.setdefault(key, folder / name)
    return list(found.values())
