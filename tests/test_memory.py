"""Memory: what ``summary`` predicts beside what a process then takes, and that steps take none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convprop as cp
from convprop.about.memory import training_memory
from convprop.errors import InvalidInput
from convprop.machine.memory import peak_memory, resident_memory
from refusal import refuses

STATUS = Path("/proc/self/status")

pytestmark = pytest.mark.skipif(
    not STATUS.exists() or "VmHWM" not in STATUS.read_text(),
    reason="only Linux tells the memory in use and at the peak",
)


def fresh(script: str, *arguments: object) -> list[int]:
    """Run a script in a process of its own and return the numbers that it prints."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(number) for number in finished.stdout.split()]


TRAIN = """
import sys
import numpy as np
import convprop as cp
from convprop.machine.memory import peak_memory
from convprop.about.memory import training_memory

preset = cp.presets.PRESETS[sys.argv[1]]
batch_size, count, threads = map(int, sys.argv[2:])
cp.set_num_threads(threads)
net = cp.preset(preset.name, preset.input_shape, preset.classes)
predicted = sum(training_memory(net, preset.optimizer, batch_size, count))
images = np.ones((count, *preset.input_shape), np.uint8)
labels = np.arange(count) % preset.classes
cp.train(net, images, labels, optimizer=preset.optimizer, epochs=1, batch_size=batch_size)
trained = peak_memory()
net.evaluate(images, labels)
print(predicted, trained, predicted + net.plan_bytes("predict"), peak_memory())
"""


