"""The map against Plotly's scattergl and against regl-scatterplot, in one run, one browser, one machine.

    python -m benchmarks.map_speed [--small] [--repeats 3] [--without-regl] [--without-plotly]

Each is a Streamlit page of its own with the same points (twenty groups) coloured by group. A picture counts when the
card has finished it (a pixel is read back after the frame's last command) and a screenshot shows coloured points.
Bytes are those of the websocket's frames. Read the ratios: a software renderer on a busy machine is slow for all.

Needs playwright and Debian's chromium; regl-scatterplot is installed with npm into a temporary folder (never here),
or left out with a word where npm or the registry is missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
OURS, PLOTLY, REGL = "this map", "plotly scattergl", "regl-scatterplot"
STEPS = 20

DATA = """
import os, sys, time
sys.path.insert(0, {root!r})
import numpy as np, streamlit as st
N = int(os.environ["BENCH_POINTS"])
st.set_page_config(layout="wide")
@st.cache_resource
def data():
    rng = np.random.default_rng(0)
    group = (np.arange(N) * 20 // N).astype(np.uint8)
    xy = rng.standard_normal((N, 2)) * 0.5 + np.stack([group % 5 * 3, group // 5 * 3], axis=1)
    return xy.astype(np.float32), group
xy, group = data()
"""
PAGES = {
    OURS: """
from analysis.results import Scatter
from dashboard.browse.picture import picture
from dashboard.browse.selections import unpacked
from dashboard.components.sample_map import sample_map
@st.cache_resource
def made(colour):
    values = {"group": group, "height": xy[:, 1], "width": xy[:, 0]}[colour]
    found = Scatter(title="Groups", positions=xy, rows=np.arange(N))
    return picture(found, None, values=values, name=colour, categorical=colour == "group")
for colour in ("group", "height", "width"):
    made(colour)
@st.fragment
def whole():
    colour = st.radio("Colour", ["group", "height", "width"], horizontal=True)
    stamp = st.session_state.get("stamp", 0)
    shown = made(colour).with_state(mask=st.session_state.get("mask"), extra={"stamp": stamp})
    event = sample_map(shown, key="map", height=500)
    if event.selected:
        mask = unpacked(event.selected, N)
        st.session_state.update(mask=mask, stamp=event.stamp)
        st.text(f"Python has {mask.sum()}")
whole()
""",
    PLOTLY: """
import plotly.graph_objects as go
palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"] * 5
scale = [[k / 19, c] for k, c in enumerate(palette)]
figure = go.Figure(go.Scattergl(x=xy[:, 0], y=xy[:, 1], mode="markers",
                                marker=dict(color=group, colorscale=scale, size=2, opacity=0.5)))
figure.update_layout(height=500, dragmode=os.environ.get("BENCH_DRAG", "pan"), margin=dict(l=0, r=0, t=0, b=0))
if os.environ.get("BENCH_DRAG") == "lasso":
    found = st.plotly_chart(figure, key="plot", on_select="rerun", selection_mode="lasso")
    if found.selection.point_indices:
        st.text(f"Python has {len(found.selection.point_indices)}")
else:
    st.plotly_chart(figure, key="plot", config={"scrollZoom": True})
""",
    REGL: """
plot = st.components.v2.component("bench_regl", js=open(os.environ["BENCH_BUNDLE"]).read())
low, high = xy.min(axis=0), xy.max(axis=0)
unit = ((xy - low) / (high - low) * 2 - 1).astype(np.float32)
plot(key="plot", data=unit[:, 0].tobytes() + unit[:, 1].tobytes() + group.tobytes(), height=500)
""",
}
REGL_ENTRY = """
import createScatterplot from "regl-scatterplot";
const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"];
const colours = Array.from({ length: 20 }, (_, k) => PALETTE[k % 4]);
export default function ({ data, parentElement }) {
  if (!data || parentElement.plot) return;
  const canvas = document.createElement("canvas"), bytes = data.slice(), n = bytes.length / 9;
  canvas.style = "width: 100%; height: 500px; display: block";
  parentElement.append(canvas);
  const { width, height } = canvas.getBoundingClientRect();
  const x = new Float32Array(bytes.buffer, 0, n), y = new Float32Array(bytes.buffer, 4 * n, n);
  const z = bytes.subarray(8 * n);
  const plot = (parentElement.plot = createScatterplot({ canvas, width, height, pointSize: 1.6, opacity: 0.5,
    backgroundColor: "#ffffff", pointColor: colours, colorBy: "valueA" }));
  plot.draw({ x, y, z: Array.from(z) }, { zDataType: "categorical" });
}
"""

# After the last command of a frame one pixel is read back: then the frame is really done. Our map says what share of
# its points a frame holds (it may count them on the processor); of the others the largest draw call is taken.
WATCH = """
window.pictures = [];
const most = (gl) => {
  const map = [...(window.__loupeMaps ?? [])].find((m) => m.renderer?.gl === gl);
  return map ? [map.points.n * Number(map.frame.dataset.share ?? 0), map.colour?.label] : [gl.most ?? 0, null];
};
for (const kind of [WebGLRenderingContext, WebGL2RenderingContext]) {
  for (const name of ["drawArrays", "drawElements"]) {
    const real = kind.prototype[name];
    kind.prototype[name] = function (...a) {
      if (a[0] === this.POINTS) this.most = Math.max(this.most ?? 0, name === "drawArrays" ? a[2] : a[1]);
      if (!this.asked) {
        this.asked = true;
        Promise.resolve().then(() => {
          const type = this.getParameter(this.IMPLEMENTATION_COLOR_READ_TYPE);
          const pixel = type === this.FLOAT ? new Float32Array(4) : new Uint8Array(4);
          this.readPixels(0, 0, 1, 1, this.RGBA, type, pixel);
          const [points, colour] = most(this);
          if (points) pictures.push({ at: performance.now(), points, colour });
          this.asked = this.most = 0;
        });
      }
      return real.apply(this, a);
    };
  }
}
addEventListener("pointerup", () => (window.lifted = performance.now()), true);
"""


def server(kind: str, n: int, folder: Path, **more: str):
    """A Streamlit server for one page: (process, address)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    page = folder / "page.py"
    page.write_text(DATA.format(root=str(ROOT)) + PAGES[kind])
    options = ["--server.address=127.0.0.1", "--server.headless=true", "--browser.gatherUsageStats=false"]
    options += [f"--server.port={port}", "--server.fileWatcherType=none", "--runner.postScriptGC=false"]
    options += ["--theme.base=light"]
    env = {**os.environ, "BENCH_POINTS": str(n), "BENCH_BUNDLE": str(folder / "regl.js"), **more}
    command = [sys.executable, "-m", "streamlit", "run", str(page), *options]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"http://127.0.0.1:{port}"
        time.sleep(0.1)
    raise SystemExit(f"the server for {kind} did not start")


class Visit:
    """One visit of a page in a fresh context."""

    def __init__(self, browser, address: str, n: int) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 760})
        self.page, self.n, self.bytes = self.context.new_page(), n, 0
        self.page.set_default_timeout(180_000)
        self.page.add_init_script(WATCH)
        client = self.context.new_cdp_session(self.page)
        client.send("Network.enable")
        client.on("Network.webSocketFrameReceived", self._frame)
        self.page.goto(address)

    def _frame(self, event: dict) -> None:
        frame = event["response"]
        self.bytes += len(frame["payloadData"]) * (3 / 4 if frame["opcode"] == 2 else 1)

    def picture(self, since: float = 0.0, colour: str = "") -> float:
        """When the first whole picture after `since` (in these colours) was done, on the page's clock (ms)."""
        asked = f"&& p.colour === '{colour}'" if colour else ""
        found = f"pictures.find((p) => p.at > {since} && p.points >= {0.99 * self.n} {asked})"
        return self.page.wait_for_function(f"{found}?.at", polling=20).json_value()

    def settled(self) -> float:
        """When the last picture was done, once there has been none for 0.6 s; a whole one where the map thins."""
        self.page.wait_for_function(
            f"performance.now() - pictures.at(-1).at > 600 && pictures.at(-1).points >= {0.99 * self.n}",
            polling=50,
        )
        return self.page.evaluate("pictures.at(-1).at")

    def now(self) -> float:
        return self.page.evaluate("performance.now()")

    def box(self) -> tuple[float, float, float, float]:
        targets = (".map canvas[role=application]", ".js-plotly-plot .nsewdrag", ".stBidiComponent canvas")
        found = self.page.locator(", ".join(targets)).first.bounding_box()
        return found["x"], found["y"], found["width"], found["height"]

    def coloured(self) -> bool:
        """Whether a screenshot shows many coloured pixels where the points should be."""
        import io

        import numpy as np
        from PIL import Image

        x, y, w, h = self.box()
        shot = self.page.screenshot(clip={"x": x + w / 4, "y": y + h / 4, "width": w / 2, "height": h / 2})
        pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
        return bool((pixels.max(axis=2) - pixels.min(axis=2) > 30).mean() > 0.02)

    def gesture(self, wheel: bool) -> tuple[float, float]:
        """Seconds per step while a person moves or zooms, and until the picture is whole again."""
        x, y, w, h = self.box()
        mouse = self.page.mouse
        mouse.move(x + w / 2, y + h / 2)
        self.settled()
        if not wheel:
            mouse.down()
        start = self.now()
        for k in range(STEPS):
            if wheel:
                mouse.wheel(0, -40)
            else:
                mouse.move(x + w / 2 + 6 * (k + 1), y + h / 2 + 3 * (k + 1))
            self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => setTimeout(r)))")
        moved = self.now()
        if not wheel:
            mouse.up()
        return (moved - start) / 1000 / STEPS, (self.settled() - start) / 1000

    def lasso(self) -> float:
        """Seconds from the end of a lasso around the left half until Python has answered with it."""
        x, y, w, h = self.box()
        mouse = self.page.mouse
        if self.page.locator(".map").count():
            self.page.get_by_role("button", name="Lasso").click()
        corners = [(0.01, 0.13), (0.5, 0.13), (0.5, 0.9), (0.01, 0.9), (0.01, 0.15)]
        mouse.move(x + corners[0][0] * w, y + corners[0][1] * h)
        mouse.down()
        for a, b in corners[1:]:
            mouse.move(x + a * w, y + b * h, steps=8)
        mouse.up()
        self.page.get_by_text("Python has").wait_for()
        return (self.now() - self.page.evaluate("lifted")) / 1000

    def recolour(self, name: str) -> tuple[float, float]:
        """Seconds from the click until the whole picture has the new colours, and megabytes received."""
        self.settled()
        self.bytes, start = 0, self.now()
        self.page.get_by_text(name, exact=True).click()
        done = self.picture(start, name)
        self.page.wait_for_timeout(300)
        return (done - start) / 1000, self.bytes / 1e6

    def close(self) -> None:
        self.context.close()


