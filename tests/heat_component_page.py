"""The heat map component alone: its code as a module in a blank page, called as Streamlit would call it.

`Stage.show` draws a Heatmap (its columns put on the shelf); what the component asks for is answered by `Stage.answer`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from map_component_page import ARGS, CHROMIUM, SLOW

from analysis.results import Heatmap
from dashboard.browse.heat_picture import picture
from dashboard.components.heat_map import CODE

WIDTH, HEIGHT = 620, 560
_THEMES = {
    "light": "--st-background-color: #fff; --st-text-color: #222; --st-border-color: #ccc;"
    "--st-primary-color: #1f6feb; --st-secondary-background-color: #eee;",
    "dark": "--st-background-color: #0f1319; --st-text-color: #e6eaf0; --st-border-color: #333c49;"
    "--st-primary-color: #2672d9; --st-secondary-background-color: #191f28;",
}
_PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<style>body { margin: 0; background: var(--st-background-color); --st-font: sans-serif; %s }</style>
<div id="place"></div>
<script type="module">
import mount from "/heat.js";
const shelf = window.__loupeBuffers = { held: new Map(), users: new Map(), waiting: new Set() };
const host = document.getElementById("place"), root = host.attachShadow({ mode: "open" });
let leave = null;
window.sent = [];
window.put = (key, text) => {
  shelf.held.set(key, Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  for (const wake of [...shelf.waiting]) wake();
};
window.show = (width, data) => {
  host.style.width = `${width}px`;
  leave = mount({ parentElement: root, data, setTriggerValue: (event, value) => window.sent.push({ event, value }) });
};
window.drop = () => leave();
window.waiting = () => shelf.waiting.size;
window.heat = () => root.__loupeMap;
window.ready = true;
</script>"""


def heatmap(values: np.ndarray, gathered: int = 1, **more) -> Heatmap:
    """A Heatmap of values that are in their drawing order; gathered by taking the strongest of each block."""
    p, q = values.shape
    names = {
        "row_names": np.array([f"r{i}" for i in range(p)]),
        "column_names": np.array([f"c{j}" for j in range(q)]),
    }
    given = {
        "title": "Planted", "value_name": "r", "diverging": True, "limits": (-1.0, 1.0), "shape": (p, q),
        "overview": strongest(values, gathered).astype(np.float32), "gathered": gathered,
    }  # fmt: skip
    given |= {f"row_{what}": np.arange(p) for what in ("units", "order")}
    given |= {f"column_{what}": np.arange(q) for what in ("units", "order")}
    return Heatmap(**{**given, **names, **more})


def strongest(values: np.ndarray, by: int) -> np.ndarray:
    """The entry of largest magnitude of each by x by block, the positive one of two."""
    (p, q), found = values.shape, []
    for i in range(0, p, by):
        row = []
        for j in range(0, q, by):
            part = values[i : i + by, j : j + by].ravel()
            high, low = part.max(), part.min()
            row.append(high if high >= -low else low)
        found.append(row)
    return np.array(found)


