"""The sets known by name: scikit-learn's digits, and MNIST from OpenML."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from convprop.data.dataset import Reading, Split, labelled_split
from convprop.data.faults import unusable

_MNIST_TRAINING_IMAGES = 60_000


def load_digits(how: Reading) -> Split:
    """Return 1797 handwritten digits, uint8 (N, 1, 8, 8) with values 0..16.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998; it comes with scikit-learn.
    """
    from sklearn import datasets

    digits = datasets.load_digits()
    images = digits.images.astype(np.uint8)[:, np.newaxis]
    # A set that is known by name has a test part: the one that is drawn where nothing is said.
    how = replace(how, test_fraction=how.test_fraction or Reading.test_fraction)
    split = labelled_split("digits", (images, digits.target), None, None, how)
    return replace(split, drawn=False)


def load_mnist(how: Reading) -> Split:
    """Return MNIST's 60000 training and 10000 test images, uint8 (N, 1, 28, 28).

    scikit-learn fetches them from OpenML once and keeps them in its cache.
    """
    from http.client import HTTPException

    from sklearn import datasets

    try:
        with warnings.catch_warnings():
            # Of a retry: the error that follows says the same.
            warnings.simplefilter("ignore", UserWarning)
            images, labels = datasets.fetch_openml(
                "mnist_784",
                version=1,
                as_frame=False,
                return_X_y=True,
                parser="pandas" if find_spec("pandas") else "liac-arff",
                n_retries=1,
            )
    except (OSError, ValueError, HTTPException) as error:
        raise unusable(
            "mnist",
            "be fetched from OpenML or be in scikit-learn's cache (without a network, name a"
            " folder that holds train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz,"
            " t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz)",
            f"an error: {error}",
        ) from error
    images = images.astype(np.uint8).reshape(-1, 1, 28, 28)
    numbers, cut = labels.astype(np.int64), _MNIST_TRAINING_IMAGES
    train, test = ((images[part], numbers[part]) for part in (slice(cut), slice(cut, None)))
    return labelled_split("mnist", train, test, None, how)