@pytest.mark.parametrize(
    ("preset", "batch_size", "images", "threads"),
    [
        ("digits", 32, 1437, 2),
        ("lenet5", 1, 16, 1),
        ("lenet5", 64, 60000 // 8, 2),
        ("lenet5", 4096, 4096, 1),
        pytest.param("keras-mnist", 128, 1000, 2, marks=pytest.mark.slow),
        pytest.param("vgg-small", 16, 16, 1, marks=pytest.mark.slow),
        ("vgg-small", 256, 256, 7),
    ],
)
def test_the_peak_of_training_is_what_was_predicted(preset, batch_size, images, threads):
    predicted, trained, predicted_with_evaluation, evaluated = fresh(
        TRAIN, preset, batch_size, images, threads
    )
    assert predicted == pytest.approx(trained, rel=0.1)
    if images >= 256:  # As many as predictions go in.
        assert predicted_with_evaluation == pytest.approx(evaluated, rel=0.1)


def test_the_summary_tells_the_peak():
    net = cp.preset("lenet5", (1, 28, 28), 10)
    sgd = cp.SGD(0.1)
    lines = net.summary(32, images=100, optimizer=sgd).splitlines()
    plain = net.summary().splitlines()
    assert lines[: len(plain)] == plain
    assert lines[len(plain) + 1].startswith("Training in batches of 32, threads: ")
    table = [line.rsplit("  ", 1) for line in lines[len(plain) + 3 :] if not line.startswith("-")]
    sizes = {name.strip(): int(size.removesuffix(" B").replace(",", "")) for name, size in table}
    *parts, peak, _ = sizes.values()
    assert sum(parts) == peak
    weights = sum(array.nbytes for array in net.parameters.values())
    assert sizes["weights: copies, sgd"] == 3 * weights
    assert sizes["maps, deltas and gradients"] == net.plan("train", 32).bytes
    assert sizes["to evaluate, besides"] == net.plan("predict", 256).bytes
    few = net.summary(32, images=7).splitlines()[len(plain) + 1]
    assert few.startswith("Training in batches of 7, threads: ")
    for name, sizes in (("batch_size", {"batch_size": 0}), ("images", {"batch_size": 1})):
        with refuses(InvalidInput, f"{name} must be a positive integer, got 0"):
            net.summary(**{"images": 0} | sizes)


def test_float64_takes_twice_the_maps_and_weights():
    single, double = (
        training_memory(cp.Network([cp.Dense(10)], (1, 28, 28), dtype=dtype), cp.SGD(), 64, 64)
        for dtype in ("float32", "float64")
    )
    assert double.weights == 2 * single.weights
    assert double.plan == pytest.approx(2 * single.plan, rel=0.05)
    assert double.images == single.images


def test_the_peak_is_not_below_what_is_in_use():
    kept = np.ones(30_000_000, np.uint8)
    assert peak_memory() >= resident_memory() > kept.nbytes


STEPS = """
import numpy as np
import convprop as cp
from convprop.machine.memory import resident_memory

random = np.random.default_rng(0)
images, labels = random.integers(0, 256, (800, 1, 8, 8), dtype=np.uint8), np.arange(800) % 3
adam = cp.Adam(1e-3)


def network():
    layers = [cp.Conv(4, 3), cp.ReLU(), cp.MaxPool(2), cp.Dropout(0.1), cp.Dense(3)]
    return cp.Network(layers, (1, 8, 8))


def train(epochs):
    cp.train(net, images, labels, optimizer=adam, epochs=epochs, batch_size=8)


net = network()
train(10)
before = resident_memory()
train(100)  # The history keeps a quarter of a kilobyte an epoch.
print(resident_memory() - before)

net = network()
plan = net.plan("train", 8)
state = [np.zeros_like(array) for array in net.parameters.values() for _ in range(adam.slots)]
plan.bind_optimizer(adam.kind, adam.settings(), state)
targets, normalisation = labels.astype(np.int32), net.lane_normalisation()


def steps(first, count):
    for step in range(first, first + count):
        rows = np.arange(step % 100 * 8, step % 100 * 8 + 8)
        plan.train_step(images, rows, targets, None, *normalisation, 1e-3, step, 0)


steps(1, 500)
before = resident_memory()
steps(501, 10_000)
print(resident_memory() - before)
"""


def test_memory_does_not_grow_over_ten_thousand_steps():
    trained, stepped = fresh(STEPS)
    assert max(trained, stepped) < 200_000


MANY_CLASSES = """
import numpy as np
import convprop as cp
from convprop.data import Dataset
from convprop.machine.memory import peak_memory, resident_memory
from convprop.report.measure import measure

classes, count = 10_000, 5000
net = cp.Network([cp.Dense(classes)], (1, 8, 8))
images = np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
labels = np.arange(count, dtype=np.int32)
few = slice(0, 256)
net.evaluate(images[few], labels[few]), net.predict_classes(images[few])
names = [str(n) for n in range(classes)]
measure(net, Dataset(images[few], labels[few], names, "few"))
before = peak_memory()
evaluated, predicted = net.evaluate(images, labels), net.predict_classes(images)
print(peak_memory() - before)
measured = measure(net, Dataset(images, labels, names, "all"))
print(peak_memory() - before)
assert (measured.predicted == predicted).all()
assert (measured.loss, measured.accuracy) == evaluated
"""


def test_measures_of_many_classes_hold_the_outputs_of_one_batch():
    # All outputs at once would be 200 million bytes, those of a batch are ten.
    assert max(fresh(MANY_CLASSES)) < 30e6


LARGE_PICTURE = """
import sys
from pathlib import Path
from convprop.data.image_files import read_file
from convprop.machine.memory import peak_memory

small, large = map(Path, sys.argv[1:])
read_file(small)
before = peak_memory()
image = read_file(large)
print(peak_memory() - before)
"""


def test_a_large_picture_is_in_memory_once(tmp_path):
    for name, side in (("small.jpg", 16), ("large.jpg", 3000)):
        Image.new("RGB", (side, side), (10, 200, 30)).save(tmp_path / name)
    (taken,) = fresh(LARGE_PICTURE, tmp_path / "small.jpg", tmp_path / "large.jpg")
    # Pillow keeps a pixel in four bytes.
    assert taken < 1.2 * 4 * 3000**2
