"""``convprop show``: training images and what augmentation makes of them, on one sheet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import Parameter

from convprop.cli import options
from convprop.cli.augment_option import AugmentOption, augment_text
from convprop.cli.options import UsageError, unknown_name
from convprop.cli.terminal import Terminal, left_out
from convprop.data import Dataset, load
from convprop.errors import sentence
from convprop.files.atomic import check_writable, replace_file
from convprop.layers import shape_text
from convprop.report.pictures import png
from convprop.report.sheet import cells, chosen_rows, sheet_page, sheet_picture
from convprop.report.words import counted
from convprop.shown import class_shown

ENDINGS = (".png", ".html")
IMAGES, VERSIONS = 8, 6
MOST_PICTURES = 5000


def show(
    data: options.DataName = "digits",
    /,
    *,
    augment: AugmentOption = None,
    images: options.Count = None,
    versions: options.Count = None,
    class_: Annotated[str | None, Parameter(name="--class")] = None,
    seed: options.Seed = 0,
    size: options.Size = None,
    out: options.FileName | None = None,
    skip_unreadable: options.SkipUnreadable = False,
) -> None:
    """Show training images on a sheet, and what augmentation makes of them.

    Parameters
    ----------
    data
        digits (the default), mnist, a folder with one subfolder of images per class, an .npz
        file, or a folder of idx files.
    augment
        What may happen to an image, as for convprop train: names with values as in
        "shift=2 rotation=10 flip=horizontal". The versions are what a training with the same
        seed sees in its first epochs.
    images
        How many images; 8 if not given, 40 without --augment. Every class has its turn.
    versions
        How many versions of each; 6 if not given.
    class_
        Show images of this class only.
    seed
        Seed of the choice of images and of the augmentation; 0 if not given.
    size
        Resize every image, to a square as in 32 or to rows and columns as in 32x48, at most
        99999 each.
    out
        File to write, a picture or a page by its ending, .png or .html; DATA-sheet.png if not
        given.
    """
    if augment is None and versions is not None:
        raise UsageError("--versions must come with --augment")
    number = images or (IMAGES if augment is not None else 5 * IMAGES)
    each = (versions or VERSIONS) if augment is not None else 0
    if number * (1 + each) > MOST_PICTURES:
        raise UsageError(f"--images and --versions must give at most {MOST_PICTURES:,} pictures")
    out = _default_name(data) if out is None else out
    if out.suffix.lower() not in ENDINGS:
        raise UsageError(sentence("--out", f"end in {' or '.join(ENDINGS)}", out))
    with options.written_by("--out"):
        check_writable(out)
    terminal = Terminal()
    with terminal.reading(data):
        split = load(data, size=size, skip_unreadable=skip_unreadable)
    train = split.train
    of_class = _of_class(train, class_)
    rows = of_class[chosen_rows(train.labels[of_class], number, seed)]
    terminal.labelled(
        "data",
        f"{train.name}: {counted(len(train), 'training image')}",
        shape_text(train.image_shape),
        counted(len(train.class_names), "class"),
        *left_out(split.left_out),
    )
    terminal.skipped(split.skipped)
    title = [f"{train.name}: {len(rows):,} of {counted(len(of_class), 'training image')}"]
    if class_ is not None:
        title[0] += f" of {class_shown(class_)}"
    if augment is not None:
        words = augment_text(augment) or "no change"
        title.append(f"{words}, seed {seed}")
        terminal.labelled("augment", *augment_text(augment).split(), f"seed {seed}")
    lines = cells(train, rows, augment, each, seed)
    if out.suffix.lower() == ".html":
        sheet = sheet_page(title, lines).encode()
    else:
        sheet = png(sheet_picture(title, lines))
    with options.written_by("--out"):
        replace_file(out, sheet)
    made = f" in {counted(each, 'version')}" if each else ""
    terminal.labelled("saved", str(out), f"{counted(len(rows), 'image')}{made}")


def _default_name(data: str) -> Path:
    path = Path(os.path.abspath(data))
    return Path(f"{path.stem if path.suffix.lower() == '.npz' else path.name}-sheet.png")


def _of_class(train: Dataset, name: str | None) -> np.ndarray:
    """Return the rows of a class, or all."""
    if name is None:
        return np.arange(len(train))
    if name not in train.class_names:
        raise UsageError(unknown_name("--class", "be one of", train.class_names, name))
    rows = np.flatnonzero(train.labels == train.class_names.index(name))
    if not len(rows):
        raise UsageError(sentence("--class", "have training images", name))
    return rows
