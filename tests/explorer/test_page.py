"""The explorer's page in a real browser.

    PYTHONPATH=tests python tests/explorer/test_page.py docs/explorer.png

takes the README's picture.
"""

import re
import subprocess
import sys
import time

import numpy as np
import pytest
from server import running, small_data, small_network

from browser import assert_fits, chromium
from by_hand import fma
from convprop.explain import Explainer

pytestmark = pytest.mark.slow

VIEWS = ["forward", "gradient", "delta", "pooling", "loss", "training", "arithmetic", "article"]
WIDTHS = (390, 800, 1440)


@pytest.fixture(scope="module")
def browser():
    with chromium() as running_browser:
        yield running_browser


@pytest.fixture(scope="module")
def client():
    with running(stays=True) as client:
        yield client


class Page:
    """A page of the explorer, which must stay quiet and ask nobody else."""

    def __init__(self, browser, client, width=1280, address="", **options):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, accept_downloads=True, **options
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page = self.context.new_page()
        self.said, self.requested = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.client = client
        self.started = time.perf_counter()
        self.page.goto(f"http://{client.host}{client.entrance}")
        if address:
            self.page.wait_for_selector("body[data-ready]")
            self.page.goto(f"http://{client.host}/{address}")
            self.page.reload()
        self.page.wait_for_selector("body[data-ready]")
        self.seconds = time.perf_counter() - self.started

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.context.close()
        if kind is None:
            assert self.said == []
            home = f"http://{self.client.host}/"
            assert [url for url in self.requested if not url.startswith((home, "blob:"))] == []

    def view(self, name):
        """Open a view."""
        self.page.click(f"#tab-{name}")
        self.page.wait_for_selector(f"body[data-ready={name}]")
        self.page.wait_for_selector(f"#view > [data-view={name}]")
        return self

    def heading(self):
        """Return the name and the value of what is explained."""
        name, value = self.page.inner_text(".terms h3").rsplit(" = ", 1)
        return name, np.float32(value)

    def columns(self):
        """Return the table's cells by their headings, with all digits."""
        header = self.page.locator(".terms thead th").all_inner_texts()
        cells = self.page.evaluate(
            "[...document.querySelectorAll('.terms tbody tr[data-term]')]"
            ".map(row => [...row.cells].map(cell => cell.title || cell.textContent))"
        )
        return dict(zip(header, zip(*cells, strict=True), strict=True))

    def wait_for(self, name):
        """Wait until what is explained has that name."""
        self.page.wait_for_function(
            "name => document.querySelector('#view .terms h3')?.textContent.startsWith(name)",
            arg=name,
        )

    def point(self, label, row, column):
        """Click on a map's pixel."""
        canvas = self.page.locator(f"#view canvas[aria-label='{label}']")
        side, across = canvas.evaluate("canvas => [canvas.picture.side, canvas.picture.margin]")
        top, left = across[0], across[2]
        canvas.click(position={"x": (column + left + 0.5) * side, "y": (row + top + 0.5) * side})


def engine(index=0):
    """Return the engine's numbers for an image of the page."""
    data = small_data()
    images, labels = data.images[index : index + 1], data.labels[index : index + 1]
    return Explainer(small_network(), images, labels)


def added_up(factors, start=0):
    """Add up products by hand, as float32 numbers one after the other."""
    total = np.float32(start)
    for left, right in zip(*factors, strict=True):
        total = fma(np.float32(left), np.float32(right), total)
    return total


def test_the_first_page_is_there_within_a_second(browser, client):
    # Whatever else runs can only add to it.
    def seconds():
        with Page(browser, client) as page:
            return page.seconds

    assert any(seconds() < 1 for _ in range(5))


def test_forward(browser, client):
    with Page(browser, client) as page:
        page.point("output map", 2, 5)
        page.wait_for("x[k=0, i=2, j=5]")
        found = engine().output("conv1", 0, 2, 5)
        columns = page.columns()
        assert page.heading()[1] == found.value
        bias = page.page.get_attribute(".terms .start td:last-child", "title")
        assert added_up((columns["w"], columns["o"]), bias) == found.value
        # A pixel of the input chooses the window that begins there.
        page.point("input map", 4, 3)
        page.wait_for("x[k=0, i=5, j=4]")
        page.page.fill("#k", "2")
        page.page.press("#k", "Enter")
        page.wait_for("x[k=2, i=5, j=4]")
        assert page.heading()[1] == engine().output("conv1", 2, 5, 4).value
        before = page.page.evaluate("document.querySelector('[aria-label=kernel]').toDataURL()")
        page.page.check("#flipped")
        page.page.wait_for_function(
            "() => document.querySelector('.lead').textContent.includes('Eq. 6')"
        )
        after = page.page.evaluate("document.querySelector('[aria-label=kernel]').toDataURL()")
        assert before != after
        page.page.select_option("#layer", "conv2")
        page.wait_for("x[k=2, i=1, j=1] of conv2")
        page.page.select_option("#layer", "max_pool1")
        page.page.wait_for_function(
            "() => document.querySelector('.source').textContent.includes('max')"
        )


