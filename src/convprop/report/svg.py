"""Charts as SVG: inside a page, or as a file of its own."""

from __future__ import annotations

from convprop.report.chart import FONT_SIZE, Bar, Chart, Dot, Mark, Path
from convprop.shown import escape

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "muted": "#59636e",
    "grid": "#e2e6ea",
    "first": "#0072b2",
    "second": "#b84f06",
    "faint": "#a9cbe2",
}
DARK = {
    "paper": "#14181c",
    "ink": "#e9edf1",
    "muted": "#a2adb8",
    "grid": "#313941",
    "first": "#56b4e9",
    "second": "#f2a154",
    "faint": "#2d5873",
}
"""Colours by their role, for light and dark surroundings; print takes the light ones."""


def colours(values: dict[str, str]) -> str:
    """Return colours as the variables of a style sheet."""
    return " ".join(f"--{role}: {value};" for role, value in values.items())


def svg(chart: Chart, identifier: str) -> str:
    """Return a chart for a page whose style has the colours; ``identifier`` is its own in it."""
    marks = "\n".join(map(_mark, chart.marks))
    return (
        f'<svg viewBox="0 0 {chart.width:g} {chart.height:g}" role="img"'
        f' aria-labelledby="{identifier}-title {identifier}-desc"'
        f' font-size="{FONT_SIZE:g}">\n'
        f'<title id="{identifier}-title">{escape(chart.title)}</title>\n'
        f'<desc id="{identifier}-desc">{escape(chart.description)}</desc>\n{marks}\n</svg>'
    )


def svg_file(chart: Chart) -> str:
    """Return a chart as an SVG file, in light and dark."""
    inner = svg(chart, "chart").removeprefix("<svg")
    size = f'width="{2 * chart.width:g}" height="{2 * chart.height:g}"'
    style = (
        f"svg {{ {colours(LIGHT)} font-family: system-ui, sans-serif;"
        " background: var(--paper); }"
        f" @media (prefers-color-scheme: dark) {{ svg {{ {colours(DARK)} }} }}"
    )
    head, sign, rest = inner.partition("\n")
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {size}{head}{sign}'
    return f"{start}<style>{style}</style>\n{rest}\n"


def _mark(mark: Mark) -> str:
    colour = f"var(--{mark.role})"
    if isinstance(mark, Path):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.points)
        dashes = ' stroke-dasharray="5 3"' if mark.dashed else ""
        return (
            f'<polyline points="{points}" fill="none" stroke-width="{mark.width:g}"'
            f' stroke-linejoin="round"{dashes} style="stroke: {colour}"/>'
        )
    if isinstance(mark, Dot):
        place = f'cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="{mark.radius:g}"'
        return f'<circle {place} style="fill: {colour}"/>'
    if isinstance(mark, Bar):
        place = f'x="{mark.x:.1f}" y="{mark.y:.1f}"'
        size = f'width="{mark.width:.1f}" height="{mark.height:.1f}"'
        return f'<rect {place} {size} style="fill: {colour}"/>'
    place = f'x="{mark.x:.1f}" y="{mark.y:.1f}" text-anchor="{mark.anchor}"'
    return f'<text {place} style="fill: {colour}">{escape(mark.text)}</text>'
