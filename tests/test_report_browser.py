"""The report in a browser: on a phone, a tablet, a desktop, on paper."""

import numpy as np
import pytest

import convprop as cp
from browser import assert_fits, chromium, shown
from convprop.data import Dataset
from convprop.report import write_regression_report, write_report

pytestmark = pytest.mark.slow

WIDTHS = (360, 768, 1280)
# The room for text on a sheet of A4 with margins of 1.5 cm, in CSS pixels.
PAPER = 680


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module", params=[20, 300])
def report(request, tmp_path_factory):
    """A report with long names of classes and files, a long command and many mistakes."""
    classes = request.param
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2 * classes + 40, 3, 12, 12), dtype=np.uint8)
    labels = (np.arange(len(images)) % classes).astype(np.int32)
    network = cp.Network([cp.Conv(9, 3), cp.ReLU(), cp.Dense(classes)], (3, 12, 12))
    history = cp.train(network, images, labels, epochs=3, validation=(images, labels))
    names = [f"a rather {'long' * (k % 12)} name of class number {k}" for k in range(classes)]
    files = [f"/some/folder/{'of-pictures-' * 5}{row}.png" for row in range(len(images))]
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(
        path,
        network,
        history,
        Dataset(images, labels, names, "d" * 100, files),
        command=f"convprop train {'x' * 300} --epochs 3",
        settings={"data": "y" * 200, "a_setting_with_a_long_name" * 3: 0.1},
    )
    return path


@pytest.mark.parametrize("width", [*WIDTHS, PAPER])
def test_the_report_of_a_regression(browser, tmp_path, width):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 3, 12, 12), dtype=np.uint8)
    network = cp.Network([cp.Conv(9, 3), cp.ReLU(), cp.Dense(3)], (3, 12, 12), cp.SquaredError())
    targets = random.normal(size=(60, 3))
    history = cp.train(network, images, targets, epochs=3)
    path = tmp_path / "report.html"
    write_regression_report(
        path,
        network,
        history,
        images,
        1e6 * targets,
        command=f"python {'x' * 300}",
        settings={},
        output_names=[f"a rather {'long' * k} name" for k in (2, 5, 20)],
        image_names=[f"/some/folder/{'of-pictures-' * 5}{row}.png" for row in range(60)],
        scale=1e6,
    )
    with shown(browser, path, width) as page:
        page.emulate_media(media="print" if width == PAPER else "screen")
        assert_fits(page)
        cut = "[...document.querySelectorAll('figure, svg')]"
        assert page.evaluate(f"{cut}.every(f => f.getBoundingClientRect().right <= innerWidth + 1)")


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(browser, report, width):
    scheme = "dark" if width == 768 else "light"
    with shown(browser, report, width, color_scheme=scheme) as page:
        assert_fits(page)
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert_fits(page)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 24, 28)")


def test_words_in_charts_can_be_read_on_a_phone(browser, report):
    with shown(browser, report, 360) as page:
        heights = page.evaluate(
            "[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height)"
        )
        assert len(heights) > 20
        assert min(heights) > 11
        overlapping = page.evaluate(
            """[...document.querySelectorAll('svg')].map(svg => {
                const boxes = [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect());
                const edge = svg.getBoundingClientRect();
                return boxes.some((a, i) => a.left < edge.left - 1 || a.right > edge.right + 1
                    || boxes.some((b, j) => i < j && a.left < b.right && b.left < a.right
                        && a.top + 3 < b.bottom && b.top + 3 < a.bottom));
            })"""
        )
        assert overlapping == [False] * 3


def test_wide_tables_scroll_in_boxes_that_the_keyboard_reaches(browser, report):
    with shown(browser, report, 360) as page:
        boxes = page.evaluate(
            "[...document.querySelectorAll('.scroll')]"
            ".map(b => [b.scrollWidth > b.clientWidth, b.tabIndex, b.ariaLabel])"
        )
        assert any(wide for wide, *_ in boxes)
        assert all(index == 0 and label for _, index, label in boxes)


def test_printed(browser, report):
    with shown(browser, report, PAPER, color_scheme="dark") as page:
        page.emulate_media(media="print", color_scheme="dark")
        assert_fits(page)
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
        cut = page.evaluate(
            "[...document.querySelectorAll('figure, svg')]"
            ".filter(f => f.getBoundingClientRect().right > innerWidth + 1).length"
        )
        assert cut == 0
        kept = page.evaluate(
            "[...document.querySelectorAll('figure')]"
            ".every(f => getComputedStyle(f).breakInside == 'avoid')"
        )
        assert kept
        assert page.pdf(format="A4").startswith(b"%PDF")
