"""The heat map inside Streamlit: what travels at first, with a zoom and with a click; a zoom shows the cells."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from map_component_page import ARGS, CHROMIUM

from dashboard.components.heat_map import CODE
from dashboard.figures.style import RED_BLUE

ROOT = Path(__file__).parents[1]
SLOW = 60_000  # milliseconds

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("heat")
    log = (folder / "server.log").open("w")
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    options += ["--server.fileWatcherType=none", "--browser.gatherUsageStats=false"]
    app = str(ROOT / "tests" / "heat_component_app.py")
    command = [sys.executable, "-m", "streamlit", "run", app, *options]
    env = {**os.environ, "LOUPE_TILES": str(folder / "tiles"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the server ended"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
        log.close()


@pytest.fixture(scope="module")
def page(address):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        page = browser.new_context(viewport={"width": 1000, "height": 900}).new_page()
        page.set_default_timeout(SLOW)
        page.thrown, page.frames_seen = [], []
        page.on("pageerror", lambda error: page.thrown.append(str(error)))
        page.on(
            "websocket",
            lambda socket: socket.on("framereceived", lambda frame: page.frames_seen.append(frame)),
        )
        page.goto(address)
        page.wait_for_selector(".heat[data-drawn]")
        page.wait_for_timeout(800)
        yield page
        browser.close()
        assert not page.thrown


def received(page) -> bytes:
    """What the server has sent since the last question."""
    sent = b"".join(f if isinstance(f, bytes) else f.encode() for f in page.frames_seen)
    page.frames_seen.clear()
    return sent


def heat(page, code: str):
    return page.locator(".heat").evaluate(
        f"(box) => {{ const h = box.getRootNode().__loupeMap; return {code}; }}"
    )


def finished(page) -> None:
    """Wait until the finest cells that are needed are here and drawn."""
    done = "h.asked === null && h.layers.has(h.wanted().seen, h.wanted().level, h.view) && h.paint.frame === null"
    for _ in range(600):
        if heat(page, done):
            return
        page.wait_for_timeout(100)
    pytest.fail("the cells did not come")


def test_the_first_picture_and_the_code_travel_once(page):
    sent = received(page)
    assert sent.count(b"class HeatMap") == 1
    assert len(sent) < 700_000
    assert len(CODE) < 60_000
    assert "each cell is the strongest of 4 × 4" in page.locator(".heat .status").inner_text()


def test_a_zoom_sends_one_block_of_half_a_megabyte_and_its_cells_are_seen(page):
    received(page)
    heat(page, "h.show([300, 330, 1000, 1030])")
    page.get_by_text("Python sees (300, 330, 1000, 1030)").wait_for()
    finished(page)
    sent = received(page)
    assert b"class HeatMap" not in sent
    assert len(sent) < 600_000
    assert heat(page, "h.layers.all.at(-1).level") == 0
    from PIL import Image

    shot = np.asarray(
        Image.open(io.BytesIO(page.locator(".heat canvas").screenshot())).convert("RGB")
    ).astype(int)
    table = np.array([[int(s[k : k + 2], 16) for k in (1, 3, 5)] for s in RED_BLUE], float)
    for i, j in ((301, 1001), (315, 1010), (329, 1029)):
        x, y = heat(page, f"[h.frame.left({j} + 0.5), h.frame.top({i} + 0.5)]")
        value = np.sin(0.05 * i) * np.cos(0.11 * j)
        expected = [np.interp(value, np.linspace(-1, 1, 11), table[:, c]) for c in range(3)]
        assert np.abs(shot[round(y), round(x)] - expected).max() <= 2


def test_the_largest_block_stays_below_what_was_promised(page):
    received(page)
    heat(page, "h.show([0, 500, 0, 500])")
    page.get_by_text("Python sees (0, 500, 0, 500)").wait_for()
    finished(page)
    assert 100_000 < len(received(page)) < 600_000


def test_a_click_sends_words_only(page):
    received(page)
    box = page.locator(".heat canvas").bounding_box()
    x, y = heat(page, "[h.frame.left(100.5), h.frame.top(77.5)]")
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.get_by_text("opened (77, 78, 100, 101)").wait_for()
    page.wait_for_timeout(300)
    assert len(received(page)) < 20_000
