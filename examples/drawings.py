"""Photos that are none: a folder of drawn shapes, for those who have no folder at hand.

python examples/drawings.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("cross", "ring", "square")


def draw_photos(folder: Path, count: int, seed: int = 0) -> None:
    """Write `count` JPEG files of each shape, in a subfolder of its name."""
    random = np.random.default_rng(seed)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            draw(shape, random).save(folder / shape / f"{number:03}.jpg", quality=90)


def draw(shape: str, random: np.random.Generator) -> Image.Image:
    """Return a shape in a random colour, place and size on a dark, uneven ground."""
    ground = random.integers(0, 90, 3) + random.integers(-20, 21, (40, 48, 3))
    image = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    colour = tuple(random.integers(120, 256, 3).tolist())
    radius = int(random.integers(6, 13))
    x, y = int(random.integers(14, 34)), int(random.integers(14, 26))
    box = (x - radius, y - radius, x + radius, y + radius)
    pen = ImageDraw.Draw(image)
    if shape == "ring":
        pen.ellipse(box, None, colour, 3)
    elif shape == "square":
        pen.rectangle(box, None, colour, 3)
    else:
        pen.line(box, colour, 3)
        pen.line((box[0], box[3], box[2], box[1]), colour, 3)
    return image


if __name__ == "__main__":
    draw_photos(Path(sys.argv[1]), 100)
