"""Pictures of the examples as SVG files of plain text: images in a grid, curves, a table."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

COLOURS = ("#2e7d4f", "#c8641e", "#4a66a0")
FONT = 'font-family="sans-serif" font-size="12" fill="#333"'


def grid(
    path: str,
    images: ArrayLike,
    captions: Sequence[str],
    columns: int,
    side: int,
    drawn: Sequence[str] | None = None,
) -> None:
    """Write square images (N, C, H, W), uint8, each with a caption below.

    They are shown `side` pixels wide. What is drawn over each is SVG, in pixels of the image.
    """
    images = np.asarray(images)
    cell, line, scale = side + 14, 18, side / images.shape[3]
    parts = []
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(number, columns)
        x, y = column * cell + 7, row * (cell + line) + 7
        parts.append(
            f'<image x="{x}" y="{y}" width="{side}" height="{side}" href="{_png(image)}"'
            ' style="image-rendering: pixelated"/>'
            f'<text x="{x + side / 2}" y="{y + side + 15}" text-anchor="middle" {FONT}>'
            f"{escape(caption)}</text>"
        )
        if drawn is not None:
            parts.append(f'<g transform="translate({x} {y}) scale({scale})">{drawn[number]}</g>')
    rows = -(-len(captions) // columns)
    _write(path, columns * cell, rows * (cell + line), parts)


def curves(path: str, lines: Mapping[str, Sequence[float]], x_label: str, y_label: str) -> None:
    """Write lines over 1, 2, 3, ...; the vertical axis begins at the smallest value."""
    width, height, left, top, bottom = 560, 300, 60, 30, 45
    low, high = min(map(min, lines.values())), max(map(max, lines.values()))
    count = max(map(len, lines.values()))

    def place(index: float, value: float) -> tuple[float, float]:
        across = left + (width - left - 20) * index / max(count - 1, 1)
        up = (height - bottom - top) * (value - low) / ((high - low) or 1)
        return round(across, 1), round(height - bottom - up, 1)

    parts = []
    for value in np.linspace(low, high, 5):
        _, y = place(0, value)
        parts.append(
            f'<path d="M{left} {y}H{width - 20}" stroke="#ddd"/>'
            f'<text x="{left - 8}" y="{y + 4}" text-anchor="end" {FONT}>{value:.3g}</text>'
        )
    for index in range(0, count, -(-count // 10)):
        x, _ = place(index, low)
        parts.append(
            f'<text x="{x}" y="{height - bottom + 18}" text-anchor="middle" {FONT}>'
            f"{index + 1}</text>"
        )
    for (name, values), colour in zip(lines.items(), COLOURS, strict=False):
        points = " ".join(f"{x},{y}" for x, y in (place(i, v) for i, v in enumerate(values)))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        at = top + 18 * len([part for part in parts if "polyline" in part])
        parts.append(
            f'<text x="{width - 30}" y="{at}" text-anchor="end" {FONT} style="fill:{colour}">'
            f"{escape(name)}</text>"
        )
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height - 8}" text-anchor="middle" {FONT}>'
        f'{escape(x_label)}</text><text x="8" y="14" {FONT}>{escape(y_label)}</text>'
    )
    _write(path, width, height, parts)


def table(path: str, scores: ArrayLike, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Write a table of scores, the better the darker."""
    scores = np.asarray(scores)
    across, down, left, top = 90, 44, 90, 30
    shades = (scores - scores.min()) / (np.ptp(scores) or 1)
    parts = []
    for (row, column), score in np.ndenumerate(scores):
        x, y, shade = left + column * across, top + row * down, shades[row, column]
        ink = "white" if shade > 0.5 else "#333"
        parts.append(
            f'<rect x="{x}" y="{y}" width="{across - 3}" height="{down - 3}" fill="{COLOURS[0]}"'
            f' fill-opacity="{0.1 + 0.9 * shade:.2f}"/><text x="{x + across / 2 - 1.5}"'
            f' y="{y + down / 2 + 3}" text-anchor="middle" {FONT} style="fill:{ink}">'
            f"{score:.1%}</text>"
        )
    for row, name in enumerate(rows):
        at = top + row * down + down / 2 + 3
        parts.append(f'<text x="{left - 10}" y="{at}" text-anchor="end" {FONT}>{name}</text>')
    for column, name in enumerate(columns):
        at = left + column * across + across / 2
        parts.append(f'<text x="{at}" y="{top - 9}" text-anchor="middle" {FONT}>{name}</text>')
    _write(path, left + len(columns) * across, top + len(rows) * down, parts)


def _png(image: np.ndarray) -> str:
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _write(path: str, width: int, height: int, parts: Sequence[str]) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
    Path(path).write_text(
        f'{head} width="{width}" height="{height}">\n'
        '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
