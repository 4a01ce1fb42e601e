"""The page knows where a window lies as the package does."""

import itertools

import pytest
from opened import Page
from server import running

from browser import chromium
from convprop.geometry import Window

pytestmark = pytest.mark.slow

WINDOWS = [
    Window((size, 4 - size), (stride, 2), (padding, 0, 1, 2), (dilation, 1))
    for size, stride, padding, dilation in itertools.product((1, 3), (1, 2, 3), (0, 2), (1, 2))
]
OUTPUTS = 4

ASKED = """async ([windows, outputs]) => {
  const { Window } = await import("/page/window.js");
  const upTo = (end, start = 0) => Array.from({ length: end - start }, (_, n) => start + n);
  return windows.map((one) => {
    const window = new Window(one);
    return [0, 1].map((axis) => upTo(window.size[axis]).map((tap) => [
      upTo(outputs).map((output) => window.seen(axis, output, tap)),
      upTo(9, -2).map((input) => window.seeing(axis, input, tap, outputs)),
    ]));
  });
}"""


def test_the_pages_window_is_geometrys():
    described = [
        {name: getattr(window, name) for name in ("size", "stride", "padding", "dilation")}
        for window in WINDOWS
    ]
    with chromium() as browser, running(stays=True) as client, Page(browser, client) as page:
        found = page.page.evaluate(ASKED, [described, OUTPUTS])
    for window, axes in zip(WINDOWS, found, strict=True):
        for axis, taps in enumerate(axes):
            assert len(taps) == window.size[axis]
            for tap, (seen, seeing) in enumerate(taps):
                assert seen == [window.seen(axis, output, tap) for output in range(OUTPUTS)]
                wanted = [window.seeing(axis, at, tap, OUTPUTS) for at in range(-2, 9)]
                assert [tuple(one) for one in seeing] == wanted
