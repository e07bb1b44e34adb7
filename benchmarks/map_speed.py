"""The map against Plotly's scattergl and against regl-scatterplot, in one run, one browser, one machine.

    python benchmarks/map_speed.py [--small] [--repeats 3] [--without-regl] [--without-plotly]

Each is a Streamlit page of its own with the same points (twenty groups) coloured by group, drawn at the same size.
Times are medians over `repeats` visits in fresh contexts after one that warms the server. A first picture is timed
from the start of the navigation, so the script's run, the sending and the drawing are all in it, until the card has
finished a picture of all points (a pixel is read back after the frame's last command); a screenshot must then show
coloured points. A step is what passes until the page can show the next frame while a person drags or turns the wheel;
our map draws fewer points while it moves, so the time until the picture is whole again is shown as well. Bytes are
those of the websocket's frames. Read the ratios: a software renderer on a busy machine is slow for all.

Needs playwright and Debian's chromium; regl-scatterplot is installed with npm into a temporary folder (never here),
or left out with a word where npm or the registry is missing.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from loopback import CHROMIUM, FLAGS, free_port, stop, wait_for
from map_pages import DATA, OURS, PAGES, PLOTLY, REGL, WATCH, regl_bundle

ROOT = Path(__file__).resolve().parents[1]
STEPS, LEAST_STEPS, ENOUGH_MS = 20, 3, 8000  # of a gesture: fewer steps where one takes seconds
MILLION, MOST = 1_000_000, 5_000_000


def server(kind: str, n: int, folder: Path, **more: str):
    """A Streamlit server for one page: (process, address)."""
    port = free_port()
    page = folder / "page.py"
    page.write_text(DATA.format(root=str(ROOT)) + PAGES[kind])
    options = ["--server.address=127.0.0.1", "--server.headless=true", "--browser.gatherUsageStats=false"]
    options += [f"--server.port={port}", "--server.fileWatcherType=none", "--runner.postScriptGC=false"]
    options += ["--theme.base=light"]
    env = {**os.environ, "BENCH_POINTS": str(n), "BENCH_BUNDLE": str(folder / "regl.js"), **more}
    command = [sys.executable, "-m", "streamlit", "run", str(page), *options]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process = subprocess.Popen(command, env=env, **quiet)
    wait_for(port, process)
    return process, f"http://127.0.0.1:{port}"


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
            if k >= LEAST_STEPS and self.now() - start > ENOUGH_MS:
                break
            if wheel:
                mouse.wheel(0, -40)
            else:
                mouse.move(x + w / 2 + 6 * (k + 1), y + h / 2 + 3 * (k + 1))
            self.page.evaluate("() => new Promise((r) => requestAnimationFrame(() => setTimeout(r)))")
            done = k + 1
        moved = self.now()
        if not wheel:
            mouse.up()
        return (moved - start) / 1000 / done, (self.settled() - start) / 1000

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
        """Seconds from the end of the click until the whole picture has the new colours; megabytes received."""
        self.settled()
        self.bytes, start = 0, self.now()
        self.page.get_by_text(name, exact=True).click()
        done = self.picture(start, name)
        self.page.wait_for_timeout(300)
        return (done - self.page.evaluate("lifted")) / 1000, self.bytes / 1e6

    def close(self) -> None:
        self.context.close()


def measure(browser, kind: str, n: int, folder: Path, repeats: int) -> dict[str, float]:
    """Medians over visits of one page; the first visit warms the server and is left out."""
    process, address = server(kind, n, folder)
    try:
        one_visit(browser, kind, address, n, whole=False)
        rows = [one_visit(browser, kind, address, n, whole=True) for _ in range(repeats)]
    finally:
        stop(process)
    found = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    print(f"{kind:18} {n:>9,}  " + "  ".join(f"{k} {v:.3g}" for k, v in found.items()), flush=True)
    return found


def one_visit(browser, kind: str, address: str, n: int, *, whole: bool) -> dict[str, float]:
    """What one person would wait for: the first picture and, with `whole`, moving, zooming, recolouring, a lasso."""
    visit = Visit(browser, address, n)
    row = {"first picture s": visit.picture() / 1000}
    visit.settled()
    row["MB"] = visit.bytes / 1e6
    if not visit.coloured():
        raise SystemExit(f"{kind} at {n:,}: no coloured points on the screen")
    if whole:
        row["pan step s"], row["pan whole s"] = visit.gesture(False)
        row["zoom step s"], row["zoom whole s"] = visit.gesture(True)
    if whole and kind == OURS:
        row["recolour s"], row["recolour MB"] = visit.recolour("height")
        row["lasso s"] = visit.lasso()
    visit.close()
    return row


def lasso_of_plotly(browser, n: int, folder: Path) -> float:
    process, address = server(PLOTLY, n, folder, BENCH_DRAG="lasso")
    try:
        visit = Visit(browser, address, n)
        visit.picture()
        visit.settled()
        return visit.lasso()
    finally:
        stop(process)


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
    if not Path(CHROMIUM).exists():
        raise SystemExit(f"needs {CHROMIUM}: apt-get install chromium")
    folder = Path(tempfile.mkdtemp(prefix="map-speed-"))
    try:
        version = "" if arguments.without_regl else regl_bundle(folder)
        kinds = [OURS, *([] if arguments.without_plotly else [PLOTLY]), *([REGL] if version else [])]
        print(
            f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; regl-scatterplot {version or 'left out'}"
        )
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            table = run(browser, kinds, folder, arguments)
            browser.close()
        print(f"load after: {os.getloadavg()[0]:.1f}")
        report(table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(browser, kinds, folder: Path, arguments) -> dict:
    """Everything that is measured, by (page, number of points)."""
    sizes = [10_000, 100_000] if arguments.small else [10_000, 100_000, MILLION]
    table = {(k, n): measure(browser, k, n, folder, arguments.repeats) for n in sizes for k in kinds}
    if PLOTLY in kinds:
        table[PLOTLY, 100_000]["lasso s"] = lasso_of_plotly(browser, 100_000, folder)
    if not arguments.small:
        table[OURS, MOST] = measure(browser, OURS, MOST, folder, arguments.repeats)
    return table


def report(table: dict) -> None:
    """Each limit with what was found; and the rest for comparison. Ratios: the other's time over ours."""
    print(f"\n{'':58}{'ours':>9}{'other':>9}{'ratio':>8}  limit")

    def line(what: str, asked: str, met, ours: float, other: float | None = None) -> None:
        ratio = "" if other is None else f"{other / ours:.2f}"
        said = "" if met is None else f"{asked}: {'met' if met else 'MISSED'}"
        print(f"{what:58}{ours:9.3g}{'' if other is None else format(other, '.3g'):>9}{ratio:>8}  {said}")

    def compare(what: str, name: str, n: int, other, least: float | None) -> None:
        if (OURS, n) in table and name in table.get(other, ()):
            ours, theirs = table[OURS, n][name], table[other][name]
            met = None if least is None else theirs / ours >= least
            line(what, f">= {least}", met, ours, theirs)

    def limit(what: str, name: str, n: int, most: float | None) -> None:
        if (OURS, n) in table:
            ours = table[OURS, n][name]
            line(what, f"<= {most}", None if most is None else ours <= most, ours)

    for kind, least in ((PLOTLY, 4), (REGL, 1)):
        compare(f"first picture of 1,000,000 s, {kind}", "first picture s", MILLION, (kind, MILLION), least)
    compare("first picture of 100,000 s, plotly of 10,000", "first picture s", 100_000, (PLOTLY, 10_000), 1)
    for name in ("pan step s", "zoom step s"):
        compare(f"{name[:-2]} of 1,000,000 s, {PLOTLY}", name, MILLION, (PLOTLY, MILLION), 10)
    for name, most in (("MB", 10), ("recolour MB", 1.2), ("recolour s", 0.3), ("lasso s", 1.5)):
        limit(f"1,000,000: {name}", name, MILLION, most)
    if (OURS, MOST) in table:
        line("first picture of 5,000,000 s, shaded", "opens", True, table[OURS, MOST]["first picture s"])
    print()
    for name in ("pan step s", "zoom step s"):
        compare(f"{name[:-2]} of 1,000,000 s, {REGL}", name, MILLION, (REGL, MILLION), None)
    for name in ("pan whole s", "zoom whole s"):
        for kind in (PLOTLY, REGL):
            compare(f"{name[:-2]} again after 1,000,000 s, {kind}", name, MILLION, (kind, MILLION), None)
    compare("lasso of half of 100,000 s, plotly", "lasso s", 100_000, (PLOTLY, 100_000), None)
    limit("5,000,000: MB", "MB", MOST, None)


if __name__ == "__main__":
    main()