def measure(browser, kind: str, n: int, folder: Path, repeats: int) -> dict[str, float]:
    """Medians over visits of one page."""
    process, address = server(kind, n, folder)
    rows: list[dict[str, float]] = []
    try:
        for _ in range(repeats + 1):  # the first warms the server and is left out
            visit, row = Visit(browser, address, n), {}
            row["first picture s"] = visit.picture() / 1000
            visit.settled()
            row["MB"] = visit.bytes / 1e6
            if not visit.coloured():
                raise SystemExit(f"{kind} at {n:,}: no coloured points on the screen")
            if len(rows) or repeats == 0:
                row["pan step s"], row["pan whole s"] = visit.gesture(False)
                row["zoom step s"], row["zoom whole s"] = visit.gesture(True)
                if kind == OURS:
                    row["recolour s"], row["recolour MB"] = visit.recolour("height")
                    row["lasso s"] = visit.lasso()
            rows.append(row)
            visit.close()
    finally:
        process.terminate()
        process.wait(20)
    last = rows[1:] or rows
    return {name: statistics.median(r[name] for r in last) for name in last[0]}


def lasso_of_plotly(browser, n: int, folder: Path) -> float:
    process, address = server(PLOTLY, n, folder, BENCH_DRAG="lasso")
    try:
        visit = Visit(browser, address, n)
        visit.picture()
        visit.settled()
        return visit.lasso()
    finally:
        process.terminate()
        process.wait(20)


