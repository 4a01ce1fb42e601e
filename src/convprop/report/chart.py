"""Charts as marks on a plane, which `svg` and `raster` draw alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Role = Literal["ink", "muted", "grid", "first", "second", "faint"]

WIDTH, HEIGHT = 360.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 54.0, 18.0, 26.0, 36.0
FONT_SIZE = 12.0
_LETTER = 0.6 * FONT_SIZE

MOST_POINTS = 500
"""A longer series is thinned to so many points; an eye sees no more."""


@dataclass(frozen=True)
class Path:
    """A line through points."""

    points: list[tuple[float, float]]
    role: Role
    dashed: bool = False
    width: float = 1.0


@dataclass(frozen=True)
class Dot:
    """A small disc."""

    x: float
    y: float
    role: Role
    radius: float = 2.5


@dataclass(frozen=True)
class Bar:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    role: Role


@dataclass(frozen=True)
class Words:
    """Text; (x, y) is its start, middle or end on the line that it stands on."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"]
    role: Role = "muted"


Mark = Path | Dot | Bar | Words


@dataclass(frozen=True)
class Series:
    """A named line of a chart; values that are not finite leave a gap."""

    name: str
    x: Floats
    y: Floats
    role: Role
    dashed: bool = False
    width: float = 2.0


@dataclass(frozen=True)
class Axis:
    """What part of the numbers a chart shows, and how."""

    low: float
    high: float
    logarithmic: bool = False
    percent: bool = False
    whole: bool = False

    def place(self, values: Any) -> Any:
        """Return where values lie, 0 at the low end and 1 at the high one."""
        if self.logarithmic:
            low, high = math.log(self.low), math.log(self.high)
            return (np.log(values) - low) / (high - low)
        return (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return some round numbers within, with their texts."""
        values = self._decades() if self.logarithmic else self._steps()
        return [(value, self._text(value)) for value in values]

    def _decades(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        every = math.ceil((last - first) / 7)
        digits = (1,) if math.log10(self.high / self.low) > 2.5 else (1, 2, 5)
        values = [d * 10.0**power for power in range(first, last + 1, every) for d in digits]
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]

    def _steps(self) -> list[float]:
        step = _step(self.high - self.low, self.whole)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _text(self, value: float) -> str:
        if self.percent:
            return f"{100 * value:.6g}%"
        return f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e")


def _step(length: float, whole: bool) -> float:
    """Return a round distance between about five ticks."""
    rough = length / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * d for d in (1, 2, 5, 10) if power * d >= rough * 0.999)
    return max(step, 1.0) if whole else step


def axis_for(
    values: Floats,
    *,
    logarithmic: bool = False,
    percent: bool = False,
    whole: bool = False,
    exact: bool = False,
) -> Axis:
    """Return an axis around the finite values; unless ``exact`` its ends are round numbers."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if logarithmic:
        room = 1.0 if exact and high > low else 1.15
        return Axis(low / room, high * room, True)
    if high <= low:
        room = 0.5 if whole else max(0.1, abs(low) / 10)
        low, high = low - room, high + room
    if not exact:
        step = _step(high - low, whole)
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    if percent:
        low, high = max(low, 0.0), min(high, 1.0)
    return Axis(low, high, False, percent, whole)


@dataclass
class Chart:
    """Marks, and what says the same in words."""

    title: str
    description: str
    marks: list[Mark] = field(default_factory=list)
    width: float = WIDTH
    height: float = HEIGHT


class Plane:
    """Where a chart's axes put numbers."""

    def __init__(self, chart: Chart, across: Axis, up: Axis, x_label: str) -> None:
        self.chart, self.across, self.up = chart, across, up
        right, bottom = chart.width - RIGHT, chart.height - BOTTOM
        for value, text in up.ticks():
            y = self.y(value)
            chart.marks.append(Path([(LEFT, y), (right, y)], "grid"))
            chart.marks.append(Words(LEFT - 6, y + 4, text, "end"))
        for value, text in _apart(across.ticks(), self):
            x = self.x(value)
            chart.marks.append(Path([(x, bottom), (x, bottom + 4)], "muted"))
            chart.marks.append(Words(x, bottom + 16, text, "middle"))
        chart.marks.append(Path([(LEFT, bottom), (right, bottom)], "muted"))
        chart.marks.append(Words((LEFT + right) / 2, chart.height - 4, x_label, "middle"))

    def x(self, value: float) -> float:
        """Return a number's place from the left."""
        return LEFT + float(self.across.place(value)) * (self.chart.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return a number's place from the top."""
        length = self.chart.height - TOP - BOTTOM
        return TOP + (1 - float(self.up.place(value))) * length


def _apart(ticks: list[tuple[float, str]], plane: Plane) -> list[tuple[float, str]]:
    """Leave out ticks whose texts would touch the one before."""
    kept: list[tuple[float, str]] = []
    end = -math.inf
    for value, text in ticks:
        half = (len(text) + 1) * _LETTER / 2
        if plane.x(value) - half >= end:
            kept.append((value, text))
            end = plane.x(value) + half
    return kept


def line_chart(
    title: str,
    description: str,
    series: Sequence[Series],
    across: Axis,
    up: Axis,
    x_label: str,
    marked: tuple[float, str] | None = None,
) -> Chart:
    """Return lines over a common axis, named above them; ``marked`` is a vertical line."""
    chart = Chart(title, description)
    plane = Plane(chart, across, up, x_label)
    if marked is not None:
        x = plane.x(marked[0])
        chart.marks.append(Path([(x, TOP), (x, chart.height - BOTTOM)], "ink", dashed=True))
    start = LEFT
    for line in series:
        for points in _pieces(line, plane):
            if len(points) > 1:
                chart.marks.append(Path(points, line.role, line.dashed, line.width))
            if len(line.x) <= 12 or len(points) == 1:
                chart.marks.extend(Dot(x, y, line.role) for x, y in points)
        name_line(chart, start, line.name, line.role, line.dashed, line.width)
        start += 25 + len(line.name) * _LETTER + 12
    if marked is not None:
        name_line(chart, start, marked[1], "ink", dashed=True)
    return chart


def name_line(
    chart: Chart, x: float, name: str, role: Role, dashed: bool, width: float = 2.0
) -> None:
    """Say above the chart, from ``x`` on, what a line is."""
    chart.marks.append(Path([(x, 12), (x + 20, 12)], role, dashed, width))
    chart.marks.append(Words(x + 25, 16, name, "start", "ink"))


def _pieces(line: Series, plane: Plane) -> list[list[tuple[float, float]]]:
    """Return the stretches of finite points, thinned."""
    shown = thinned(len(line.x))
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(line.x[shown], line.y[shown], strict=True):
        if math.isfinite(y):
            pieces[-1].append((plane.x(x), plane.y(y)))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def thinned(count: int) -> NDArray[np.int64]:
    """Return which of ``count`` points to show: all, or some, evenly spaced, with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(np.int64))
