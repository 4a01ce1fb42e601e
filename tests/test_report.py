"""The report: every number recomputed, nothing fetched, whatever the classes are called."""

import itertools
import math
import os
import platform
import re
from datetime import UTC, datetime

import numpy as np
import pytest

import convprop as cp
from convprop.data import Dataset
from convprop.data.value_range import SOME_IMAGES
from convprop.machine.native import engine
from convprop.machine.processors import processor_name
from convprop.report import write_report
from convprop.report.chart import Axis, axis_for, thinned
from convprop.report.svg import DARK, LIGHT
from convprop.training import EpochRecord, History
from pages import Page, assert_accessible, assert_self_contained, read_page
from refusal import refuses

NAMES = ("ant", "bee", "cat", "dog")


def blurred(count, classes, shape, seed=0):
    """Return uint8 images of noise around a pattern for each class, and int32 labels."""
    random = np.random.default_rng(seed)
    patterns = np.random.default_rng(99).integers(0, 256, (classes, *shape))
    labels = np.arange(count) % classes
    noisy = 0.3 * patterns[labels] + random.normal(90, 50, (count, *shape))
    return noisy.clip(0, 255).astype(np.uint8), labels.astype(np.int32)


def page_of(path, network, history, test, **settings):
    write_report(path, network, history, test, command="convprop train x", settings=settings)
    return read_page(path)


@pytest.fixture(scope="module")
def trained():
    images, labels = blurred(200, 4, (1, 9, 9))
    network = cp.Network([cp.Conv(5, 3), cp.ReLU(), cp.Dense(4)], (1, 9, 9))
    network.class_names = NAMES
    history = cp.train(network, images, labels, epochs=4, validation=0.2)
    return network, history


@pytest.fixture(scope="module")
def test_set():
    # The last class is rare.
    images, labels = blurred(300, 4, (1, 9, 9), seed=1)
    kept = np.flatnonzero((labels < 3) | (np.arange(300) < 20))
    names = [f"folder/{row}.png" for row in kept]
    return Dataset(images[kept], labels[kept], list(NAMES), "x & y", names)


