"""Charts as pictures of pixels."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from convprop.report.chart import FONT_SIZE, Bar, Chart, Dot, Path
from convprop.report.svg import LIGHT

if TYPE_CHECKING:
    from PIL.Image import Image

SCALE = 2.5
"""Pixels to a unit of the chart."""

# Drawn so many times as large and then reduced, lines have smooth edges.
_FINER = 3
_DASH, _SPACE = 5.0, 3.0

Points = list[tuple[float, float]]


def raster(chart: Chart) -> Image:
    """Return a chart in the light colours."""
    from PIL import Image, ImageDraw, ImageFont

    scale = SCALE * _FINER
    size = round(chart.width * scale), round(chart.height * scale)
    sheet = Image.new("RGB", size, LIGHT["paper"])
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE * scale)
    anchors = {"start": "ls", "middle": "ms", "end": "rs"}
    for mark in chart.marks:
        colour = LIGHT[mark.role]
        if isinstance(mark, Path):
            for points in _dashes(mark.points) if mark.dashed else [mark.points]:
                scaled = [(x * scale, y * scale) for x, y in points]
                draw.line(scaled, fill=colour, width=round(mark.width * scale), joint="curve")
        elif isinstance(mark, Dot):
            x, y, r = (value * scale for value in (mark.x, mark.y, mark.radius))
            draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
        elif isinstance(mark, Bar):
            ends = (mark.x, mark.y, mark.x + mark.width, mark.y + mark.height)
            draw.rectangle([end * scale for end in ends], fill=colour)
        else:
            place, anchor = (mark.x * scale, mark.y * scale), anchors[mark.anchor]
            draw.text(place, mark.text, fill=colour, font=font, anchor=anchor)
    return sheet.resize((size[0] // _FINER, size[1] // _FINER), Image.Resampling.BOX)


def _dashes(points: Points) -> list[Points]:
    """Return the pieces of a dashed line."""
    pieces: list[Points] = []
    gone = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length = math.hypot(x1 - x0, y1 - y0)
        at = 0.0
        while at < length:
            phase = (gone + at) % (_DASH + _SPACE)
            end = min(at + (_DASH if phase < _DASH else _DASH + _SPACE) - phase, length)
            if phase < _DASH:
                ends = (at / length, end / length)
                pieces.append([(x0 + p * (x1 - x0), y0 + p * (y1 - y0)) for p in ends])
            # Where rounding leaves nothing, on to the next phase.
            at = end if end > at else at + 1e-6
        gone += length
    return pieces
