"""Train on a folder of images of your own, one subfolder per class.

    python examples/own_images.py FOLDER    FOLDER/cat/1.png, FOLDER/dog/1.png, ...

Without a folder it draws one: crosses and rings in colour, as PNG files.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import convprop as cp
from convprop.data import load, read_images

SIZE = (32, 32)


def draw_folder(folder: Path) -> None:
    """Write 100 images of each class, in random colours and places on a dark ground."""
    random = np.random.default_rng(0)
    for name in ("cross", "ring"):
        (folder / name).mkdir()
        for number in range(100):
            image = Image.new("RGB", (48, 40), tuple(random.integers(0, 60, 3).tolist()))
            colour = tuple(random.integers(120, 256, 3).tolist())
            x, y, radius = (
                int(random.integers(*limits)) for limits in ((14, 34), (14, 26), (6, 12))
            )
            pen = ImageDraw.Draw(image)
            if name == "ring":
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), None, colour, 3)
            else:
                pen.line((x - radius, y - radius, x + radius, y + radius), colour, 3)
                pen.line((x - radius, y + radius, x + radius, y - radius), colour, 3)
            image.save(folder / name / f"{number}.png")


def train_on(folder: Path) -> None:
    """Train, measure, and name the files of the first few test images."""
    split = load(folder, size=SIZE)
    train, test = split.train, split.test
    print(f"{len(train)} training and {len(test)} test images of {', '.join(train.class_names)}")
    net = cp.preset("cifar-tutorial", train.image_shape, len(train.class_names))
    net.class_names = train.class_names
    cp.train(net, train.images, train.labels, optimizer=cp.Adam(2e-3), epochs=20, batch_size=16)
    print(f"{net.evaluate(test.images, test.labels).accuracy:.1%} of the test images are right")

    # What the network says of files, as `convprop predict` shows it.
    for images, names in read_images(test.image_names[:5], net.input_shape, resize=True):
        for name, row in zip(names, net.predict(images), strict=True):
            print(f"{net.class_names[row.argmax()]:>10} {row.max():7.2%}  {Path(name).name}")


if len(sys.argv) > 1:
    train_on(Path(sys.argv[1]))
else:
    with tempfile.TemporaryDirectory() as drawn:
        draw_folder(Path(drawn))
        train_on(Path(drawn))