@pytest.fixture(scope="module")
def page(trained, test_set, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return page_of(path, *trained, test_set, data="x & y", epochs=4, rate=0.001, clip=None, on=True)


@pytest.fixture(scope="module")
def outcome(trained, test_set):
    """Probabilities, predicted classes, labels."""
    given = trained[0].predict(test_set.images).astype(np.float64)
    predicted = given.argmax(axis=1)
    assert 20 < (predicted != test_set.labels).sum() < 200
    return given, predicted, test_set.labels


def test_key_figures(page, trained, test_set, outcome):
    network, history = trained
    _, predicted, labels = outcome
    loss, accuracy = network.evaluate(test_set.images, test_set.labels)
    n, z = len(labels), 1.959964
    # Wilson's interval holds the proportions p that lie z of their own deviations away.
    low, high = (float(end) / 100 for end in page.pairs["95 % interval"][:-2].split("–"))
    for end in (low, high):
        deviation = math.sqrt(end * (1 - end) / n)
        assert abs(accuracy - end) == pytest.approx(z * deviation, abs=1.5e-4)
    assert low < accuracy < high
    known = {
        "accuracy": f"{100 * accuracy:.2f} %",
        "mistakes": f"{(predicted != labels).sum()} of {n}",
        "loss": f"{loss:.4f}",
        "parameters": f"{sum(array.size for array in network.parameters.values()):,}",
        "epochs": "4",
        "steps": str(history.steps),
        "training images": "160",
        "validation images": "40",
        "test images": str(n),
        "weights SHA-256": network.weights_sha256(),
        "convprop": cp.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "processor": processor_name(),
        "instruction set": engine.isa,
        "threads": str(cp.get_num_threads()),
        "data": "x & y",
        "rate": "0.001",
        "clip": "–",
        "on": "yes",
    }
    assert {name: page.pairs[name] for name in known} == known
    assert page.blocks[0] == "convprop train x"


def test_confusion_and_classes(page, outcome):
    _, predicted, labels = outcome
    counts = np.zeros((4, 4), dtype=int)
    for true, taken in zip(labels, predicted, strict=True):
        counts[true, taken] += 1
    rows = page.tables["Rows: true classes; columns: taken for"]
    assert rows[0] == ["", *NAMES]
    for name, line, row in zip(NAMES, counts, rows[1:], strict=True):
        assert row == [name, *(str(number or "") for number in line)]

    def shown(part):
        return f"{100 * part:.2f}"

    rows = page.tables["Precision, recall and F1 of each class, in %"]
    measures = []
    for k in range(4):
        hits = counts[k, k]
        precision, recall = hits / counts[:, k].sum(), hits / counts[k].sum()
        measures.append((precision, recall, 2 * precision * recall / (precision + recall)))
        assert rows[1 + k] == [NAMES[k], *map(shown, measures[-1]), str(counts[k].sum())]
    assert rows[5] == ["mean", *map(shown, np.mean(measures, axis=0)), ""]

    wrong = {(i, j): counts[i, j] for i, j in itertools.permutations(range(4), 2) if counts[i, j]}
    rows = page.tables["Most frequent mistakes"]
    assert rows[0] == ["true class", "taken for", "images", "of the class"]
    assert len(rows) == 1 + len(wrong)
    numbers = [int(row[2]) for row in rows[1:]]
    assert numbers == sorted(wrong.values(), reverse=True)
    for true, taken, images, share in rows[1:]:
        i, j = NAMES.index(true), NAMES.index(taken)
        assert (images, share) == (str(wrong[i, j]), f"{shown(wrong[i, j] / counts[i].sum())} %")


def test_most_confident_mistakes(page, outcome, test_set):
    given, predicted, labels = outcome
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-given[wrong, predicted[wrong]], kind="stable")][:24]
    expected = [
        f"taken for {NAMES[predicted[row]]}{100 * given[row, predicted[row]]:.2f} %"
        f"is {NAMES[labels[row]]}{100 * given[row, labels[row]]:.2f} %"
        f"{test_set.image_names[row].removeprefix('folder/')}"
        for row in order
    ]
    assert page.captions[:24] == expected
    pictures = page.pictures()
    for row in order:
        alternative = (
            f"{test_set.image_names[row]}: {NAMES[labels[row]]}, taken for {NAMES[predicted[row]]}"
        )
        enlarged = test_set.images[row, 0].repeat(16, axis=0).repeat(16, axis=1)
        np.testing.assert_array_equal(pictures[alternative], enlarged)


def test_calibration(page, outcome):
    given, predicted, labels = outcome
    rows = page.tables["Bins of probability"][1:]
    error = 0.0
    for number, row in enumerate(rows):
        certainty = given.max(axis=1)
        upper = certainty < (number + 1) / 10 if number < 9 else certainty <= 1
        within = (certainty >= number / 10) & upper
        assert row[:2] == [f"{10 * number} to {10 * number + 10} %", str(within.sum())]
        if not within.any():
            assert row[2:] == ["–", "–"]
            continue
        mean, right = certainty[within].mean(), (predicted == labels)[within].mean()
        assert row[2:] == [f"{100 * mean:.2f} %", f"{100 * right:.2f} %"]
        error += within.mean() * abs(mean - right)
    assert page.pairs["calibration error"] == f"{100 * error:.2f} %"


def test_curves(page, trained):
    _, history = trained
    rows = page.tables["Epochs"]
    for record, row in zip(history, rows[1:], strict=True):
        assert row[0] == str(record.epoch)
        assert float(row[1]) == pytest.approx(record.loss, rel=1e-3)
        assert row[2] == f"{100 * record.accuracy:.2f} %"
        assert float(row[3]) == pytest.approx(record.validation_loss, rel=1e-3)
        assert row[4] == f"{100 * record.validation_accuracy:.2f} %"
    # The height of each point is its loss, by the heights of two numbers of the axis.
    lines = [
        np.array([point.split(",") for point in line["points"].split()], dtype=float)
        for line in page.all("polyline")
    ]
    first, second = [line for line in lines if len(line) == 4][:2]
    losses = [np.array([r.loss for r in history]), np.array([r.validation_loss for r in history])]
    points, values = np.concatenate([first, second]), np.concatenate(losses)
    assert np.ptp(points[:, 1]) > 50
    slope, start = np.polyfit(values, points[:, 1], 1)
    assert slope < 0
    np.testing.assert_allclose(slope * values + start, points[:, 1], atol=0.2)
    assert (np.diff(first[:, 0]) > 0).all()