class Matrix:
    """Stands for `store.tiles.Tiles`, brute force: block() of an array that is all in memory."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape
        self.scale = float(np.abs(values).max()) / 32_767

    def cut(
        self, r0: int, r1: int, c0: int, c1: int, most: int = 512
    ) -> tuple[int, tuple[int, int, int, int]]:
        """The level, and its cells, that answer for a block."""
        level, span = 0, (r0, r1, c0, c1)
        while max(span[1] - span[0], span[3] - span[2]) > most:
            level += 1
            span = (r0 >> level, -(-r1 >> level), c0 >> level, -(-c1 >> level))
        return level, span

    def block(self, r0: int, r1: int, c0: int, c1: int, most: int = 512):
        level, span = self.cut(r0, r1, c0, c1, most)
        side = 2**level
        part = self.values[span[0] * side : span[1] * side, span[2] * side : span[3] * side]
        return strongest(part, side).astype(np.float32), level, (span[0] * side, span[2] * side)


class Stage:
    """A page with one heat map on it."""

    def __init__(self, page, address: str) -> None:
        self.page, self.data, self.tiles = page, {}, None
        page.set_default_timeout(SLOW)
        page.goto(address)
        page.wait_for_function("window.ready")

    def put(self, column, key: str | None = None) -> str:
        text = base64.b64encode(column.data).decode()
        self.page.evaluate("([key, text]) => put(key, text)", [key or column.key, text])
        return key or column.key

    def show(
        self, result: Heatmap | None = None, *, width: int = WIDTH, theme: str = "light", **changes
    ) -> None:
        """Mount the heat map or change it, and wait until it is drawn."""
        if result is not None:
            made = picture(result, theme=theme, titles=("rows", "columns"), label="test", help="click a cell")
            trees = {
                side: tree and {"key": self.put(tree.column), "height": tree.height}
                for side, tree in zip(("rows", "columns"), made.trees, strict=True)
            }
            self.data = {
                **made.said, "shape": list(made.shape), "cells": self.put(made.cells), "trees": trees, "view": None,
                "names": [self.put(names) for names in made.names], "fades": True, "marked": None, "height": HEIGHT,
            }  # fmt: skip
        self.data |= changes
        self.page.evaluate("([width, data]) => show(width, data)", [width, self.data])
        self.rest()

    def rest(self) -> None:
        """Wait until it is drawn and stands still."""
        self.page.wait_for_function("(key) => heat().box.dataset.drawn === key", arg=self.data["cells"])
        self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def heat(self, code: str):
        """Evaluate something of the heat map, called h."""
        return self.page.evaluate(f"() => {{ const h = heat(); return {code}; }}")

    def sent(self, event: str) -> list:
        """What it has told Python, newest last."""
        return [s["value"] for s in self.page.evaluate("sent") if s["event"] == event]

    def place(self, row: float, column: float) -> tuple[float, float]:
        """Where a place of the matrix is on the page."""
        x, y = self.heat(
            f"(([x, y], r) => [x + r.left, y + r.top])([h.frame.left({column}), h.frame.top({row})],"
            " h.canvas.getBoundingClientRect())"
        )
        return x, y

    def shot(self) -> np.ndarray:
        """The page as pixels (height, width, 3)."""
        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")).astype(int)

    def pixel(self, row: float, column: float) -> np.ndarray:
        """The colour in a place of the matrix."""
        x, y = self.place(row, column)
        return self.shot()[round(y), round(x)]

    def answer(self, tiles, count: int = 1) -> dict:
        """Wait for the `count`-th ask and publish its block, as the page does; what was asked."""
        from dashboard.browse.heat_picture import answer
        from dashboard.components.heat_map import _ask

        asks = "sent.filter((s) => s.event === 'view' && s.value.ask)"
        self.page.wait_for_function(f"(n) => {asks}.length >= n", arg=count)
        asked = self.page.evaluate(asks)[count - 1]["value"]
        found = _ask(asked, tuple(self.data["shape"]))
        self.put(answer(tiles, found.box, found.most), found.key)
        self.rest()
        return asked


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """The page's address while the block runs."""
    files = {
        **{f"/{theme}": ("text/html", _PAGE % colours) for theme, colours in _THEMES.items()},
        "/heat.js": ("text/javascript", CODE + "\nexport default mountMap;\n"),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            kind, text = files.get(self.path, ("text/plain", ""))
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def opened():
    """A function that opens a fresh stage in one browser; what pages throw fails."""
    from playwright.sync_api import sync_playwright

    with serve() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)

        @contextlib.contextmanager
        def stage(theme: str = "light", **more) -> Iterator[Stage]:
            context = browser.new_context(**{"viewport": {"width": 700, "height": 680}, **more})
            page, thrown = context.new_page(), []
            page.on("pageerror", lambda error: thrown.append(error.stack))
            yield Stage(page, address + theme)
            context.close()
            assert not thrown, thrown

        yield stage
        browser.close()
