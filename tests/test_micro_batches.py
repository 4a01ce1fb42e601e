"""A batch in parts has the bits of the whole batch."""

import numpy as np
import pytest

import convprop as cp
from convprop.errors import InvalidInput
from refusal import refuses
from test_streams import Rows

SHAPE = (2, 8, 7)
LAYERS = [
    *(cp.Conv(5, 3, padding=1), cp.ReLU(), cp.MaxPool(2), cp.Dropout(0.3)),
    *(cp.Conv(6, 3, padding=1, algorithm="winograd"), cp.Tanh(), cp.Flatten(), cp.Dense(21)),
    *(cp.ReLU(), cp.Dropout(0.5), cp.Dense(5, trainable="bias"), cp.Sigmoid(), cp.Dense(3)),
]
BRANCHED = [
    *(cp.Conv(4, 3, padding=1), cp.Residual(cp.Conv(4, 3, padding=1), cp.Softplus())),
    cp.Parallel([cp.Flatten(), cp.Dense(6)], [cp.AveragePool("global"), cp.Flatten()]),
    cp.Dense(3),
]


def data(count):
    random = np.random.default_rng(count)
    images = random.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    return images, random.integers(0, 3, count), random.integers(0, 4, count) * 0.5


def trained(count, batch_size, micro_batch, layers=LAYERS, dtype="float32", stream=False, **more):
    images, labels, weights = data(count)
    net = cp.Network(layers, SHAPE, seed=4, dtype=dtype)
    source = Rows(images) if stream else images
    options = {"optimizer": cp.Adam(0.01), "epochs": 2, "clip_norm": 0.7} | more
    if options.pop("weighed", False):
        options["sample_weight"] = weights
    history = cp.train(
        net, source, labels, batch_size=batch_size, micro_batch=micro_batch, **options
    )
    return net.weights_sha256(), [(record.loss, record.accuracy) for record in history]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [LAYERS, BRANCHED], ids=["a row", "branches"])
@pytest.mark.parametrize(("count", "batch_size"), [(40, 40), (200, 150), (300, 263)])
def test_parts_have_the_bits_of_the_whole(count, batch_size, layers, dtype):
    whole = trained(count, batch_size, None, layers, dtype)
    threads = cp.get_num_threads()
    try:
        for number in (1, 2, 3, 7):
            cp.set_num_threads(number)
            for part in (16, 48, 80, 256):
                if part < batch_size:
                    assert trained(count, batch_size, part, layers, dtype) == whole
    finally:
        cp.set_num_threads(threads)


@pytest.mark.parametrize("stream", [False, True], ids=["array", "stream"])
@pytest.mark.parametrize(
    "more",
    [
        {"weighed": True},
        {"augment": cp.Augment(shift=1, flip="both", noise=0.1)},
        {"augment": cp.Augment(rotation=10, mixup=0.4), "weighed": True},
        {"optimizer": cp.LAMB(0.01), "average": 0.9, "clip_norm": None},
        {"shuffle": False, "validation": 0.2, "lookahead": cp.Lookahead(2)},
    ],
    ids=lambda more: ", ".join(more),
)
def test_whatever_else_is_asked_for(stream, more):
    whole = trained(130, 100, None, **more)
    assert trained(130, 100, 32, stream=stream, **more) == whole
    assert trained(130, 100, 16, stream=stream, **more) == whole


def test_they_take_less_memory():
    net = cp.Network([cp.Conv(8, 3), cp.ReLU(), cp.Dense(16), cp.Dense(3)], SHAPE)
    whole = net.plan_bytes("train", 16384)
    assert net.plan_bytes("train", 16384, 1024) < whole / 4


def test_one_that_is_interrupted_goes_on_as_a_whole(tmp_path):
    whole = trained(130, 100, None)[0]
    checkpoints = cp.Checkpoints(tmp_path / "net")

    def on_batch(record):
        if record.step == 3:
            raise KeyboardInterrupt

    trained(130, 100, 32, checkpoints=checkpoints, on_batch=on_batch)
    assert trained(130, 100, 16, checkpoints=checkpoints, resume=True)[0] == whole


class _Failing(Rows):
    def __getitem__(self, rows):
        if 70 in rows:
            raise cp.DataError("a file cannot be read")
        return super().__getitem__(rows)


def test_a_stream_that_fails_within_a_batch_leaves_the_weights_of_the_step_before():
    images, labels, _ = data(96)
    net = cp.Network(LAYERS, SHAPE, seed=4)
    net.normalisation = ([127.5, 127.5], [0.01, 0.01])
    seen = []
    options = {"batch_size": 48, "shuffle": False, "epochs": 1}
    with pytest.raises(cp.DataError):
        cp.train(
            net,
            _Failing(images),
            labels,
            micro_batch=16,
            on_batch=lambda record: seen.append(net.weights_sha256()),
            **options,
        )
    assert seen == [net.weights_sha256()]


@pytest.mark.parametrize("wrong", [8, 24, 64, 128])
def test_refuses(wrong):
    message = f"micro_batch must be a multiple of 16 below the batch_size, 64, got {wrong}"
    with refuses(InvalidInput, message):
        trained(70, 64, wrong)
