"""The explorer's page, open in a browser."""

from __future__ import annotations

import time

import numpy as np

START = "#out=0,4,4&input=0,4,4&weight=0,0,0,0"
"""Pixels and a weight in the middle, instead of those with the largest numbers."""


class Page:
    """A page of the explorer, which must stay quiet and ask nobody else."""

    def __init__(self, browser, client, width=1280, address="", **options):
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, accept_downloads=True, **options
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.said, self.requested = [], []
        self.client = client
        started = time.perf_counter()
        self.open(client.entrance + START)
        self.seconds = time.perf_counter() - started
        if address:
            # Another tab: it has the cookie, and nothing else.
            self.open(f"/{address}")

    def open(self, path):
        """Open a tab."""
        self.page = self.context.new_page()
        self.page.set_default_timeout(15000)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.goto(f"http://{self.client.host}{path}")
        self.page.wait_for_selector("body[data-ready]")

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

    def routed(self):
        """Return what each kind of pool makes of the unit's window, and gives back to the unit."""
        return [
            [np.float32(number) for number in numbers]
            for numbers in self.page.evaluate(
                "[...document.querySelectorAll('#view .routed')]"
                ".map(said => [...said.querySelectorAll('b')].map(b => b.title))"
            )
        ]

    def picture(self, label):
        """Return what a figure shows: its map's values, its frames, what is laid over it."""
        return self.page.evaluate(
            """label => {
              const { map, frames, overlay, margin } = document
                .querySelector(`#view canvas[aria-label='${label}']`).picture;
              return { values: [...map.values].map(Number), frames, margin, overlay:
                overlay && { ...overlay, values: [...overlay.map.values].map(Number) } };
            }""",
            label,
        )

    def enter(self, selector, value):
        """Type a number into a field."""
        self.page.fill(selector, str(value))
        self.page.press(selector, "Enter")

    def train(self, times, steps=20):
        """Train so many times so many steps."""
        self.view("training")
        self.page.select_option("#speed", str(steps))
        for _ in range(times):
            step = self.page.inner_text("#view .lead")
            self.page.click("#training-step")
            self.page.wait_for_function(
                "old => document.querySelector('#view .lead').innerText !== old", arg=step
            )

    def point(self, label, row, column):
        """Click on a map's pixel."""
        canvas = self.page.locator(f"#view canvas[aria-label='{label}']")
        side, across = canvas.evaluate("canvas => [canvas.picture.side, canvas.picture.margin]")
        top, left = across[0], across[2]
        canvas.click(position={"x": (column + left + 0.5) * side, "y": (row + top + 0.5) * side})
