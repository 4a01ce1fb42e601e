"""MNIST by one line."""

import pytest

import convprop as cp
from convprop.data import load


@pytest.mark.slow
def test_lenet5_in_five_epochs(mnist_folder):
    mnist = load(mnist_folder)
    net = cp.ConvNetClassifier("lenet5", epochs=5, random_state=0)
    net.fit(mnist.train.images, mnist.train.labels)
    assert net.score(mnist.test.images, mnist.test.labels) >= 0.988