def test_the_window_can_be_stepped_and_played(browser, client):
    with Page(browser, client) as page:
        page.wait_for("x[k=0, i=4, j=4]")  # the middle
        page.page.click("#window-step")
        page.wait_for("x[k=0, i=4, j=5]")
        page.page.click("#window-play")
        page.wait_for("x[k=0, i=4, j=7]")
        page.page.click("#window-play")
        stopped = page.heading()[0]
        page.page.wait_for_timeout(900)
        assert page.heading()[0] in (stopped, "x[k=0, i=5, j=0] of conv1")


def test_weight_gradient(browser, client):
    with Page(browser, client).view("gradient") as page:
        page.point("kernel", 2, 1)
        page.wait_for("dE/dw[k=0, c=0, m=2, n=1]")
        found = engine().weight_gradient("conv1", 0, 0, 2, 1)
        columns = page.columns()
        assert len(columns["δ"]) == 64
        assert page.heading()[1] == found.value
        assert added_up((columns["δ"], columns["o"])) == found.value
        page.page.check("#flipped")
        page.page.wait_for_selector("figcaption:has-text('flipped by 180°')")
        page.page.click("#weight-step")
        page.wait_for("dE/dw[k=0, c=0, m=2, n=2]")


def test_delta(browser, client):
    with Page(browser, client).view("delta") as page:
        page.page.select_option("#layer", "conv2")
        page.wait_for("dE/do[c=0, i=3, j=3]")
        page.point("input map", 2, 3)
        page.wait_for("dE/do[c=0, i=2, j=3]")
        found = engine().delta("conv2", 0, 2, 3)
        columns = page.columns()
        assert page.heading()[1] == found.value
        assert added_up((columns["δ"], columns["w"])) == found.value
        page.page.check("#flipped")
        page.page.wait_for_selector("figcaption:has-text('rotated by 180°')")
        # The rotated kernel on the padded deltas: its last weight lies where the pixel's own is.
        frames = "document.querySelector(\"[aria-label='deltas of the output']\").picture.frames"
        page.page.wait_for_function(f"() => {frames}.some(frame => frame.kind === 'window')")
        window = page.page.evaluate(f"{frames}.find(frame => frame.kind === 'window')")
        assert (window["row"], window["column"]) == (2, 3)
        assert (window["height"], window["width"]) == (3, 3)


