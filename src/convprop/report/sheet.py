"""Contact sheets: training images, and beside each what augmentation makes of it."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convprop.data.arrays import Array, as_images
from convprop.data.dataset import Dataset
from convprop.data.normalise import normalisation
from convprop.machine.native import engine
from convprop.report.html import Safe, figure, image, page, paragraph
from convprop.report.pictures import data_url, picture, pixels, value_range
from convprop.shown import class_shown, escape
from convprop.training.augmentation import Augment, mixup_share

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

CHOICE_STREAM = 0x5348454554
"""The engine's random stream that chooses what is shown."""

SIDE = 112
"""About how many pixels a picture's longer side has."""

_MARGIN, _GAP, _LINE, _FONT_SIZE = 20, 10, 18, 13
_INK, _MUTED, _PAPER, _RULE = "#1b1f24", "#59636e", "#ffffff", "#0072b2"


@dataclass(frozen=True)
class Cell:
    """A picture of a sheet and what stands under it."""

    picture: Image
    caption: str


def chosen_rows(labels: NDArray[np.int32], most: int, seed: int) -> NDArray[np.int64]:
    """Return rows of at most so many images by chance, from every class if there is room.

    They come in the order of their classes.
    """
    order = np.argsort(engine.random_bits(seed, CHOICE_STREAM, len(labels)), kind="stable")
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, starts, place = np.unique(labels[by_class], return_index=True, return_inverse=True)
    # The how-manieth of its class each image is: the first ones come before the second ones.
    turn = np.empty(len(labels), dtype=np.int64)
    turn[by_class] = np.arange(len(labels)) - starts[place]
    rows = order[np.argsort(turn[order], kind="stable")][:most]
    return rows[np.argsort(labels[rows], kind="stable")]


def versions(
    train: Dataset, rows: NDArray[np.int64], augment: Augment, count: int, seed: int
) -> Iterator[Array]:
    """Yield what a training with this seed sees of some images in its first epochs.

    Parameters
    ----------
    train : Dataset
        All training images: brightness, contrast, noise and erasing go by their means and
        deviations.
    rows : ndarray
        (n,); for mixup these are a batch.
    count : int
        How many epochs.

    Yields
    ------
    ndarray
        (n, C, H, W), float32, for each epoch.
    """
    images = as_images(train.images[rows], np.float32, train.image_shape)
    places = np.arange(len(rows))
    offset, scale = (values.astype(np.float32) for values in normalisation(train.images))
    deviation = (1.0 / scale).astype(np.float32)
    settings = augment.settings()
    for epoch in range(1, count + 1):
        changed = engine.augment(settings, images, places, rows, offset, deviation, seed, epoch)
        if augment.mixup:
            share = mixup_share(augment.mixup, seed, epoch)
            one, other = np.float32(share), np.float32(1.0 - share)
            changed = one * changed + other * changed[::-1]
        yield changed


def cells(
    train: Dataset, rows: NDArray[np.int64], augment: Augment | None, count: int, seed: int
) -> list[list[Cell]]:
    """Return a line of cells for each image: the image, then its versions."""
    images = train.images[rows]
    low, high = value_range(images)
    names = [class_shown(train.class_names[label]) for label in train.labels[rows]]
    lines = [
        [Cell(picture(pixels(original, low, high), SIDE), name)]
        for original, name in zip(images, names, strict=True)
    ]
    if augment is None:
        return lines
    for epoch, changed in enumerate(versions(train, rows, augment, count, seed), 1):
        share = 1.0 - mixup_share(augment.mixup, seed, epoch) if augment.mixup else 0.0
        for line, version, other in zip(lines, changed, reversed(names), strict=True):
            caption = f"{100 * share:.0f}% {other}" if augment.mixup else ""
            line.append(Cell(picture(pixels(version, low, high), SIDE), caption))
    return lines


def sheet_picture(title: Sequence[str], lines: list[list[Cell]]) -> Image:
    """Return a sheet as one picture: lines of a title, then lines of cells.

    Images that have no versions stand side by side.
    """
    from PIL import Image, ImageDraw, ImageFont

    if all(len(line) == 1 for line in lines):
        every = [cell for line in lines for cell in line]
        across = max(int(np.ceil(np.sqrt(len(every)))), 4)
        lines = [every[n : n + across] for n in range(0, len(every), across)]
        gap_after_first = 0
    else:
        gap_after_first = _GAP
    width = max(cell.picture.width for line in lines for cell in line) + _GAP
    height = max(cell.picture.height for line in lines for cell in line) + _LINE + _GAP
    font = ImageFont.load_default(_FONT_SIZE)
    columns = max(map(len, lines))
    whole = 2 * _MARGIN + columns * width - _GAP + gap_after_first
    whole = max(whole, 2 * _MARGIN + round(max(map(font.getlength, title))) + 1)
    top = _MARGIN + len(title) * _LINE + _GAP
    sheet = Image.new("RGB", (whole, top + len(lines) * height - _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, text in enumerate(title):
        place = (_MARGIN, _MARGIN + number * _LINE)
        draw.text(place, text, fill=_MUTED if number else _INK, font=font)
    for down, line in enumerate(lines):
        for across, cell in enumerate(line):
            x = _MARGIN + across * width + (gap_after_first if across else 0)
            y = top + down * height
            sheet.paste(cell.picture, (x, y))
            draw.text(
                (x, y + cell.picture.height + 2),
                _shortened(cell.caption, font, width - _GAP),
                fill=_MUTED if across and gap_after_first else _INK,
                font=font,
            )
    if gap_after_first:
        x = _MARGIN + width - _GAP // 2 + gap_after_first // 2 - 1
        draw.line([(x, top), (x, sheet.height - _MARGIN)], fill=_RULE, width=2)
    return sheet


def _shortened(text: str, font: ImageFont | FreeTypeFont, width: int) -> str:
    """Return as much of a caption as there is room for."""
    if font.getlength(text) <= width:
        return text
    # The longest beginning that fits is before the first that does not.
    lengths = range(len(text))
    too_long = bisect(lengths, float(width), key=lambda n: float(font.getlength(f"{text[:n]}...")))
    return f"{text[: max(too_long - 1, 0)]}..."


def sheet_page(title: Sequence[str], lines: list[list[Cell]]) -> str:
    """Return a sheet as a page that needs no other file."""
    body = [f"<header>\n<h1>{escape(title[0])}</h1>"]
    body += [paragraph(text, kind="about") for text in title[1:]]
    body.append("</header>")
    alone = all(len(line) == 1 for line in lines)
    if alone:
        lines = [[cell for line in lines for cell in line]]
    for line in lines:
        name = line[0].caption
        figures = [
            figure(_shown(cell, name, 0 if alone else place), cell.caption)
            for place, cell in enumerate(line)
        ]
        body.append(
            f'<div class="{"cells" if alone else "cells row"}">\n{"".join(figures)}\n</div>'
        )
    return page(title[0], body)


def _shown(cell: Cell, name: str, version: int) -> Safe:
    drawing = cell.picture
    alternative = f"{name}, version {version}" if version else cell.caption
    return image(data_url(drawing), alternative, drawing.width, drawing.height)
