"""The explorer's page of networks that branch."""

import itertools
import re
from contextlib import ExitStack

import graphs
import numpy as np
import pytest
from opened import Page
from server import running, small_data

import convprop as cp
from browser import assert_fits, chromium
from convprop.explain import Explainer

pytestmark = pytest.mark.slow

WIDTHS = (390, 800, 1440)

CARDS = """[...document.querySelectorAll('.layer')].map(card => {
  const { left, right, top, bottom } = card.getBoundingClientRect();
  return { name: card.dataset.layer, left, right, top, bottom, words: card.innerText };
})"""
EDGES = """[...document.querySelectorAll('.edge')].map(edge => {
  const { left, right, top, bottom } = edge.getBoundingClientRect();
  return { from: Number(edge.dataset.from), to: Number(edge.dataset.to), left, right, top, bottom,
    mine: edge.classList.contains('mine') };
})"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as running_browser:
        yield running_browser


@pytest.fixture(scope="module")
def networks():
    """Servers of networks, by their names."""
    found = {}
    with ExitStack() as servers:
        for name in ("residual", "branches", "inception", "mobile"):
            net = cp.Network(getattr(graphs, name)(), (1, 8, 8), seed=3)
            found[name] = servers.enter_context(running(net, stays=True))
        yield found


@pytest.fixture
def opened(browser, networks):
    """Return what opens a network's page."""

    def open_page(name, width=1280, address="", **options):
        return Page(browser, networks[name], width, address, **options)

    return open_page


def cards(page):
    """Return the cards by their names, in the order of the document."""
    return {card["name"]: card for card in page.page.evaluate(CARDS)}


def test_a_residual_block_is_drawn_with_its_way_around(opened):
    with opened("residual", address="#layer=sum") as page:
        page.page.wait_for_selector(".edge.mine")
        found, edges = cards(page), page.page.evaluate(EDGES)
        names = "input stem relu1 first relu2 second sum max_pool1 dense1"
        assert list(found) == names.split()
        # One after the other, as each reads the one before.
        for before, after in itertools.pairwise(found.values()):
            assert before["right"] < after["left"]
        ends = {(edge["from"], edge["to"]) for edge in edges}
        assert ends == {*((n, n + 1) for n in range(8)), (2, 6)}
        assert {(e["from"], e["to"]) for e in edges if e["mine"]} == {(5, 6), (2, 6), (6, 7)}
        assert found["sum"]["words"].split("\n")[:2] == ["+sum", "second + relu1"]
        # The way around passes below what it goes round, and the other ones through nothing.
        [around] = [edge for edge in edges if (edge["from"], edge["to"]) == (2, 6)]
        assert around["bottom"] > max(card["bottom"] for card in found.values())
        assert abs(around["left"] - found["relu1"]["right"]) < 3
        assert abs(around["right"] - found["sum"]["left"]) < 4
        for edge in edges:
            if edge is not around:
                assert edge["right"] - edge["left"] < 60


def test_branches_stand_below_one_another(opened):
    with opened("branches", address="#layer=both") as page:
        page.page.wait_for_selector(".edge.mine")
        found = cards(page)
        narrow, wide, bent, both = (found[name] for name in ("narrow", "wide", "relu1", "both"))
        assert list(found)[2:5] == ["narrow", "wide", "relu1"]
        assert wide["top"] > narrow["bottom"]
        assert wide["left"] < narrow["right"]
        assert bent["left"] > wide["right"]
        assert both["left"] > max(narrow["right"], bent["right"])
        assert both["words"].split("\n")[:2] == ["‖both", "narrow ‖ relu1"]


def test_no_edge_passes_through_a_card(opened):
    with opened("inception") as page:
        page.page.wait_for_selector(".edge")
        crossed = page.page.evaluate(
            """[...document.querySelectorAll('.edge')].flatMap(edge => {
              const cards = [...document.querySelectorAll('.layer')];
              const matrix = edge.getScreenCTM();
              const length = edge.getTotalLength();
              const found = [];
              for (let at = 0; at < length; at += 4) {
                const { x, y } = edge.getPointAtLength(at).matrixTransform(matrix);
                for (const card of cards) {
                  const box = card.getBoundingClientRect();
                  if (x > box.left + 3 && x < box.right - 3 && y > box.top && y < box.bottom)
                    found.push([edge.dataset.from, edge.dataset.to, card.dataset.layer]);
                }
              }
              return found;
            })"""
        )
        assert crossed == []
        assert page.page.locator(".edge[data-to='9']").count() == 4


def test_the_keyboard_goes_through_the_nodes_in_their_order(opened):
    with opened("inception") as page:
        names = list(cards(page))
        page.page.focus(".layer")
        for name in names:
            focused = page.page.evaluate("document.activeElement.dataset.layer")
            assert focused == name
            page.page.keyboard.press("Tab")
        title = page.page.get_attribute(".layer[data-layer=all_four]", "title")
        assert title.endswith(", reads point, three, five_b, average_pool1")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["residual", "branches", "inception"])
