"""Small images whose class can be seen, and small networks for them."""

import os

import numpy as np

import convprop as cp

NAMES = np.array(["above", "middle", "below"])


def blobs(count: int = 60, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images (count, C, 6, 6), whose class is the third of the rows that is bright."""
    random = np.random.default_rng(3)
    labels = np.arange(count) % 3
    images = random.integers(0, 100, (count, channels, 6, 6))
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * label : 2 * label + 2] += 120
    return images.astype(np.uint8), NAMES[labels]


def layers(outputs: int = 3) -> list[cp.layers.Layer]:
    return [cp.Conv(4, 3), cp.ReLU(), cp.MaxPool(2), cp.Dense(8), cp.Tanh(), cp.Dense(outputs)]


def classifier(**parameters: object) -> cp.ConvNetClassifier:
    settings = {"epochs": 4, "random_state": 0} | parameters
    return cp.ConvNetClassifier(layers(), **settings)


def regressor(outputs: int = 1, **parameters: object) -> cp.ConvNetRegressor:
    settings = {"epochs": 4, "random_state": 0} | parameters
    return cp.ConvNetRegressor(layers(outputs), **settings)


def process(estimator: object, X: object, y: object) -> int:
    """Score by the process that scores."""
    return os.getpid()
