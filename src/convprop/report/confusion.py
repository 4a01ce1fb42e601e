"""The confusion matrix: a table of few classes, a picture of many, and the largest mistakes."""

from __future__ import annotations

import math

import numpy as np

from convprop.report.html import Safe, figure, image, paragraph, scrolling, section, table
from convprop.report.measure import Measured
from convprop.report.pictures import NEGATIVE, POSITIVE, data_url
from convprop.report.words import percent
from convprop.shown import escape

MOST_IN_TABLE = 20
MOST_PIXELS = 400
MOST_PAIRS = 15
_SHADES = 5
# Longer names of columns stand upright.
_LEVEL_LETTERS = 3


def confusion_section(measured: Measured) -> Safe:
    """Return what was taken for what."""
    classes = len(measured.class_names)
    content = []
    if classes <= MOST_IN_TABLE:
        content.append(_table(measured))
    else:
        content.append(_picture(measured))
    if pairs := _pairs(measured):
        content.append(pairs)
    else:
        content.append(paragraph("No image was taken for another class."))
    return section("confusion", "Confusion", f'<div class="beside">\n{"".join(content)}\n</div>')


def _table(measured: Measured) -> Safe:
    matrix = measured.matrix()
    totals = np.maximum(matrix.sum(axis=1), 1)
    shown = [measured.name(place) for place in range(len(measured.class_names))]
    names = list(map(escape, shown))
    upright = max(map(len, shown)) > _LEVEL_LETTERS
    kind = "confusion upright" if upright else "confusion"
    head = "".join(f'<th scope="col" title="{name}"><span>{name}</span></th>' for name in names)
    rows = []
    for true, name in enumerate(names):
        cells = [
            f'<td class="{_shade(true == taken, matrix[true, taken] / totals[true])}">'
            f"{matrix[true, taken] or ''}</td>"
            for taken in range(len(names))
        ]
        rows.append(
            f'<tr><th scope="row" title="{name}"><span>{name}</span></th>{"".join(cells)}</tr>'
        )
    lines = "\n".join(rows)
    caption = "Rows: true classes; columns: taken for"
    return scrolling(
        "Confusion matrix",
        f'<table class="{kind}">\n<caption>{caption}</caption>\n'
        f"<thead><tr><td></td>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>",
    )


def _shade(right: bool, share: float) -> str:
    """Return the class of a cell: how much of its row it has. One mistake in many shows too."""
    if share == 0:
        return "none"
    return f"{'right' if right else 'wrong'}{min(math.ceil(math.sqrt(share) * _SHADES), _SHADES)}"


def _picture(measured: Measured) -> Safe:
    """Return the matrix as a picture, in which a pixel may stand for several classes."""
    from PIL import Image

    classes = len(measured.class_names)
    side = min(classes, MOST_PIXELS)
    rows, columns = (c * side // classes for c in (measured.labels, measured.predicted))
    counts = np.zeros((2, side, side))
    np.add.at(counts, (measured.wrong.astype(np.int64), rows, columns), 1)
    shares = counts.max(axis=0) / np.maximum(counts.sum(axis=(0, 2))[:, np.newaxis], 1)
    # 0 is transparent; then 127 shades each of right and wrong, the least of them well visible.
    steps = np.ceil(1 + np.sqrt(shares) * 126) + 127 * (counts[1] > counts[0])
    steps = np.where(counts.any(axis=0), steps, 0).astype(np.uint8)
    times = MOST_PIXELS // side
    sheet = Image.fromarray(steps.repeat(times, 0).repeat(times, 1), "L")
    sheet.putpalette([0, 0, 0, *NEGATIVE * 127, *POSITIVE * 127])
    shades = [90 + round(165 * step / 126) for step in range(127)]
    sheet.info["transparency"] = bytes([0, *shades, *shades])
    alternative = (
        f"Confusion matrix of {classes:,} classes as a picture:"
        f" {percent(measured.accuracy)} of the images lie on its diagonal"
    )
    caption = (
        f"Rows are the true classes, columns what they were taken for, {classes:,} each, in the"
        " classes' order; blue is right, orange wrong, and stronger is a greater share of its row."
    )
    shown = image(data_url(sheet), alternative, *sheet.size)
    return figure(shown, caption, "matrix")


def _pairs(measured: Measured) -> Safe | None:
    wrong = [cell for cell in measured.cells() if cell.true != cell.predicted]
    if not wrong:
        return None
    support = np.bincount(measured.labels)
    rows = [
        (
            measured.name(true),
            measured.name(taken),
            f"{images:,}",
            percent(images / support[true]),
        )
        for true, taken, images in wrong[:MOST_PAIRS]
    ]
    caption = "Most frequent mistakes"
    if len(wrong) > MOST_PAIRS:
        caption += f", {MOST_PAIRS} of {len(wrong):,} kinds"
    return table(caption, ("true class", "taken for", "images", "of the class"), rows, "pairs-of")
