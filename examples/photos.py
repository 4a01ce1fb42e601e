"""Train on a folder of photos, one subfolder per class, and show what the network says.

    python examples/photos.py FOLDER    FOLDER/cat/1.jpg, FOLDER/dog/1.jpg, ...

Without a folder it draws one: crosses, rings and squares in colour, as JPEG files. Writes
photos.svg into the current folder.
"""

import sys
import tempfile
from pathlib import Path

import convprop as cp
from convprop.data import load, read_images
from drawings import draw_photos
from pictures import grid


def train_on(folder: Path) -> None:
    """Train, measure, and show the first test images with what the network says of them."""
    split = load(folder, size=(32, 32))
    train, test = split.train, split.test
    print(f"{len(train)} training and {len(test)} test images of {', '.join(train.class_names)}")
    net = cp.preset("cifar-tutorial", train.image_shape, len(train.class_names))
    net.class_names = train.class_names
    cp.train(
        net,
        train.images,
        train.labels,
        optimizer=cp.Adam(3e-3),
        schedule=cp.schedules.OneCycle(),
        epochs=30,
        batch_size=16,
        augment=cp.Augment(shift=2, flip="both", brightness=0.3),
    )
    print(f"{net.evaluate(test.images, test.labels).accuracy:.1%} of the test images are right")

    # What the network says of files, as `convprop predict` shows it.
    some = test.image_names[:: max(len(test) // 12, 1)][:12]
    for images, names in read_images(some, net.input_shape, resize=True):
        said = []
        for name, row in zip(names, net.predict(images), strict=True):
            said.append(f"{net.class_names[row.argmax()]} {row.max():.0%}")
            print(f"{'/'.join(Path(name).parts[-2:]):<16}{said[-1]}")
        grid("photos.svg", images, said, columns=6, side=72)


if len(sys.argv) > 1:
    train_on(Path(sys.argv[1]))
else:
    with tempfile.TemporaryDirectory() as drawn:
        draw_photos(Path(drawn), 100)
        train_on(Path(drawn))