def test_first_layer_in_colours(page, trained):
    weight = trained[0].parameters["conv1.weight"]
    sheet = page.pictures()["The weights of 5 kernels of the first layer, conv1"]
    largest = np.abs(weight).max()
    for number in range(5):
        top, left = number // 3 * 83, number % 3 * 83
        for i, j in itertools.product(range(3), repeat=2):
            value = weight[number, 0, i, j] / largest
            colour = np.array((0, 114, 178) if value < 0 else (213, 94, 0))
            shown = sheet[top + 26 * i + 13, left + 26 * j + 13].astype(float)
            np.testing.assert_allclose(shown[:3], 255 + abs(value) * (colour - 255), atol=0.51)
            assert shown[3] == 255


@pytest.mark.parametrize(
    ("layers", "shape", "caption"),
    [
        ([cp.Flatten(), cp.Dense(70), cp.Dense(4)], (1, 9, 9), "64 of 70 units of dense1, 9×9"),
        ([cp.MaxPool(2), cp.Dense(4)], (3, 9, 9), "4 units of dense1, 4×4 weights; red, green"),
        ([cp.Conv(6, 5), cp.Dense(4)], (3, 9, 9), "6 kernels of conv1, 5×5 weights; red, green"),
        ([cp.Conv(200, 1), cp.Dense(4)], (5, 9, 9), "12 of 200 kernels of conv1, 1×1"),
        ([cp.Conv(2, 3), cp.Dense(4)], (100, 9, 9), "1 of 2 kernels of conv1, 3×3"),
        ([cp.Dense(4)], (1, 200, 150), "4 units of dense1, 200×150 weights"),
    ],
    ids=str,
)
def test_first_layers_of_many_kinds(tmp_path, layers, shape, caption):
    images, labels = blurred(40, 4, shape)
    network = cp.Network(layers, shape)
    history = cp.train(network, images, labels, epochs=1)
    test = Dataset(images, labels, list(NAMES), "x")
    page = page_of(tmp_path / "r.html", network, history, test)
    assert page.captions[-1].startswith(caption)
    assert "no images were held out for validation" in (tmp_path / "r.html").read_text()


def test_hostile_names_are_text(tmp_path, trained, test_set):
    names = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "&amp;", "ü 猫"]
    network = cp.Network(trained[0].layers, (1, 9, 9))
    network.class_names = names
    files = [f"</figure><b onclick=x {row}" for row in range(len(test_set))]
    test = Dataset(test_set.images, test_set.labels, names, "</title><script>", files)
    path = tmp_path / "r.html"
    command = "train '</code></pre><script>' && x"
    write_report(path, network, History(), test, command=command, settings={"<i>": "</dl><b>"})
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert_self_contained(html, page)
    assert_accessible(page)
    assert page.blocks[0] == command
    assert page.pairs["<i>"] == "</dl><b>"
    rows = page.tables["Precision, recall and F1 of each class, in %"]
    assert [row[0] for row in rows[1:5]] == names
    assert not page.all("b") + page.all("i")


