"""The map inside Streamlit at 1,000,000 points: what travels, and a selection Python -> browser -> Python."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from map_component_page import ARGS, CHROMIUM

from dashboard.components.sample_map import CODE

ROOT = Path(__file__).parents[1]
N = 1_000_000
SLOW = 90_000  # milliseconds

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("log") / "server.log").open("w")
    options = [f"--server.port={port}", "--server.address=127.0.0.1", "--server.headless=true"]
    options += ["--server.fileWatcherType=none", "--browser.gatherUsageStats=false"]
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(ROOT / "tests" / "map_component_app.py"),
        *options,
    ]
    env = {**os.environ, "LOUPE_POINTS": str(N), "PYTHONPATH": str(ROOT)}
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
        page = browser.new_context(viewport={"width": 1240, "height": 800}).new_page()
        page.set_default_timeout(SLOW)
        page.thrown, page.frames_seen = [], []
        page.on("pageerror", lambda error: page.thrown.append(str(error)))
        page.on(
            "websocket",
            lambda socket: socket.on("framereceived", lambda frame: page.frames_seen.append(frame)),
        )
        page.goto(address)
        page.wait_for_selector(".map[data-drawn]")
        page.wait_for_timeout(500)
        yield page
        browser.close()
        assert not page.thrown


def received(page) -> int:
    """Bytes from the server since the last question."""
    total = sum(len(frame) for frame in page.frames_seen)
    page.frames_seen.clear()
    return total


def selected(page) -> int:
    found = re.match(r"([\d,]+) of 1,000,000", page.locator(".map .status").inner_text())
    return int(found[1].replace(",", "")) if found else 0


def test_the_first_picture_and_the_code_travel_once(page):
    sent = b"".join(f if isinstance(f, bytes) else f.encode() for f in page.frames_seen)
    assert sent.count(b"class SampleMap") == 1
    assert 9_000_000 < received(page) < 10_000_000
    assert page.locator(".map").get_attribute("data-drawn") == str(N)
    assert len(CODE) < 130_000


def test_recolouring_sends_one_small_column(page):
    page.frames_seen.clear()
    page.get_by_text("height", exact=True).click()
    page.locator(".map .legend .ramp").wait_for()
    page.wait_for_timeout(500)
    sent = b"".join(f if isinstance(f, bytes) else f.encode() for f in page.frames_seen)
    assert b"class SampleMap" not in sent
    assert 1_000_000 < received(page) < 1_200_000


def test_a_selection_goes_to_the_browser_and_comes_back(page):
    page.frames_seen.clear()
    page.get_by_role("button", name="Select the first third").click()
    page.locator(".map .status", has_text="333,333 of").wait_for()
    assert received(page) < 150_000  # a bit for each point
    page.locator(".map canvas[role=application]").focus()
    page.keyboard.press("i")
    page.get_by_text(f"Python has {N - N // 3} in 14 groups").wait_for()
    assert selected(page) == N - N // 3
    page.keyboard.press("Escape")
    page.get_by_text("Python has 0 in 0 groups").wait_for()
    box = page.locator(".map canvas[role=application]").bounding_box()
    page.keyboard.press("b")
    page.mouse.move(box["x"] + 4, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 40, steps=4)
    page.mouse.up()
    said = page.get_by_text(re.compile(r"Python has [1-9]\d* in"))
    said.wait_for()
    count = int(re.search(r"has (\d+)", said.inner_text())[1])
    assert count == selected(page)
    assert 0.3 * N < count < 0.7 * N
    page.wait_for_timeout(300)
    assert received(page) < 160_000  # Python's answer: nothing but the bits