def regl_bundle(folder: Path) -> str:
    """Put regl-scatterplot into one module; returns its version, or what is missing as ''."""
    if not shutil.which("npm"):
        print("regl-scatterplot is left out: there is no npm here (apt-get install npm)")
        return ""
    (folder / "entry.js").write_text(REGL_ENTRY)
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "regl-scatterplot", "esbuild"]
    bundle = ["npx", "esbuild", "entry.js", "--bundle", "--format=esm", "--minify", "--outfile=regl.js"]
    try:
        for command in (install, bundle):
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=180)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"regl-scatterplot is left out: {error}")
        return ""
    import json

    return json.loads((folder / "node_modules/regl-scatterplot/package.json").read_text())["version"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="10,000 and 100,000 points only")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without-regl", action="store_true")
    parser.add_argument("--without-plotly", action="store_true")
    arguments = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise SystemExit("needs playwright: pip install -e '.[test]'") from None
    if not CHROMIUM.exists():
        raise SystemExit(f"needs {CHROMIUM}: apt-get install chromium")
    folder = Path(tempfile.mkdtemp(prefix="map-speed-"))
    try:
        version = "" if arguments.without_regl else regl_bundle(folder)
        kinds = [OURS, *([] if arguments.without_plotly else [PLOTLY]), *([REGL] if version else [])]
        sizes = [10_000, 100_000] if arguments.small else [10_000, 100_000, 1_000_000]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
            table = run(browser, kinds, sizes, folder, arguments)
            browser.close()
        if version:
            print(f"regl-scatterplot {version}")
        report(table, kinds, sizes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(browser, kinds, sizes, folder, arguments) -> dict:
    table = {}
    for n in sizes:
        for kind in kinds:
            slow = kind == PLOTLY and n >= 1_000_000
            table[kind, n] = measure(browser, kind, n, folder, 1 if slow else arguments.repeats)
            print(
                f"{kind:18} {n:>9,}  " + "  ".join(f"{k} {v:.3g}" for k, v in table[kind, n].items()),
                flush=True,
            )
    if PLOTLY in kinds:
        seconds = lasso_of_plotly(browser, 100_000, folder)
        table[PLOTLY, 100_000]["lasso s"] = seconds
        print(f"{PLOTLY:18} {100_000:>9,}  lasso s {seconds:.3g}", flush=True)
    if not arguments.small:
        table[OURS, 5_000_000] = measure(browser, OURS, 5_000_000, folder, 1)
        print(
            f"{OURS:18} {5_000_000:>9,}  "
            + "  ".join(f"{k} {v:.3g}" for k, v in table[OURS, 5_000_000].items())
        )
    return table


def report(table: dict, kinds: list[str], sizes: list[int]) -> None:
    """The ratios that the targets are about; above 1 is better than asked where a factor is given."""
    print("\n                                                          ours      other   ratio   target")

    def line(what: str, ours: float, other: float | None, target: str) -> None:
        tail = f"{other:10.3g} {other / ours:7.2f}" if other is not None else " " * 18
        print(f"{what:52} {ours:10.3g} {tail}   {target}")

    most = sizes[-1]
    for n in sizes:
        for kind in kinds[1:]:
            ours, other = table[OURS, n], table[kind, n]
            asked = n == 1_000_000
            line(f"first picture, {n:,}, {kind}", ours["first picture s"], other["first picture s"],
                 {PLOTLY: ">= 4", REGL: ">= 1"}[kind] if asked else "")  # fmt: skip
            for step in ("pan step s", "zoom step s"):
                line(
                    f"{step[:-2]}, {n:,}, {kind}",
                    ours[step],
                    other[step],
                    ">= 10" if asked and kind == PLOTLY else "",
                )
    if PLOTLY in kinds:
        line("first picture, ours 100,000, plotly 10,000", table[OURS, 100_000]["first picture s"],
             table[PLOTLY, 10_000]["first picture s"], ">= 1")  # fmt: skip
        line(
            "lasso of half of 100,000", table[OURS, 100_000]["lasso s"], table[PLOTLY, 100_000]["lasso s"], ""
        )
    ours = table[OURS, most]
    line(f"sent for the first picture, {most:,}, MB", ours["MB"], None, "<= 10")
    line(f"recolour, {most:,}, s", ours["recolour s"], None, "<= 0.3")
    line(f"recolour, {most:,}, MB", ours["recolour MB"], None, "<= 1.2")
    line(f"lasso of half of {most:,} to Python, s", ours["lasso s"], None, "<= 1.5")
    if (OURS, 5_000_000) in table:
        line("first picture, 5,000,000, s", table[OURS, 5_000_000]["first picture s"], None, "no crash")
        line("sent for the first picture, 5,000,000, MB", table[OURS, 5_000_000]["MB"], None, "")


if __name__ == "__main__":
    main()
