"""Train LeNet-5 on MNIST, and look at its kernels and its worst mistakes.

    python examples/mnist.py            scikit-learn fetches MNIST from OpenML, once
    python examples/mnist.py FOLDER     the four idx files in a folder

Writes mnist-kernels.svg and mnist-mistakes.svg into the current folder.
"""

import sys

import numpy as np

import convprop as cp
from convprop.data import load
from pictures import grid

split = load(sys.argv[1] if len(sys.argv) > 1 else "mnist")
train, test = split.train, split.test
net = cp.preset("lenet5", train.image_shape, 10)
cp.train(
    net,
    train.images,
    train.labels,
    optimizer=cp.Adam(2e-3),
    schedule=cp.schedules.OneCycle(),
    epochs=4,
    batch_size=64,
    on_epoch=lambda epoch: print(f"epoch {epoch.epoch}: loss {epoch.loss:.4f}"),
)
result = net.evaluate(test.images, test.labels)
print(f"{result.accuracy:.2%} of {len(test)} test images are right, loss {result.loss:.4f}")
print("weights", net.weights_sha256()[:16])

# The first layer's kernels: zero is grey, what speaks for a pixel is light.
weights = net.parameters["conv1.weight"]
light = 128 + 127 * weights / np.abs(weights).max()
grid("mnist-kernels.svg", light.astype(np.uint8), [f"{k}" for k in range(6)], columns=6, side=72)

# The mistakes that the network was most sure of.
probabilities = net.predict(test.images)
said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
wrong = (said != test.labels).nonzero()[0]
worst = wrong[np.argsort(-sure[wrong], kind="stable")][:12]
grid(
    "mnist-mistakes.svg",
    255 - test.images[worst],
    [f"{test.labels[i]}, not {said[i]}" for i in worst],
    columns=6,
    side=72,
)
