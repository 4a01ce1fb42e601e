"""Batches too small to fill the lanes are computed otherwise, to the same bits."""

import numpy as np
import pytest

import convprop as cp
from convprop.network import FEW_IMAGES

SHAPE = (2, 19, 23)
STACKS = {
    "padded, dilated, flipped": [
        cp.Conv(5, (3, 5), padding=(1, 0, 3, 2), padding_value=0.5, dilation=(2, 1)),
        cp.ScaledTanh(),
        cp.Conv(18, (2, 3), padding=(3, 3, 4, 4), flip_kernel=True),
        cp.Softplus(),
        cp.MaxPool(3, stride=2, padding=1),
        cp.Dropout(0.4),
        cp.Sigmoid(),
        cp.Conv(3, 1, bias=False),
        cp.Dense(4),
    ],
    "pools that tile, wide rows": [
        cp.Conv(33, 4, padding=(1, 2, 12, 12)),
        cp.ReLU(),
        cp.MaxPool(2),
        cp.Conv(4, 3, padding=1),
        cp.LeakyReLU(0.1),
        cp.AveragePool(2),
        cp.Dense(4),
    ],
    "what x is kept for, slopes and shares": [
        cp.Conv(5, 3, padding=(1, 1, 7, 7)),
        cp.GELU(),
        cp.MaxPool(2),
        cp.PReLU(by_channel=True),
        cp.Conv(18, 3, padding=1),
        cp.Softmax(),
        cp.Conv(4, 2),
        cp.PReLU(),
        cp.SiLU(),
        cp.Flatten(),
        cp.PReLU(by_channel=True),
        cp.Softmax(),
        cp.Dense(6),
        cp.PReLU(by_channel=True),
        cp.Mish(),
        cp.Dense(4),
        cp.Softmax(),
    ],
    "Winograd's algorithm": [
        cp.Conv(17, 3, padding=(1, 0, 3, 12), padding_value=0.5, algorithm="winograd"),
        cp.ReLU(),
        cp.Conv(5, 3, padding=1, flip_kernel=True, algorithm="winograd"),
        cp.ScaledTanh(),
        cp.MaxPool(2),
        cp.Conv(3, 3, bias=False, algorithm="winograd"),
        cp.Conv(4, (2, 5), padding=1),
        cp.Dropout(0.4),
        cp.Dense(4),
    ],
    "pools of ceil mode and with dilation, shuffled channels, images left out": [
        cp.Conv(18, 3, padding=1),
        cp.ReLU(),
        cp.MaxPool(2, ceil_mode=True),
        cp.ChannelShuffle(3),
        cp.AveragePool(3, stride=2, padding=1, dilation=2, ceil_mode=True),
        cp.StochasticDepth(0.4),
        cp.L2Pool(2, stride=1, padding=(1, 0, 0, 2), dilation=(1, 3)),
        cp.Conv(4, 3, padding=1),
        cp.MaxPool(3, stride=1, dilation=(1, 2)),
        cp.StochasticDepth(0.3),
        cp.Dense(4),
    ],
    "pools that overlap or leave a rest, no dense layer": [
        cp.Conv(3, 2),
        cp.Tanh(),
        cp.L2Pool(2),
        cp.AveragePool(3, stride=1, padding=1, count_padding=False),
        cp.Conv(2, (9, 10)),
        cp.MaxPool((1, 1)),
        cp.Conv(4, 1),
    ],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 2, 5, FEW_IMAGES])
@pytest.mark.parametrize("name", STACKS)
def test_the_same_bits_as_in_a_large_batch(name, count, dtype):
    net = cp.Network(STACKS[name], SHAPE, seed=3, dtype=dtype)
    random = np.random.default_rng(count)
    images = random.normal(size=(count, *SHAPE)).astype(dtype)
    labels = random.integers(0, 4, count).astype(np.int32)
    found = []
    for batch_size in (FEW_IMAGES, FEW_IMAGES + 1):
        plan = net.plan("train", batch_size)
        gradients = [np.empty_like(array) for array in net.parameters.values()]
        # Twice, so that what the first pass leaves behind would show in the second.
        for rows in (images[::-1].copy(), images):
            loss, _ = plan.gradients(
                rows, None, labels, None, *net.lane_normalisation(), 7, 1, gradients
            )
        outputs = net.plan("predict", batch_size).predict(images, None, *net.lane_normalisation())
        found.append([np.float64(loss), outputs, *gradients])
    for few, many in zip(*found, strict=True):
        assert np.abs(many).max() > 0
        assert few.tobytes() == many.tobytes()


def test_uint8_images_and_any_number_of_threads():
    net = cp.Network(STACKS["pools that tile, wide rows"], SHAPE, seed=3)
    images = np.random.default_rng(0).integers(0, 256, (7, *SHAPE)).astype(np.uint8)
    before = cp.get_num_threads()
    outputs = set()
    try:
        for threads in (1, 2, 3, 7):
            cp.set_num_threads(threads)
            outputs.add(net.forward(images).tobytes())
            outputs.add(net.forward(np.concatenate([images, images]))[:7].tobytes())
    finally:
        cp.set_num_threads(before)
    assert len(outputs) == 1


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_one_image_that_takes_long_is_shared_among_the_threads(algorithm):
    layers = [
        cp.Conv(24, 3, padding=1, algorithm=algorithm),
        cp.Tanh(),
        cp.Conv(33, 3, padding=(1, 1, 2, 1), padding_value=0.5, algorithm=algorithm),
        cp.MaxPool(2),
        cp.LeakyReLU(),
        cp.L2Pool(3, stride=2),
        cp.Dropout(0.3),
        cp.ChannelShuffle(11),
        cp.StochasticDepth(0.3),
        cp.Conv(1, 2),
        cp.Dense(4),
    ]
    net = cp.Network(layers, (2, 40, 36), seed=3)
    images = np.random.default_rng(0).normal(size=(18, 2, 40, 36)).astype(np.float32)
    before = cp.get_num_threads()
    try:
        expected = net.forward(images)
        for threads in (1, 2, 3, 7):
            cp.set_num_threads(threads)
            for n in range(3):
                assert net.forward(images[n : n + 1]).tobytes() == expected[n].tobytes()
    finally:
        cp.set_num_threads(before)
