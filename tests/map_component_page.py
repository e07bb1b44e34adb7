"""The map component alone: its code as a module in a blank page, called as Streamlit would call it.

`serve()` answers on a free loopback port; `Stage` puts columns on the shelf, mounts maps, reads pixels, drags.
"""

from __future__ import annotations

import base64
import contextlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDTH, HEIGHT = 600, 500
SLOW = 40_000  # milliseconds: other work may be going on on the same two cores
PALETTE = ["#ff0000", "#00aa00", "#0000ff", "#ff00ff"]
GREYS = ["#0072b2", "#9a9da8", "#b9bcc4"]

_PAGE = f"""<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<style>body {{ margin: 0; --st-background-color: #fff; --st-text-color: #222; --st-border-color: #ccc;
  --st-primary-color: #1f6feb; --st-secondary-background-color: #eee; --st-font: sans-serif; }}
.place {{ width: {WIDTH}px; }}</style>
<script type="module">
import mount from "/map.js";
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const shelf = window.__loupeBuffers = {{ held: new Map(), users: new Map(), waiting: new Set() }};
const wakeAll = () => {{ for (const wake of [...shelf.waiting]) wake(); }};
const maps = {{}};
window.sent = [];
window.put = (key, text) => {{ shelf.held.set(key, bytes(text)); wakeAll(); }};
window.fill = (key, values) => {{ shelf.held.set(key, new Uint8Array(values.buffer)); wakeAll(); }};
window.show = (name, data) => {{
  if (!maps[name]) {{
    const host = document.createElement("div");
    host.className = "place";
    document.body.append(host);
    maps[name] = {{ host, root: host.attachShadow({{ mode: "open" }}) }};
  }}
  const told = (event, value) => window.sent.push({{ name, event, value }});
  maps[name].leave = mount({{ parentElement: maps[name].root, data, setTriggerValue: told }});
}};
window.drop = (name) => {{ maps[name].leave(); maps[name].host.remove(); delete maps[name]; }};
window.map = (name = "a") => maps[name].root.__loupeMap;
window.ready = true;
</script>"""


@contextlib.contextmanager
def serve() -> Iterator[str]:
    """The page's address while the block runs."""
    from dashboard.components.sample_map import CODE

    files = {"/": ("text/html", _PAGE), "/map.js": ("text/javascript", CODE + "\nexport default mountMap;\n")}

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


class Stage:
    """A page with maps on it. `data` of each map is kept, so that `show` changes only what is named."""

    def __init__(self, page, address: str) -> None:
        self.page, self.data, self.known = page, {}, 0
        page.set_default_timeout(SLOW)
        page.goto(address)
        page.wait_for_function("window.ready")

    def column(self, values: np.ndarray) -> str:
        """Put an array on the shelf; its key."""
        self.known += 1
        key = f"column {self.known}"
        text = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
        self.page.evaluate("([key, text]) => put(key, text)", [key, text])
        return key

    def show(self, name: str = "a", *, points=None, mask=None, **changes) -> None:
        """Mount the map or change it, and wait until it rests."""
        data = self.data.setdefault(name, {"label": "test", "of": "points", "greys": GREYS, "height": HEIGHT})
        data.setdefault("density", ["#440154", "#21918c", "#fde725"])
        if points is not None:
            points = np.asarray(points, np.float32)
            data |= {"n": len(points), "dims": points.shape[1], "positions": self.column(points)}
        if mask is not None:
            data["mask"] = {"key": self.column(np.packbits(mask))} if np.any(mask) else None
        data |= changes
        self.page.evaluate("([name, data]) => show(name, data)", [name, data])
        self.rest(name)

    def categories(self, codes, **more) -> dict:
        """A colour by category, for `show(colour=…)`."""
        names = [f"class {k}" for k in range(len(PALETTE))]
        key = self.column(np.asarray(codes, np.uint8))
        return {"key": key, "kind": "category", "label": "class", "names": names, "palette": PALETTE, **more}

    def rest(self, name: str = "a") -> None:
        """Wait until the picture is drawn whole and stands still."""
        self.page.wait_for_function(
            """(name) => { const m = map(name), d = m.drawing;
              return m.renderer && m.frame.dataset.drawn === String(m.points.n) && m.frame.dataset.share === "1.000"
                && !d.moving && d.frame === null && !m.renderer.lost && !m.renderer.working(); }""",
            arg=name,
        )
        self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def shot(self) -> np.ndarray:
        """The page as pixels (height, width, 3)."""
        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")).astype(int)

    def place(self, *xyz: float, name: str = "a") -> tuple[int, int]:
        """Where a point of the data is on the page."""
        x, y = self.page.evaluate(
            """([name, p]) => { const m = map(name), r = m.canvas.getBoundingClientRect();
              const [x, y] = m.view.toScreen(...p);
              return [x + r.left, y + r.top]; }""",
            [name, list(xyz)],
        )
        return round(x), round(y)

    def map(self, code: str, name: str = "a"):
        """Evaluate something of the map, called m."""
        return self.page.evaluate(f"(name) => {{ const m = map(name); return {code}; }}", name)

    def sent(self, event: str) -> list:
        """What the maps have told Python, newest last."""
        return [s["value"] for s in self.page.evaluate("sent") if s["event"] == event]

    def drag(self, *places: tuple[float, float], button: str = "left", steps: int = 5) -> None:
        mouse = self.page.mouse
        mouse.move(*places[0])
        mouse.down(button=button)
        for at in places[1:]:
            mouse.move(*at, steps=steps)
        mouse.up(button=button)


NO_WEBGL = (
    "const real = HTMLCanvasElement.prototype.getContext;"
    "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
    "  return kind === 'webgl2' ? null : real.call(this, kind, ...rest); };"
)


@contextlib.contextmanager
def opened():
    """A function that opens a fresh stage in one browser: `open(script="", **context)`; what pages throw fails."""
    from playwright.sync_api import sync_playwright

    with serve() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)

        @contextlib.contextmanager
        def stage(script: str = "", **more) -> Iterator[Stage]:
            context = browser.new_context(viewport={"width": 1240, "height": 560}, **more)
            page, thrown = context.new_page(), []
            page.on("pageerror", lambda error: thrown.append(error.stack))
            if script:
                page.add_init_script(script)
            yield Stage(page, address)
            context.close()
            assert not thrown

        yield stage
        browser.close()


def near(pixel, colour: str, tolerance: int = 40) -> bool:
    """Whether a pixel has this hex colour, about (points let a little of the ground through)."""
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return bool(np.abs(np.asarray(pixel) - wanted).max() <= tolerance)
