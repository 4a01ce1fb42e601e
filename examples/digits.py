"""Train a preset on the digits, watch a held-out part, save the network and use it again.

python examples/digits.py
"""

import tempfile
from pathlib import Path

import convprop as cp
from convprop.data import load

split = load("digits")  # 8x8 images with grey values 0..16, as uint8 (N, 1, 8, 8).
net = cp.preset("digits", input_shape=split.train.image_shape, classes=10, seed=0)
net.class_names = split.train.class_names
print(net.summary(), end="\n\n")

history = cp.train(
    net,
    split.train.images,
    split.train.labels,
    optimizer=cp.Adam(3e-3),
    schedule=cp.schedules.OneCycle(),
    epochs=10,
    batch_size=32,
    validation=0.1,
    on_epoch=lambda epoch: print(
        f"epoch {epoch.epoch:2}: loss {epoch.loss:.4f},"
        f" held-out accuracy {epoch.validation_accuracy:.1%}"
    ),
)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.safetensors"
    net.save(path)
    again = cp.load(path)

loss, accuracy = again.evaluate(split.test.images, split.test.labels)
print(f"\n{len(split.test)} test images: loss {loss:.4f}, accuracy {accuracy:.1%}")

probabilities = again.predict(split.test.images[:5])
for label, row in zip(split.test.labels, probabilities, strict=False):
    best = row.argmax()
    print(f"a {label} is taken for {again.class_names[best]} with probability {row[best]:.4f}")
