"""Correlations in a real browser: from the overview of a wide tap to one pair, and back by link."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import page_stores
import pytest
from map_component_page import ARGS, CHROMIUM

from analysis.store.from_arrays import write_store

ROOT = Path(__file__).parents[1]
SLOW = 60_000  # milliseconds to wait for anything: other work may be going on on the same two cores
UNITS, GROUPS = 1100, 11

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


def planted() -> np.ndarray:
    """(300, 1100): eleven groups of a hundred units that share a source, shuffled; every third unit is its opposite."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.arange(UNITS) % GROUPS)
    source = rng.standard_normal((300, GROUPS))
    sign = np.where(np.arange(UNITS) % 3 == 0, -1, 1)
    return (0.8 * source[:, group] * sign + 0.6 * rng.standard_normal((300, UNITS))).astype(np.float32)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The dashboard on a free loopback port; ended by its process id."""
    workspace = page_stores.make_workspace(tmp_path_factory.mktemp("correlations") / "workspace")
    write_store(workspace.path / "stores" / "wide", name="wide", taps={"mlp": planted()})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("log") / "server.log").open("w")
    options = ["--workspace", str(workspace.path), "--port", str(port), "--no-browser"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "dashboard.cli", *options]
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
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, site):
    """A function that opens a page as a fresh visitor; whatever the page's own code throws fails the test."""
    thrown, contexts = [], []

    def opened(path: str, **context):
        contexts.append(browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **context}))
        page = contexts[-1].new_page()
        page.set_default_timeout(SLOW)
        page.on("pageerror", lambda error: thrown.append(str(error)))
        page.goto(f"{site}/{path}")
        page.wait_for_selector(".heat[data-drawn]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not thrown


WIDE = "compare?view=correlations&tap=wide:mlp"


def heat(page, code: str):
    """Evaluate something of the heat map, called h."""
    return page.locator(".heat").evaluate(
        f"(box) => {{ const h = box.getRootNode().__loupeMap; return {code}; }}"
    )


def at_rest(page) -> None:
    """Wait until the finest cells that are needed are here and drawn."""
    done = "h.asked === null && h.layers.has(h.wanted().seen, h.wanted().level, h.view) && h.paint.frame === null"
    until(page, lambda: heat(page, done))


def until(page, question) -> None:
    for _ in range(300):
        if question():
            return
        page.wait_for_timeout(200)
    pytest.fail("it did not happen")


def asked(page, name: str) -> str | None:
    return parse_qs(urlsplit(page.url).query).get(name, [None])[0]


def click_cell(page, row: int, column: int) -> None:
    box = page.locator(".heat canvas").bounding_box()
    x, y = heat(page, f"[h.frame.left({column} + 0.5), h.frame.top({row} + 0.5)]")
    page.mouse.click(box["x"] + x, box["y"] + y)


def test_from_the_overview_to_a_pair_and_back_by_link(visit):
    page, x = visit(WIDE), planted()
    assert "each cell is the strongest of" in page.locator(".heat .status").inner_text()
    box = page.locator(".heat canvas").bounding_box()
    place = heat(page, "[h.frame.left(250), h.frame.top(250)]")
    page.mouse.move(box["x"] + place[0], box["y"] + place[1])
    for _ in range(4):
        page.mouse.wheel(0, -600)
    until(page, lambda: asked(page, "range"))
    at_rest(page)
    assert heat(page, "h.layers.all.at(-1).level") == 0
    r0, r1, c0, c1 = (int(v) for v in re.findall(r"\d+", asked(page, "range")))
    assert r0 <= 251 <= r1 < r0 + 120
    i, j = (r0 + r1) // 2, (c0 + c1) // 2 + 3
    names = heat(page, f"[h.rows[{i}], h.columns[{j}]]")
    a, b = map(int, names)
    r = np.corrcoef(x[:, a], x[:, b])[0, 1]
    shown = heat(page, f"h.layers.at({i}, {j}, h.frame.pixels).value")
    assert shown == pytest.approx(r, abs=1e-4)  # the cell that is seen is the pair that it says
    click_cell(page, i, j)
    until(page, lambda: asked(page, "cell") == f"{a}_{b}")
    page.get_by_text(f"unit {a} and unit {b} have r = {r:.2f}").wait_for()
    assert page.get_by_role("link", name=f"Unit {a}", exact=True).get_attribute("href").endswith(f"unit={a}")
    until(page, lambda: heat(page, "h.data.marked") == [i, j])

    other = visit(page.url.partition("//")[2].partition("/")[2])
    other.get_by_text(f"unit {a} and unit {b} have r = {r:.2f}").wait_for()
    at_rest(other)
    assert np.allclose(heat(other, "h.view.box"), [r0 - 1, r1, c0 - 1, c1], atol=1.01)
    assert heat(other, "h.data.marked") == [i, j]
    other.locator(".heat canvas").dblclick(position={"x": 300, "y": 300})
    until(other, lambda: asked(other, "range") is None)
    assert asked(other, "cell") == f"{a}_{b}"


def test_a_gathered_cell_opens_its_strongest_pair(visit):
    page, x = visit(WIDE), planted()
    at_rest(page)
    side = heat(page, "h.layers.overview.side * h.layers.overview.by(h.frame.pixels)")
    assert side > 1
    row, column = 40 * side, 7 * side
    lines = heat(page, f"[h.rows.slice({row}, {row + side}), h.columns.slice({column}, {column + side})]")
    pairs = [(int(a), int(b)) for a in lines[0] for b in lines[1]]
    expected = max(pairs, key=lambda p: abs(np.corrcoef(x[:, p[0]], x[:, p[1]])[0, 1]))
    click_cell(page, row + side // 2, column + side // 2)
    until(page, lambda: asked(page, "cell"))
    assert asked(page, "cell") == f"{expected[0]}_{expected[1]}"


def test_the_table_opens_pairs_and_the_map_does_so_afterwards(visit):
    page = visit("compare?view=correlations&tap=images:pooled")
    page.get_by_text("Strongest pairs").wait_for()
    table = page.locator("[data-testid=stDataFrame]").first
    table.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    box = table.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 54)  # the mark of its first line, drawn on a canvas
    until(page, lambda: asked(page, "cell"))
    first = asked(page, "cell")
    until(page, lambda: heat(page, "h.data.marked"))
    i, j = heat(page, "h.data.marked")
    click_cell(page, (i + 1) % 15 if (i + 1) % 15 != j else (i + 2) % 15, j)
    until(page, lambda: asked(page, "cell") != first)
    second = asked(page, "cell")
    page.wait_for_timeout(1500)
    assert asked(page, "cell") == second  # the line that is still selected does not take it back


def test_what_fades_is_in_the_link(visit):
    page = visit("compare?view=correlations&tap=images:pooled")
    page.get_by_role("button", name="Fade what is not significant").click()
    until(page, lambda: asked(page, "fade") == "false")
    other = visit("compare?view=correlations&tap=images:pooled&fade=false")
    button = other.get_by_role("button", name="Fade what is not significant")
    assert button.get_attribute("aria-pressed") == "false"


def test_nothing_sticks_out_of_a_phone(visit):
    page = visit(f"{WIDE}&cell=3_4", viewport={"width": 390, "height": 844}, has_touch=True)
    page.get_by_text("unit 3 and unit 4 have r =").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    canvas = page.locator(".heat canvas").bounding_box()
    assert canvas["x"] >= 0
    assert canvas["x"] + canvas["width"] <= 390


def test_dark(visit):
    page = visit("compare?view=correlations&tap=images:pooled", color_scheme="dark")
    assert heat(page, "h.data.stops[0]") == "#9eb0ff"
    assert sum(heat(page, "h.paint.ground")) < 150
