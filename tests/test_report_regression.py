"""The report of a network that predicts numbers: every number recomputed."""

import re

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import convprop as cp
from convprop.report import write_regression_report
from convprop.report.words import told_apart
from convprop.training import History
from pages import read_page
from refusal import refuses

OFFSET, SCALE = np.array([100.0, 0.0]), np.array([40.0, 2000.0])
NAMES = ["<b>mean</b>", "tilt"]


def pictures(count, seed):
    """Return uint8 images (N, 1, 6, 6), and their brightness and how much is on the right."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 1, 6, 6), dtype=np.uint8)
    values = images[:, 0].astype(float)
    tilt = values[:, :, 3:].mean(axis=(1, 2)) - values[:, :, :3].mean(axis=(1, 2))
    return images, np.column_stack([values.mean(axis=(1, 2)), 100.0 * tilt])


def page_of(path, network, history, images, targets, **options):
    options = {"command": "python x.py", "settings": {"data": "y"}} | options
    write_regression_report(path, network, history, images, targets, **options)
    return read_page(path)


@pytest.fixture(scope="module")
def trained():
    images, targets = pictures(200, 0)
    network = cp.Network([cp.Conv(4, 3), cp.ReLU(), cp.Dense(2)], (1, 6, 6), cp.SquaredError())
    scaled = (targets - OFFSET) / SCALE
    history = cp.train(network, images, scaled, epochs=6, batch_size=16, validation=0.2)
    return network, history


@pytest.fixture(scope="module")
def page(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    names = [f"folder/image{row}.png" for row in range(90)]
    options = {"offset": OFFSET, "scale": SCALE, "output_names": NAMES, "image_names": names}
    return page_of(path, *trained, *pictures(90, 1), name="x & y", **options)


@pytest.fixture(scope="module")
def outcome(trained):
    images, true = pictures(90, 1)
    return true, trained[0].predict(images).astype(float) * SCALE + OFFSET


def number(text):
    return float(text.replace(",", ""))


def test_figures_of_each_output(page, trained, outcome):
    true, predicted = outcome
    rows = page.tables["Errors: predicted less true"]
    assert rows[0][:5] == ["output", "R²", "RMSE", "mean absolute", "mean error"]
    for k, row in enumerate(rows[1:]):
        expected = [
            r2_score(true[:, k], predicted[:, k]),
            root_mean_squared_error(true[:, k], predicted[:, k]),
            mean_absolute_error(true[:, k], predicted[:, k]),
            np.mean(predicted[:, k] - true[:, k]),
            np.mean(true[:, k]),
            np.std(true[:, k]),
        ]
        assert row[0] == NAMES[k]
        # Four digits, or whole numbers from a thousand on.
        assert [number(text) for text in row[1:]] == pytest.approx(expected, rel=6e-4, abs=6e-5)
    assert number(page.pairs["mean R²"]) == pytest.approx(r2_score(true, predicted), abs=6e-5)
    network, history = trained
    known = {
        "outputs": "2",
        "epochs": "6",
        "steps": str(history.steps),
        "training images": "160",
        "validation images": "40",
        "test images": "90",
        "weights SHA-256": network.weights_sha256(),
        "data": "y",
    }
    assert {name: page.pairs[name] for name in known} == known
    assert page.blocks[0] == "python x.py"
    assert page.tables["Epochs"][0] == ["epoch", "loss", "val. loss", "learning rate", "time"]


def test_dots_lie_where_predictions_and_truth_put_them(page, outcome):
    true, predicted = outcome
    dots = [(float(dot["cx"]), float(dot["cy"])) for dot in page.all("circle") if dot["r"] == "2"]
    assert len(dots) == 180
    for k in range(2):
        x, y = np.array(dots[90 * k : 90 * k + 90]).T
        across = np.polyfit(true[:, k], x, 1)
        up = np.polyfit(predicted[:, k], y, 1)
        np.testing.assert_allclose(np.polyval(across, true[:, k]), x, atol=0.1)
        np.testing.assert_allclose(np.polyval(up, predicted[:, k]), y, atol=0.1)
        assert across[0] > 0 > up[0]


def test_bars_count_the_errors(page, outcome):
    true, predicted = outcome
    for k in range(2):
        errors = predicted[:, k] - true[:, k]
        counts, _ = np.histogram(errors, 21, (-abs(errors).max(), abs(errors).max()))
        bars = [float(bar["height"]) for bar in page.all("rect")]
        bars = bars[: np.count_nonzero(counts)] if k == 0 else bars[-np.count_nonzero(counts) :]
        share = np.array(bars) / max(bars)
        np.testing.assert_allclose(share, counts[counts > 0] / counts.max(), atol=0.002)


def test_the_largest_errors_come_first(page, outcome):
    true, predicted = outcome
    errors = predicted - true
    relative = np.abs(errors) / np.sqrt((errors**2).mean(axis=0))
    order = np.argsort(-relative.max(axis=1), kind="stable")[:24]
    for row, caption in zip(order, page.captions, strict=False):
        k = relative[row].argmax()
        form = rf"predicted (.*){re.escape(NAMES[k])}is (.*)error (.*)image{row}\.png"
        numbers = re.fullmatch(form, caption)
        assert numbers, caption
        expected = predicted[row, k], true[row, k], errors[row, k]
        assert [number(text) for text in numbers.groups()] == pytest.approx(expected, rel=6e-4)


def test_one_output(tmp_path):
    images, targets = pictures(30, 2)
    network = cp.Network([cp.Dense(1)], (1, 6, 6), cp.SquaredError())
    scaled = targets[:, 0] / 128 - 1
    history = cp.train(network, images, scaled[:, np.newaxis], epochs=2)
    page = page_of(tmp_path / "r.html", network, history, images, scaled)
    said = network.predict(images)[:, 0]
    assert number(page.pairs["R²"]) == pytest.approx(r2_score(scaled, said), rel=1e-3)
    rmse = root_mean_squared_error(scaled, said)
    assert number(page.pairs["RMSE"]) == pytest.approx(rmse, rel=1e-3)
    assert page.tables["Errors: predicted less true"][1][0] == "output 1"
    # Where all true values are alike nothing is to be explained.
    page = page_of(tmp_path / "r.html", network, history, images[:1], scaled[:1])
    assert page.pairs["R²"] == "–"


def test_of_many_outputs_the_worst_are_drawn(tmp_path):
    images, _ = pictures(20, 3)
    true = np.random.default_rng(0).normal(size=(20, 9))
    network = cp.Network([cp.Dense(9)], (1, 6, 6), cp.SquaredError())
    page = page_of(tmp_path / "r.html", network, History(), images, true)
    r2 = r2_score(true, network.predict(images), multioutput="raw_values")
    drawn = [text for level, text in page.headings if level == 3]
    worst = np.argsort(r2)[:6] + 1
    words = ("predictions", "errors")
    assert drawn == [f"output {number}: {word}" for number in worst for word in words]
    assert len(page.tables["Errors: predicted less true"]) == 10


def test_a_regressor_of_scikit_learn(tmp_path):
    images, targets = pictures(60, 4)
    net = cp.ConvNetRegressor([cp.Dense(2)], epochs=3, random_state=0).fit(images, targets)
    options = {"offset": net.target_mean_, "scale": net.target_scale_}
    page = page_of(tmp_path / "r.html", net.network_, History(), images, targets, **options)
    score = net.score(images, targets)
    assert number(page.pairs["mean R²"]) == pytest.approx(score, rel=1e-3)


@pytest.mark.parametrize("offset", [1.7e9, -1e13])
def test_numbers_that_are_much_alike_are_told_apart(tmp_path, offset):
    """Four or six digits would be the same ones for all of them."""
    images, targets = pictures(60, 4)
    y = offset + 30 * targets[:, 0] / targets[:, 0].std()
    net = cp.ConvNetRegressor([cp.Dense(1)], epochs=3, random_state=0).fit(images, y)
    page = page_of(tmp_path / "r.html", net.network_, History(), images, y)
    _, row = page.tables["Errors: predicted less true"]
    assert number(row[5]) == pytest.approx(y.mean(), abs=0.1)
    shown = (tmp_path / "r.html").read_text()
    said = net.predict(images)
    for value in (y.min(), y.max(), said.min(), said.max()):
        assert told_apart(float(value), float(y.std())) in shown
    assert re.search(r"true value [−+] [0-9,]+<", shown)
    ticks = re.findall(r">(−?[0-9]+)</text>", shown)
    assert len(set(ticks)) > 4


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (1.7e9 + 12.3456, 30, "1,700,000,012.3"),
        (-1e13 + 2, 1, "-9,999,999,999,998.00"),
        (1000.123, 2, "1,000.12"),
        (5e-9, 1e-11, "5e-09"),
        (3.5, 30, "3.5000"),
        (1.7e9, 0, "1.7e+09"),
        (0.0, 0, "0"),
    ],
)
def test_digits_go_as_far_as_the_spread(value, spread, text):
    assert told_apart(value, spread) == text


def test_what_is_refused(tmp_path, trained):
    images, targets = pictures(8, 5)

    def write(network=trained[0], targets=targets, **options):
        page_of(tmp_path / "r.html", network, trained[1], images, targets, **options)

    classifier = cp.Network([cp.Dense(2)], (1, 6, 6))
    rule = "network must have the loss SquaredError()"
    with refuses(cp.InvalidInput, f"{rule}, got SoftmaxCrossEntropy()"):
        write(network=classifier)
    with refuses(cp.InvalidInput, "network must be a Network, got None"):
        write(network=None)
    with refuses(cp.InvalidInput, "targets must have shape (8, 2), got shape (8,)"):
        write(targets=targets[:, 0])
    with refuses(cp.InvalidInput, "targets must be finite, got NaN or infinity"):
        write(targets=targets * np.nan)
    with refuses(cp.InvalidInput, "output_names must be 2 names that differ, got ['a', 'a']"):
        write(output_names=["a", "a"])
    with refuses(cp.InvalidInput, "image_names must be 8 names, one for each image, got 1"):
        write(image_names=["a"])
    with refuses(cp.InvalidInput, "scale must be a finite number, or 2 of them, got [1, 2, 3]"):
        write(scale=[1, 2, 3])
    broken = cp.Network([cp.Dense(2)], (1, 6, 6), cp.SquaredError())
    broken.parameters["dense1.weight"][...] = np.nan
    rule = "network must have finite outputs for the test images"
    with refuses(cp.InvalidInput, f"{rule}, got NaN or infinity"):
        write(network=broken)
    assert not (tmp_path / "r.html").exists()