def test_the_strip_shows_the_chosen_layer(opened, name, width):
    with opened(name, width) as page:
        for layer in ("dense1", "stem"):
            page.page.select_option("#layer", layer)
            page.page.wait_for_selector(f".layer[data-layer={layer}][aria-pressed=true]")
            page.page.wait_for_timeout(200)
            card = cards(page)[layer]
            assert 0 <= card["left"] < card["right"] <= width
            assert_fits(page.page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_views_of_one_kind_of_layer_offer_no_joins(opened, scheme):
    with opened("residual", address="#layer=sum", color_scheme=scheme) as page:
        for view, names in {
            "sharing": ["stem", "first", "second"],
            "gradient": ["stem", "first", "second"],
            "pooling": ["max_pool1"],
            "forward": list(cards(page))[1:],
            "delta": list(cards(page))[1:],
        }.items():
            page.view(view)
            assert page.page.locator("#layer option").all_inner_texts() == names
        # From a view that does not show it, a click on a join leads to one that does.
        page.view("gradient")
        page.page.click(".layer[data-layer=sum]")
        page.page.wait_for_selector("body[data-ready=forward]")


def test_forward_shows_all_that_a_join_reads(opened):
    with opened("residual", address="#layer=sum&out=2,3,4") as page:
        page.page.wait_for_selector("figcaption:has-text('and relu1')")
        for label, layer in (("input map", "second"), ("input map 1", "relu1")):
            shown = page.picture(label)
            strip = page.page.evaluate(
                f"[...document.querySelector('.layer[data-layer={layer}] canvas[data-map=\"2\"]')"
                ".picture.map.values].map(Number)"
            )
            assert shown["values"] == strip
            [frame] = shown["frames"]
            assert (frame["row"], frame["column"], frame["height"]) == (3, 4, 1)
    with opened("branches", address="#layer=both&out=4,0,0") as page:
        # Map 4 is the second one of what is read second.
        page.page.wait_for_selector("figcaption:has-text('input o: relu1')")
        strip = page.page.evaluate(
            "[...document.querySelector('.layer[data-layer=relu1] canvas[data-map=\"1\"]')"
            ".picture.map.values].map(Number)"
        )
        assert page.picture("input map")["values"] == strip


def test_a_shuffled_channel_is_shown_with_the_one_that_it_is(opened, networks):
    asked = Explainer(networks["mobile"].net, small_data().images[:1], small_data().labels[:1])
    went = asked.done.layers[networks["mobile"].net.names.index("channel_shuffle1")]
    # Of two groups of three, channel 3 is the second of the second group.
    with opened("mobile", address="#layer=channel_shuffle1&out=3,1,2") as page:
        page.page.wait_for_selector("#view .terms h3:has-text('c=3, i=1, j=2')")
        assert page.picture("input map")["values"] == went.input[0, 4].ravel().tolist()
        assert page.picture("output map")["values"] == went.input[0, 4].ravel().tolist()
        assert "another order" in page.page.inner_text("#view .lead")
    address = "#view=delta&layer=channel_shuffle1&input=4,1,2"
    with opened("mobile", address=address) as page:
        page.page.wait_for_selector("#view .terms h3:has-text('c=4, i=1, j=2')")
        assert page.picture("deltas of the output")["values"] == went.delta[0, 3].ravel().tolist()


def test_windows_with_gaps_and_over_the_end_are_drawn_so(opened):
    with opened("mobile", address="#layer=average_pool2&out=0,1,0") as page:
        page.page.wait_for_selector("#view .terms h3:has-text('i=1, j=0')")
        frames = [(frame["row"], frame["column"]) for frame in page.picture("input map")["frames"]]
        assert frames == [(1, 0), (1, 2), (3, 0), (3, 2)]
    # Of 8 rows and columns the last window of 3, two further on each, sees the last two.
    with opened("mobile", address="#view=pooling&layer=max_pool1&input=0,7,7") as page:
        page.page.wait_for_selector("#view .terms h3:has-text('i=7, j=7')")
        [frame] = page.picture("input of the pool")["frames"]
        assert (frame["row"], frame["column"], frame["height"], frame["width"]) == (6, 6, 3, 3)


def test_the_parts_of_a_delta_are_shown_with_their_readers_before_the_sum(opened):
    with opened("residual", address="#view=delta&layer=first&input=1,2,3") as page:
        page.page.wait_for_selector("#view .terms h3:has-text('through first')")
        captions = page.page.locator("#view figcaption:visible").all_inner_texts()
        assert captions[-3:] == ["what sum sends", "+ what first sends", "= ∂E/∂o"]
        labels = [f"deltas sent to the input {n}" for n in (1, 2)]
        parts = [np.array(page.picture(label)["values"]) for label in labels]
        total = page.picture("deltas of the input")["values"]
        assert np.allclose(parts[0] + parts[1], total, rtol=1e-6)
        # In numbers, with all digits, in the order of the addition.
        lead = page.page.inner_text("#view .lead")
        assert "2 layers have read o" in lead
        assert lead.index("sum sends") < lead.index("first sends")
        digits = page.page.locator("#view .lead b").evaluate_all("all => all.map(b => b.title)")
        assert [np.float32(text) for text in digits] == [np.float32(p[2 * 8 + 3]) for p in parts]
        # A pixel of a part is a pixel of the input.
        page.point(labels[0], 4, 5)
        page.page.wait_for_selector("#view .terms h3:has-text('i=4, j=5')")
        # What one layer alone reads has no parts.
        page.page.select_option("#layer", "second")
        page.page.wait_for_selector("#view .terms h3:has-text('through second')")
        assert page.page.locator("#view figcaption:has-text('sends'):visible").count() == 0
        assert page.page.locator("#view .lead b").count() == 0


def test_delta_shows_each_value_that_a_join_reads(opened, networks):
    asked = {
        name: Explainer(client.net, small_data().images[:1], small_data().labels[:1])
        for name, client in networks.items()
    }
    for name, layer, at in (
        ("residual", "sum", (1, 2, 3)),
        ("branches", "both", (2, 4, 5)),
        ("inception", "all_four", (3, 0, 7)),
        ("inception", "gate", (3, 4, 4)),
    ):
        net = networks[name].net
        node = net.graph.nodes[net.names.index(layer)]
        place = ",".join(map(str, at))
        with opened(name, address=f"#view=delta&layer={layer}&input={place}&index=0") as page:
            page.page.wait_for_selector(f"#view .terms h3:has-text('through {layer}')")
            names = page.page.locator("#of option").all_inner_texts()
            assert names == [net.graph.value_name(value) for value in node.reads]
            for number, of in enumerate(names):
                page.page.select_option("#of", str(number))
                page.page.wait_for_selector(f"#view .terms h3:has-text('] of {of}, through')")
                said, shown = page.heading()
                same = node.inputs[number] == node.inputs[0]
                at = at if same else tuple(map(int, re.findall(r"[cij]=(\d+)", said)))
                found = asked[name].delta(layer, *at, of=number)
                assert said == found.name.replace(", image 0", "")
                assert shown == found.value
                assert page.page.locator(f"figcaption:has-text('input o: {of}')").count() == 1
                value = node.reads[number]
                seen = asked[name].done.layers[value - 1].output[0, at[0]]
                assert page.picture("input map")["values"] == seen.ravel().tolist()
                # The map of deltas that it is made of.
                first = sum(shape[0] for shape in node.inputs[:number])
                channel = at[0] + (first if layer in ("both", "all_four") else 0)
                deltas = asked[name].done.layers[net.names.index(layer)].delta[0, channel]
                shown = page.picture("deltas of the output")
                assert shown["values"] == deltas.ravel().tolist()
                frames = [(frame["row"], frame["column"]) for frame in shown["frames"]]
                assert frames == [at[1:]]


def test_what_is_looked_at_of_a_join_is_in_the_address_and_ends_with_the_layer(opened):
    with opened("branches", address="#view=delta&layer=both&input=4,0,0&of=1") as page:
        page.page.wait_for_selector("#view .terms h3:has-text('of relu1')")
        assert page.page.input_value("#of") == "1"
        # The other one has fewer channels: the pixel is another one, the largest delta's.
        page.page.select_option("#of", "0")
        page.page.wait_for_selector("#view .terms h3:has-text('of narrow')")
        assert "of=" not in page.page.evaluate("location.hash")
        assert int(page.page.input_value("#c")) < 3
        page.page.select_option("#of", "1")
        page.page.wait_for_selector("#view .terms h3:has-text('of relu1')")
        page.page.select_option("#layer", "wide")
        page.page.wait_for_selector("#view .terms h3:has-text('through wide')")
        assert page.page.locator("#of").count() == 0
        page.page.select_option("#layer", "both")
        page.page.wait_for_selector("#view .terms h3:has-text('of narrow')")
    # A number that it does not have is the nearest that it has.
    with opened("branches", address="#view=delta&layer=both&of=9") as page:
        page.page.wait_for_selector("#view .terms h3:has-text('of relu1')")


def test_a_saved_page_shows_each_value_that_a_join_reads(opened, browser, tmp_path):
    with opened("branches", address="#view=delta&layer=both&input=0,1,1") as page:
        page.page.wait_for_selector("#view .terms h3:has-text('of narrow')")
        with page.page.expect_download() as waiting:
            page.page.click("#save-page")
        waiting.value.save_as(tmp_path / "saved.html")
        page.page.select_option("#of", "1")
        page.page.wait_for_selector("#view .terms h3:has-text('of relu1')")
        shown = page.heading()
    tab = browser.new_page()
    tab.goto((tmp_path / "saved.html").as_uri())
    tab.wait_for_selector("#view .terms h3:has-text('of narrow')")
    tab.select_option("#of", "1")
    tab.wait_for_selector("#view .terms h3:has-text('of relu1')")
    name, value = tab.inner_text("#view .terms h3").rsplit(" = ", 1)
    assert (name, np.float32(value)) == shown
    tab.close()


def test_a_chain_has_no_edges(browser):
    with running(stays=True) as client, Page(browser, client) as page:
        assert page.page.locator(".edges, .way, .operator, .layers.graph").count() == 0