def test_pooling(browser, client):
    with Page(browser, client).view("pooling") as page:
        page.point("input of the pool", 3, 4)
        page.wait_for("delta[c=0, i=3, j=4]")
        assert page.heading()[1] == engine().delta("max_pool1", 0, 3, 4).value
        titles = page.page.locator(".kind h3").all_inner_texts()
        assert [title.split(":")[0] for title in titles] == ["Max", "Average", "L2"]
        assert page.page.locator(".kind.own h3").inner_text().startswith("Max")
        winners = page.page.evaluate(
            "document.querySelector(\"#view canvas[aria-label='input of the pool']\")"
            ".picture.frames.filter(f => f.kind === 'winner').map(f => [f.row, f.column])"
        )
        o = engine().done.layers[2].input[0, 0]
        for n, (row, column) in enumerate(winners):
            i, j = divmod(n, 4)
            assert o[row, column] == o[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max()


def test_loss(browser, client):
    with Page(browser, client).view("loss") as page:
        page.wait_for("E = ")
        columns = page.columns()
        found = engine().loss()
        assert page.heading()[1] == found.value
        assert added_up((columns["t"], columns["−log p"])) == found.value
        deltas = np.array(columns["δ"], np.float32)
        assert np.array_equal(deltas, engine().done.layers[-1].delta[0])
        probabilities = page.page.locator(".bars .number:nth-child(3)")
        shares = [float(probabilities.nth(k).get_attribute("title")) for k in range(10)]
        assert sum(shares) == pytest.approx(1, abs=1e-6)


def test_every_digit_is_shown_where_one_points(browser, client):
    with Page(browser, client) as page:
        canvas = page.page.locator("#view canvas[aria-label='output map']")
        side = canvas.evaluate("canvas => canvas.picture.side")
        canvas.hover(position={"x": 3.5 * side, "y": 2.5 * side})
        shown = page.page.inner_text("#tip")
        name, value = shown.rsplit(" = ", 1)
        assert name == "x [2, 3]"
        assert np.float32(value) == engine().done.layers[0].output[0, 0, 2, 3]


def test_drawing_a_digit_changes_the_prediction(browser, client):
    with Page(browser, client) as page:
        page.view("training")
        page.page.select_option("#speed", "20")
        for _ in range(4):
            step = page.page.inner_text("#view .lead")
            page.page.click("#training-step")
            page.page.wait_for_function(
                "old => document.querySelector('#view .lead').innerText !== old", arg=step
            )
        page.page.click("#draw")
        pad = page.page.locator("canvas.pad")
        box = pad.bounding_box()
        assert page.page.inner_text("#prediction") == "0"

        def stroke(*points):
            page.page.mouse.move(box["x"] + points[0][0] * 224, box["y"] + points[0][1] * 224)
            page.page.mouse.down()
            for x, y in points[1:]:
                page.page.mouse.move(box["x"] + x * 224, box["y"] + y * 224, steps=8)
            page.page.mouse.up()

        # A thick one.
        for x in (0.42, 0.5, 0.58):
            stroke((x, 0.08), (x, 0.92))
        other = "() => document.getElementById('prediction').innerText !== '0'"
        page.page.wait_for_function(other)


def test_an_uploaded_picture_is_taken(browser, client, tmp_path):
    from PIL import Image

    path = tmp_path / "white.png"
    Image.new("L", (30, 30), 255).save(path)
    with Page(browser, client) as page:
        page.page.set_input_files("#file", path)
        page.page.wait_for_function(
            "() => document.querySelector('#image canvas').picture.map.values.every(v => v === 16)"
        )
        (tmp_path / "text.png").write_text("no picture")
        page.page.set_input_files("#file", tmp_path / "text.png")
        page.page.wait_for_selector(".said.wrong")
        assert "must be PNG, JPEG, WebP or BMP" in page.page.inner_text("#said")
        # The browser itself reports the refusal.
        assert [words for words in page.said if "400" not in words] == []
        page.said.clear()


def test_training_lowers_the_loss_and_back_in_time_restores_the_maps(browser, client):
    with Page(browser, client).view("training") as page:
        look = "document.querySelector('.layer[data-layer=conv2] canvas').toDataURL()"
        first = page.page.evaluate(look)
        page.page.select_option("#speed", "10")
        page.page.click("#training-play")
        page.page.wait_for_function(
            "() => document.querySelector('#view .line')?.points.length >= 60"
        )
        page.page.click("#training-play")
        page.page.wait_for_timeout(300)
        heights = page.page.evaluate(
            "[...document.querySelector('#view .line').points].map(point => point.y)"
        )
        assert np.mean(heights[-10:]) > np.mean(heights[:10]) + 20  # downwards on the screen
        assert page.page.evaluate(look) != first
        page.page.evaluate(
            "const time = document.getElementById('time'); time.value = 0;"
            "time.dispatchEvent(new Event('change'))"
        )
        page.page.wait_for_function(
            "() => document.querySelector('#view .lead').innerText.startsWith('Step 0 ')"
        )
        assert page.page.evaluate(look) == first


def test_a_map_of_the_network_can_be_chosen(browser, client):
    with Page(browser, client) as page:
        page.page.click(".layer[data-layer=conv2] canvas[data-map='3']")
        page.wait_for("x[k=3, i=1, j=1] of conv2")
        page.view("gradient")
        page.page.click(".layer[data-layer=max_pool1]")
        page.page.wait_for_selector("body[data-ready=pooling]")


def test_the_network_shows_outputs_deltas_and_gradients(browser, client):
    with Page(browser, client) as page:
        look = "document.querySelector('.layer[data-layer=conv1] canvas').picture.map.values[0]"
        done = engine().done
        assert page.page.evaluate(look) == done.layers[0].output[0, 0, 0, 0]
        page.page.select_option("#mode", "delta")
        delta = float(done.layers[0].delta[0, 0, 0, 0])
        page.page.wait_for_function(f"() => {look} === {delta!r}")
        page.page.select_option("#mode", "gradient")
        gradient = done.gradients["conv1.weight"][0, 0, 0, 0]
        page.page.wait_for_function(f"() => {look} === {float(gradient)!r}")


@pytest.mark.parametrize("transposed", [False, True])
def test_arithmetic(browser, client, transposed):
    with Page(browser, client).view("arithmetic") as page:
        page.page.fill("#a-input", "5")
        page.page.press("#a-input", "Enter")
        page.page.fill("#a-stride", "2")
        page.page.press("#a-stride", "Enter")
        if transposed:
            page.page.check("#a-transposed")
        size = 11 if transposed else 2
        page.page.wait_for_function(
            f"() => document.querySelector('#view math').textContent.endsWith('={size}')"
        )
        output = page.page.locator("#view canvas[aria-label=output]")
        assert output.evaluate("canvas => canvas.picture.map.width") == size
        page.page.fill("#a-kernel", "9")
        page.page.press("#a-kernel", "Enter")
        if not transposed:
            page.page.wait_for_selector(".said.wrong")
            assert "window must fit" in page.page.inner_text("#said")
            page.said.clear()


def test_the_article_goes_through_all_equations_beside_live_figures(browser, client):
    with Page(browser, client).view("article") as page:
        numbers = page.page.locator("[data-equation] .eq-number").all_inner_texts()
        assert [text for text in numbers if text] == [f"({n})" for n in range(1, 23)]
        page.page.click("#show-7")
        page.page.wait_for_selector(".live [data-live=gradient] .terms h3")
        assert "flipped by 180°" in page.page.inner_text(".live")
        page.page.click("#show-8")
        page.page.wait_for_selector(".live [data-live=delta] .terms h3")
        page.page.locator("#section-11").scroll_into_view_if_needed()
        page.page.evaluate("document.getElementById('section-11').scrollIntoView()")
        page.page.wait_for_selector(".live [data-live=pooling]")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_a_link_that_restores_it(browser, client, view):
    with Page(browser, client) as page:
        page.page.fill("#image-index", "5")
        page.page.press("#image-index", "Enter")
        page.page.wait_for_function("() => location.hash.includes('index=5')")
        page.view(view)
        page.page.click("#link")
        address = page.page.evaluate("navigator.clipboard.readText()")
        said = page.page.inner_text("#view")
        hash_ = address[address.index("#") :] if "#" in address else ""
    with Page(browser, client, address=hash_) as page:
        page.page.wait_for_selector(f"body[data-ready={view}]")
        if view != "article":
            page.page.wait_for_function(
                "said => document.getElementById('view').innerText === said", arg=said
            )


def test_a_saved_page_opens_without_a_server(browser, client, tmp_path):
    with Page(browser, client) as page:
        page.view("gradient")
        page.point("kernel", 1, 1)
        page.wait_for("dE/dw[k=0, c=0, m=1, n=1]")
        said = page.page.inner_text("#view")
        with page.page.expect_download() as download:
            page.page.click("#save-page")
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
    context = browser.new_context(offline=True)
    alone = context.new_page()
    said_alone, requested = [], []
    alone.on("console", lambda message: said_alone.append(message.text))
    alone.on("pageerror", lambda error: said_alone.append(str(error)))
    alone.on("request", lambda request: requested.append(request.url))
    alone.goto(path.as_uri())
    alone.wait_for_selector("body[data-ready=gradient]")
    assert alone.inner_text("#view") == said
    # What had not been looked at is said not to be there.
    alone.click("#tab-loss")
    alone.wait_for_selector(".said.wrong")
    assert "convprop explore" in alone.inner_text("#said")
    assert said_alone == []
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_a_picture_is_saved(browser, client, tmp_path):
    from PIL import Image

    with Page(browser, client) as page:
        with page.page.expect_download() as download:
            page.page.click("#save-picture")
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.suffix == ".png"
        with Image.open(path) as picture:
            assert picture.width > 500
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_the_keyboard_alone_can_do_it(browser, client):
    with Page(browser, client) as page:
        press, keys = page.page.keyboard.press, page.page

        def tab_to(selector):
            keys.locator("body").evaluate("() => document.activeElement.blur()")
            for _ in range(120):
                press("Tab")
                if keys.evaluate("s => document.activeElement.matches(s)", selector):
                    return
            raise AssertionError(f"{selector} cannot be reached")

        tab_to("[role=tab][aria-selected=true]")
        press("ArrowRight")
        keys.wait_for_selector("body[data-ready=gradient]")
        press("ArrowRight")
        keys.wait_for_selector("body[data-ready=delta]")
        tab_to("#view canvas[aria-label='input map']")
        press("ArrowDown")
        page.wait_for("dE/do[c=0, i=5, j=4]")
        press("ArrowRight")
        page.wait_for("dE/do[c=0, i=5, j=5]")
        assert re.fullmatch(r"o \[5, 5\] = \S+", keys.inner_text("#said"))
        tab_to("#layer")
        for name in ("relu1", "max_pool1", "conv2"):
            press("ArrowDown")
            ends = f"through {name}"
            keys.wait_for_function(
                "ends => (document.querySelector('.terms h3').textContent + ' ')"
                ".includes(ends + ' ')",
                arg=ends,
            )
        assert keys.evaluate("document.activeElement.id") == "layer"
        tab_to("#flipped")
        press("Space")
        keys.wait_for_selector("figcaption:has-text('rotated by 180°')")
        tab_to("#draw")
        press("Enter")
        tab_to("canvas.pad")
        before = keys.inner_text(".prediction")
        for _ in range(6):
            press("ArrowUp")
        for _ in range(12):
            press("Space")
            press("ArrowDown")
        keys.wait_for_function(
            "old => document.querySelector('.prediction').innerText !== old", arg=before
        )
        tab_to("#save-picture")
        with keys.expect_download():
            press("Enter")
        tab_to(".layer[data-layer=max_pool1]")
        press("Enter")
        keys.wait_for_selector(".layer[data-layer=max_pool1][aria-pressed=true]")


def test_everything_has_a_name_for_screen_readers(browser, client):
    with Page(browser, client) as page:
        for view in VIEWS:
            page.view(view)
            nameless = page.page.evaluate(
                """[...document.querySelectorAll('button, select, input, canvas, [role]')]
                .filter(e => !e.hidden && e.getClientRects().length)
                .filter(e => !['tabpanel', 'tablist', 'status', 'tooltip', 'list', 'listitem']
                    .includes(e.getAttribute('role')))
                .filter(e => !(e.getAttribute('aria-label') || e.labels?.length
                    || e.textContent.trim()))
                .map(e => e.outerHTML.slice(0, 100))"""
            )
            assert nameless == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(browser, client, width, scheme):
    with Page(browser, client, width, color_scheme=scheme) as page:
        for view in VIEWS:
            page.view(view)
            page.page.wait_for_timeout(150)
            assert_fits(page.page)


def test_views_answer_within_a_tenth_of_a_second(browser, client):
    with Page(browser, client) as page:
        times = page.page.evaluate(
            """async () => {
              const times = [];
              for (let n = 0; n < 12; n++) {
                const started = performance.now();
                document.getElementById('window-step').click();
                const wanted = `j=${(n + 5) % 8}]`;
                while (!document.querySelector('.terms h3').textContent.includes(wanted))
                  await new Promise(requestAnimationFrame);
                times.push(performance.now() - started);
              }
              return times;
            }"""
        )
        assert min(times) < 100
        assert sorted(times)[len(times) // 2] < 200


def test_a_server_that_has_gone_is_named(browser):
    with running() as client:
        page = Page(browser, client)
    page.page.click("#window-step")
    page.page.wait_for_selector(".said.wrong")
    page.context.close()


def take_picture(path):
    """Show where a weight of the digits' first layer acts, one of its products marked."""
    process = subprocess.Popen(
        [sys.executable, "-m", "convprop", "explore", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
    )
    url = process.stdout.readline().strip()
    with chromium() as running_browser:
        page = running_browser.new_page(viewport={"width": 1330, "height": 960})
        page.goto(url)
        page.wait_for_selector("body[data-ready]")
        page.click("#tab-gradient")
        page.fill("#k", "4")
        page.press("#k", "Enter")
        weight = page.locator("#view canvas[aria-label=kernel]")
        side = weight.evaluate("canvas => canvas.picture.side")
        weight.click(position={"x": 2.5 * side, "y": 1.5 * side})
        page.wait_for_function(
            "() => document.querySelector('.terms h3')?.textContent.includes('k=4, c=0, m=1, n=2')"
        )
        page.wait_for_function("() => document.getElementById('said').textContent === ''")
        page.locator("tr[data-term='19']").dispatch_event("pointerenter")
        page.mouse.move(2, 2)
        page.screenshot(path=path)
    process.terminate()
    process.wait()


if __name__ == "__main__":
    take_picture(sys.argv[1])