def test_a_thousand_classes_and_many_epochs_stay_small(tmp_path):
    count = 1000
    images, labels = blurred(3000, count, (1, 6, 6))
    network = cp.Network([cp.Dense(count)], (1, 6, 6))
    history = cp.train(network, images, labels, epochs=2)
    last = history[-1]
    history.extend(last._replace(epoch=epoch) for epoch in range(3, 20_001))
    test = Dataset(images, labels, [f"kind {k}" for k in range(count)], "many")
    path = tmp_path / "r.html"
    page = page_of(path, network, history, test)
    assert path.stat().st_size < 1_500_000
    predicted = network.predict_classes(images)
    f1 = np.array([
        2 * (right := ((labels == k) & (predicted == k)).sum())
        / max((labels == k).sum() + (predicted == k).sum(), 1) + 0 * right
        for k in range(count)
    ])  # fmt: skip
    rows = page.tables["The 30 classes with the lowest F1; all in %"]
    assert [row[3] for row in rows[1:31]] == [f"{100 * part:.2f}" for part in np.sort(f1)[:30]]
    rows = page.tables["Precision, recall and F1 of each class, in %"]
    assert [row[3] for row in rows[1:]] == [f"{100 * part:.2f}" for part in f1]
    assert len(page.tables["Epochs"]) == 501
    matrix = next(img for name, img in page.pictures().items() if name.startswith("Confusion"))
    places = np.zeros((400, 400), dtype=bool)
    places[labels * 400 // count, predicted * 400 // count] = True
    np.testing.assert_array_equal(matrix > 0, places)


def test_one_output_and_outputs_that_are_no_probabilities(tmp_path):
    images, labels = blurred(60, 2, (1, 9, 9))
    test = Dataset(images, labels, ["no", "yes"], "two")
    single = cp.Network([cp.Dense(1)], (1, 9, 9), loss=cp.BinaryCrossEntropy())
    history = cp.train(single, images, labels, epochs=1)
    page = page_of(tmp_path / "r.html", single, history, test)
    assert history[0].accuracy is None
    assert page.tables["Epochs"][0] == ["epoch", "loss", "val. loss", "learning rate", "time"]
    assert [text for level, text in page.headings if level == 3] == ["Loss", "Reliability diagram"]
    accuracy = single.evaluate(images, labels).accuracy
    assert page.pairs["accuracy"] == f"{100 * accuracy:.2f} %"
    assert "calibration error" in page.pairs
    squared = cp.Network([cp.Dense(2)], (1, 9, 9), loss=cp.SquaredError())
    page = page_of(tmp_path / "r.html", squared, History(), test)
    assert "calibration error" not in page.pairs
    assert "its outputs are no probabilities" in (tmp_path / "r.html").read_text()


def test_a_stream_is_read_some_at_a_time(tmp_path, trained, test_set):
    class Stream:
        shape, dtype = test_set.images.shape, test_set.images.dtype
        asked: list[int] = []  # noqa: RUF012

        def __getitem__(self, rows):
            self.asked.append(len(rows))
            return test_set.images[rows]

    def contents(images):
        test = Dataset(images, test_set.labels, list(NAMES), "x", test_set.image_names)
        page_of(tmp_path / "r.html", *trained, test)
        return (tmp_path / "r.html").read_bytes()

    stream = Stream()
    assert contents(stream) == contents(test_set.images)
    assert max(stream.asked) <= 256
    # Some are read before, for the range of their values.
    assert sum(stream.asked) == len(test_set) + 24 + SOME_IMAGES


def test_classes_are_matched_by_name(tmp_path, trained, test_set):
    order = [2, 0, 3, 1]
    renamed = Dataset(
        test_set.images,
        np.argsort(order).astype(np.int32)[test_set.labels],
        [NAMES[k] for k in order],
        "x & y",
        test_set.image_names,
    )
    for name, test in (("a", test_set), ("b", renamed)):
        page_of(tmp_path / name, *trained, test)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_refused(tmp_path, trained, test_set):
    network, history = trained
    path = tmp_path / "r.html"

    def write(network=network, history=history, test=test_set, path=path):
        write_report(path, network, history, test, command="", settings={})

    with refuses(cp.InvalidInput, "network must be a Network, got None"):
        write(network=None)
    with refuses(cp.InvalidInput, "history must be a History, got []"):
        write(history=[])
    values = Dataset(test_set.images, np.zeros((len(test_set), 2)), list(NAMES), "x")
    rule = "test.labels must be the classes of images, integers of shape (N,)"
    with refuses(cp.InvalidInput, f"{rule}, got dtype float64 and shape ({len(test_set)}, 2)"):
        write(test=values)
    short = Dataset(test_set.images, test_set.labels[:7], list(NAMES), "x")
    count = len(test_set)
    with refuses(
        cp.InvalidInput, f"test.labels must hold a label for each of the {count} images, got 7"
    ):
        write(test=short)
    nothing = Dataset(test_set.images[:0], test_set.labels[:0], list(NAMES), "x")
    with refuses(cp.InvalidInput, "test must hold at least one image, got none"):
        write(test=nothing)
    broken = cp.Network([cp.Dense(4)], (1, 9, 9))
    broken.parameters["dense1.weight"][...] = np.nan
    rule = "network must have finite outputs for the test images"
    with refuses(cp.InvalidInput, f"{rule}, got NaN or infinity"):
        write(network=broken)
    assert os.listdir(tmp_path) == []
    path.write_text("before")
    with pytest.raises(cp.InvalidInput):
        write(test=values)
    assert path.read_text() == "before"
    with refuses(
        cp.InvalidInput,
        f"path must name a file that can be written, got {tmp_path} (is a directory)",
    ):
        write(path=tmp_path)


@pytest.mark.parametrize(
    ("count", "classes", "shape"),
    [
        (1, 2, (1, 1, 1)),
        pytest.param(60, 10_000, (1, 3, 3), marks=pytest.mark.slow),
        (3, 3, (3, 700, 500)),
        (2, 2, (2, 1, 40)),
    ],
    ids=str,
)
def test_odd_sizes(tmp_path, count, classes, shape):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = (np.arange(count) % classes).astype(np.int32)
    network = cp.Network([cp.AveragePool(shape[1:]), cp.Dense(classes)], shape)
    test = Dataset(images, labels, [str(k) for k in range(classes)], "odd")
    page = page_of(tmp_path / "r.html", network, History(), test)
    accuracy = network.evaluate(images, labels).accuracy
    assert page.pairs["accuracy"] == f"{100 * accuracy:.2f} %"
    assert (tmp_path / "r.html").stat().st_size < 2_500_000


def test_the_processor_is_named(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Made 7\nflags\t: a\n")
    assert processor_name(tmp_path) == "Made 7"
    assert processor_name(tmp_path / "none") == (platform.processor() or platform.machine())


def about(path):
    """Return the report's first paragraph, and what it says of how the training went, or None."""
    html = path.read_text(encoding="utf-8")
    course = re.search(r'<p class="course">(.*?)</p>', html)
    return re.search(r'<p class="about">(.*?)</p>', html)[1], course and course[1]


def test_when_it_was_trained(tmp_path, test_set):
    images, labels = blurred(40, 4, (1, 9, 9))
    network = cp.Network([cp.Dense(4)], (1, 9, 9))
    before = datetime.now(UTC)
    history = cp.train(network, images, labels, epochs=1)
    assert before <= history.ended <= datetime.now(UTC)
    history.ended = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    page = page_of(tmp_path / "r.html", network, history, test_set)
    first, course = about(tmp_path / "r.html")
    assert first.endswith("test images of 4 classes; trained on 2026-05-04, 03:02 UTC")
    assert course is None
    assert (page.pairs["training images"], page.pairs["validation images"]) == ("40", "–")
    # Of a history that no training has made it is not known.
    page = page_of(tmp_path / "r.html", network, History(), test_set)
    assert "trained" not in about(tmp_path / "r.html")[0]
    assert "training images" not in page.pairs


def test_how_the_training_went(tmp_path, test_set):
    images, labels = blurred(40, 4, (1, 9, 9))

    def course_of(**settings):
        network = cp.Network([cp.Dense(4)], (1, 9, 9))
        history = cp.train(network, images, labels, batch_size=10, **settings)
        page_of(tmp_path / "r.html", network, history, test_set)
        return about(tmp_path / "r.html")[1]

    def interrupt(batch):
        if batch.step == 7:
            raise KeyboardInterrupt

    ended = "The training was ended by"
    # Nothing is better by so much.
    stopping = cp.EarlyStopping(2, tolerance=99.0, keep_best=False)
    assert (
        course_of(epochs=9, validation=0.2, stopping=stopping)
        == f"{ended} early stopping after 3 of 9 epochs."
    )
    at_two = {"on_epoch": lambda record: record.epoch == 2}
    best = "The weights are those of epoch 2, the best one."
    kept = {"stopping": cp.EarlyStopping(5), "validation": 0.2}
    assert course_of(epochs=3, **kept, **at_two) == f"{ended} a hook after 2 of 3 epochs. {best}"
    checkpoints = {"epochs": 3, "checkpoints": cp.Checkpoints(tmp_path / "net")}
    interrupted = "The training was interrupted after 1 of 3 epochs."
    assert course_of(**checkpoints, on_batch=interrupt) == interrupted
    resumed = "The training had been interrupted, and went on after 7 steps, from a checkpoint."
    assert course_of(**checkpoints, resume=True) == resumed


def test_a_logarithmic_axis_says_so(tmp_path, trained, test_set):
    for smallest, title in ((0.5, "Loss"), (0.001, "Loss (logarithmic axis)")):
        history = History(
            EpochRecord(n, x, 0.5, None, None, 1.0, 0.1, 0.0) for n, x in ((1, 2.0), (2, smallest))
        )
        page = page_of(tmp_path / "r.html", trained[0], history, test_set)
        assert (3, title) in page.headings


def test_interrupted_before_the_first_epoch(tmp_path, trained, test_set):
    page_of(tmp_path / "r.html", trained[0], History(), test_set)
    assert "No epoch was finished." in (tmp_path / "r.html").read_text()


def test_losses_that_are_missing_or_not_finite(tmp_path, trained, test_set):
    losses = [2.0, math.inf, 1.0, 1.5]
    history = History(
        EpochRecord(n, x, 0.5, None, None, 1.0, 0.1, 0.0) for n, x in enumerate(losses, 1)
    )
    history.best_epoch = 3
    page = page_of(tmp_path / "r.html", trained[0], history, test_set)
    assert [row[1] for row in page.tables["Epochs"][1:]] == ["2.0000", "inf", "1.0000", "1.5000"]


def luminance(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(colours):
    """WCAG 2.2: 4.5 for text, 3 for what lines show; text also stands on bars."""

    def contrast(one, other):
        low, high = sorted((luminance(colours[one]), luminance(colours[other])))
        return (high + 0.05) / (low + 0.05)

    assert contrast("ink", "paper") > 12
    assert contrast("muted", "paper") > 4.5
    assert contrast("ink", "faint") > 4.5
    assert contrast("first", "paper") > 4.5
    assert contrast("second", "paper") > 4.5
    assert contrast("first", "faint") > 2.2


@pytest.mark.parametrize(
    ("values", "options", "texts"),
    [
        ([0.0, 0.93], {}, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([1, 8], {"whole": True, "exact": True}, ["2", "4", "6", "8"]),
        ([1, 3], {"whole": True, "exact": True}, ["1", "2", "3"]),
        ([1, 1], {"whole": True, "exact": True}, ["1"]),
        ([0.93, 0.99], {"percent": True}, ["92%", "94%", "96%", "98%", "100%"]),
        ([1.0, 1.0], {"percent": True}, ["90%", "92%", "94%", "96%", "98%", "100%"]),
        ([1e-7, 10], {"logarithmic": True, "exact": True}, None),
        ([0.02, 2], {"logarithmic": True}, ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2"]),
        ([math.nan], {}, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([3e6, 3e6 + 1], {}, None),
    ],
)
def test_axes(values, options, texts):
    axis = axis_for(np.array(values, dtype=float), **options)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 9
    assert all(-1e-9 <= axis.place(value) <= 1 + 1e-9 for value, _ in ticks)
    if texts is not None:
        assert [text for _, text in ticks] == texts


def test_places_and_thinning():
    assert Axis(1, 100, logarithmic=True).place(10) == pytest.approx(0.5)
    assert Axis(2, 4).place(3) == 0.5
    assert list(thinned(3)) == [0, 1, 2]
    some = thinned(10_001)
    assert len(some) == 500
    assert (some[0], some[-1]) == (0, 10_000)
    assert len(thinned(0)) == 0
