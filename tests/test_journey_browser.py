"""The main journey in a real browser: look, select, name, open a feature, star it, and find it all again by link."""

from __future__ import annotations

import io
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

from dashboard.pages import pages

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[1]
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SLOW = 40_000  # milliseconds to wait for anything: other work may be going on on the same two cores

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return page_stores.make_workspace(tmp_path_factory.mktemp("journey") / "workspace")


@pytest.fixture(scope="module")
def site(workspace, tmp_path_factory):
    """The dashboard, started as the README says on a free loopback port; ended by its process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("log") / "server.log").open("w")
    options = ["--workspace", str(workspace.path), "--port", str(port), "--no-browser"]
    command = [sys.executable, "-m", "dashboard.cli", *options]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the server ended"
            time.sleep(0.1)
        else:
            pytest.fail("the server did not answer within a minute")
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
def page(browser):
    """A fresh visitor; whatever the page's own code throws fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(SLOW)
    thrown = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    yield page
    context.close()
    assert not thrown


def open_map(page, url: str):
    """Open a map and wait for its points; returns its box on the screen."""
    page.goto(url)
    page.wait_for_selector(".map[data-drawn]")
    page.wait_for_timeout(400)
    return page.locator(".map canvas[role=application]").bounding_box()


def coloured_pixels(page) -> int:
    """How many pixels of the points' canvas are neither background nor grey."""
    from PIL import Image

    shot = Image.open(io.BytesIO(page.locator(".map").screenshot())).convert("RGB")
    left = np.asarray(shot)[60:-60, : int(shot.width * 0.75)].astype(int)  # without tools, legend and status
    return int((left.max(axis=2) - left.min(axis=2) > 40).sum())


def draw_around(page, box, x0: float, y0: float, x1: float, y1: float) -> None:
    """Drag along a rectangle, in parts of the map's width and height."""
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def point_on_screen(page, box, i: int) -> tuple[float, float]:
    """Where point i is drawn."""
    x, y = page.locator(".map").evaluate(
        "(m, i) => { const map = m.getRootNode().__loupeMap;"
        " return map.view.toScreen(map.xy[2 * i], map.xy[2 * i + 1]); }",
        i,
    )
    return box["x"] + x, box["y"] + y


def selected(page) -> int:
    """How many points the map says are selected."""
    text = page.locator(".map .status").inner_text()
    found = re.match(r"([\d,]+) of [\d,]+ \w+ selected", text)
    return int(found[1].replace(",", "")) if found else 0


def settled(page) -> None:
    """Wait until the page is drawn to its end: what is clicked before may be about to be drawn anew."""
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def query(page) -> dict:
    return parse_qs(urlsplit(page.url).query)


def test_the_main_journey(browser, page, site, workspace):
    box = open_map(page, f"{site}/?tap=images:pooled")
    assert coloured_pixels(page) > 200

    # hovering shows the sample itself
    card = page.locator(".map .card")
    page.mouse.move(*point_on_screen(page, box, 17))
    card.wait_for()
    assert "Label:" in card.inner_text()
    page.wait_for_function(
        "i => i.complete && i.naturalWidth === 8", arg=card.locator("img").element_handle()
    )

    # a lasso says what distinguishes it, others stay visible
    bright = coloured_pixels(page)
    page.keyboard.down("Shift")
    draw_around(page, box, 0.02, 0.25, 0.4, 0.5)
    page.keyboard.up("Shift")
    page.get_by_text("Classes, as a share of the selected samples").wait_for()
    chosen = selected(page)
    assert 0 < chosen < 240
    assert 0 < coloured_pixels(page) < bright
    assert query(page)["sel"][0].startswith("~")

    # it gets a name, here and for Python
    page.get_by_role("button", name="Save").click()
    page.get_by_label("Name").fill("the middle")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button", name="Save").click()
    page.wait_for_url("**sel=the*middle**")
    assert len(workspace.selection("the middle").ids) == chosen

    # the unit that differs most opens its card
    settled(page)
    page.locator(".bars button.line").first.click()
    page.wait_for_url("**/features**")
    page.get_by_text("Strongest examples").wait_for()
    unit = int(query(page)["unit"][0])
    page.get_by_role("button", name="Star", exact=True).click()
    page.get_by_role("button", name="Starred").wait_for()
    assert workspace.stars("images", "pooled") == (unit,)
    link = page.url

    # a colleague opens the two links and sees the same
    other = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    other.set_default_timeout(SLOW)
    other.goto(link)
    other.get_by_role("button", name="Starred").wait_for()
    assert other.get_by_text(f"Unit {unit}", exact=True).is_visible()
    other.locator(".tile").nth(3).wait_for()  # they come after the buttons
    open_map(other, f"{site}/?tap=images:pooled&sel=the+middle")
    other.get_by_text("the middle (").first.wait_for()
    assert selected(other) == chosen
    other.context.close()


def test_tokens_and_selections_across_taps(page, site, workspace):
    """A selection of samples made at one tap lights up as tokens at another."""
    from analysis.selection import Selection

    workspace.save_selection(Selection("ten", "samples", "images", "pooled", tuple(map(str, range(10)))))
    open_map(page, f"{site}/?tap=images:blocks.0&sel=ten")
    assert selected(page) == 50
    assert "tokens" in page.locator(".map .status").inner_text()


def test_by_keyboard_and_legend(page, site):
    box = open_map(page, f"{site}/?tap=images:pooled")
    before = coloured_pixels(page)
    page.locator(".map .legend .entry").first.click()  # only this class
    page.wait_for_timeout(300)
    assert coloured_pixels(page) < 0.6 * before
    page.wait_for_url("**hide=**")
    page.locator(".map canvas[role=application]").focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**view=**")
    page.keyboard.press("l")
    assert page.locator('.map .tools [data-tool="lasso"]').get_attribute("aria-pressed") == "true"
    draw_around(page, box, 0.01, 0.15, 0.6, 0.85)
    page.wait_for_url("**sel=**")
    assert 0 < selected(page) <= 80  # hidden classes are not selected
    page.locator(".map canvas[role=application]").focus()
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "sel=" not in url)
    assert selected(page) == 0


def test_nothing_is_left_behind(page, site):
    """Ten changes of colour and page leave no waiting map and no column behind."""
    open_map(page, f"{site}/?tap=images:pooled")
    for _ in range(3):
        page.get_by_role("link", name="Features").click()
        page.get_by_text("Select a row to open its card").wait_for()
        page.get_by_role("link", name="Map").click()
        page.wait_for_selector(".map[data-drawn]")
    left = page.evaluate("() => [window.__loupeBuffers.waiting.size, window.__loupeBuffers.held.size]")
    assert left[0] == 1
    assert left[1] <= 4


def test_without_webgl_the_map_is_drawn_on_a_plain_canvas(browser, site):
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script(
        "const real = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        "  return kind === 'webgl2' ? null : real.call(this, kind, ...rest); };"
    )
    page = context.new_page()
    page.set_default_timeout(SLOW)
    open_map(page, f"{site}/?tap=images:pooled")
    assert page.locator(".map").get_attribute("data-renderer") == "RendererCanvas"
    assert coloured_pixels(page) > 200
    context.close()


def test_where_no_pack_is_sent_the_server_answers_a_hover(page, site):
    """Units as points: the card comes from Python when the pointer rests; a click opens the way to its page."""
    box = open_map(page, f"{site}/?tap=images:pooled&of=units")
    page.mouse.move(*point_on_screen(page, box, 5))
    page.locator(".map .card").get_by_text("unit 6").wait_for()  # the dead unit 0 has no place on the map
    page.mouse.down()
    page.mouse.up()
    page.get_by_role("button", name="Open its card").click()
    page.wait_for_url("**unit=6**")
    page.get_by_text("Strongest examples").wait_for()


def map_data(page, name: str):
    """A field of what the map was last sent."""
    return page.locator(".map").evaluate("(m, name) => m.getRootNode().__loupeMap.data[name]", name)


def lasso(page, box, *corners: float) -> None:
    """A new selection: Shift would add to the one there is."""
    page.locator(".map canvas[role=application]").focus()
    page.keyboard.press("l")
    draw_around(page, box, *corners)


def save_as(page, name: str) -> None:
    page.get_by_role("button", name="Save").click()
    page.get_by_label("Name").fill(name)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button", name="Save").click()
    page.wait_for_url(f"**sel={name}**")


def test_two_groups_are_drawn_and_compared(page, site, workspace):
    """Do the two lassoed groups really differ, and are they apart in the data itself?"""
    box = open_map(page, f"{site}/?tap=images:pooled")
    for name, x0, x1 in (("west", 0.02, 0.45), ("east", 0.45, 0.75)):
        before = page.url
        lasso(page, box, x0, 0.15, x1, 0.9)
        page.wait_for_url(lambda url, before=before: url != before and "sel=~" in url.replace("%7E", "~"))
        page.get_by_role("button", name="Save").wait_for()
        save_as(page, name)
    assert not set(workspace.selection("west").ids) & set(workspace.selection("east").ids)
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("button", name="Compare them").click()
    page.wait_for_url("**vs=west**")
    page.get_by_text("false-discovery rate of 5 %").wait_for()
    test = page.get_by_role("button", name=re.compile("Test it in the original space"))
    test.wait_for()
    test.click()
    page.locator('[data-testid="stMain"]').get_by_text(
        re.compile("permutation|exchang|apart", re.I)
    ).first.wait_for()
    link = page.url
    open_map(page, link)
    page.get_by_text("false-discovery rate of 5 %").wait_for()
    assert selected(page) == len(workspace.selection("east"))


def test_hits_of_a_search_light_up(page, site):
    open_map(page, f"{site}/?tap=images:pooled")
    bright = coloured_pixels(page)
    search = page.locator('[data-testid="stTextInput"] input').first
    search.fill("label = b")
    page.keyboard.press("Enter")
    page.get_by_text("80 samples found").wait_for()
    page.wait_for_url("**sel=**")
    page.wait_for_timeout(500)
    assert selected(page) == 80
    assert 0 < coloured_pixels(page) < 0.7 * bright
    open_map(page, page.url)
    assert selected(page) == 80
    assert search.input_value() == "label = b"


def test_layers_are_switched_and_the_link_brings_them_back(page, site):
    open_map(page, f"{site}/?tap=images:pooled")
    assert map_data(page, "edges") is None
    page.get_by_role("button", name="Layers").click()
    page.get_by_text("Spanning tree", exact=True).click()
    page.wait_for_url("**tree=true**")
    page.get_by_text("Distortion ellipses", exact=True).click()
    page.wait_for_url("**ellipses=true**")
    page.keyboard.press("Escape")
    open_map(page, page.url + "&names=by:label&colour=correct&hide=1&draw=both&focus=7")
    names = page.locator(".map .labels span")
    assert names.count() >= 1
    assert names.first.inner_text() in "abc"
    open_map(page, page.url + "&view=-3_-3_3_3")
    assert map_data(page, "edges")["label"].startswith("Tree")
    assert map_data(page, "ellipses")["label"] == "Distortion"
    assert [label["text"] for label in map_data(page, "labels")] == ["a", "b", "c"]
    assert map_data(page, "colour")["label"] == "Right or wrong"
    assert map_data(page, "focus") == 7
    view = map_data(page, "view")
    assert (view["box"], view["hidden"], view["mode"]) == ([-3, -3, 3, 3], [1], "both")


def test_a_notebook_and_the_browser_have_the_same_selections(page, site, workspace):
    """Saved in the browser, it is there at the notebook's next line; saved there, it is lit on the page."""
    from dashboard import notebook as loupe

    view = loupe.open(workspace.path, server=site)
    assert "drawn by hand" not in view.selections()
    box = open_map(page, view.url("map", tap="images:pooled"))
    page.keyboard.down("Shift")
    draw_around(page, box, 0.02, 0.25, 0.4, 0.5)
    page.keyboard.up("Shift")
    page.get_by_role("button", name="Save").click()
    page.get_by_label("Name").fill("drawn by hand")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button", name="Save").click()
    page.wait_for_url("**sel=drawn*by*hand**")
    drawn = view.selection("drawn by hand")
    assert len(drawn) == selected(page) > 2

    half = view.select("from the notebook", drawn.ids[: len(drawn) // 2], at="images")
    open_map(page, view.url("map", tap="images:pooled", sel="from the notebook"))
    assert selected(page) == len(half) == len(drawn) // 2
    view.select("drawn by hand", half)
    open_map(page, view.url("map", tap="images:pooled", sel="drawn by hand"))
    assert selected(page) == len(half)


def test_the_map_by_its_name_is_the_map_with_all_that_the_address_says(page, site):
    page.goto(f"{site}/?tap=images:pooled")  # the server is warm, the page is seen once
    settled(page)
    page.goto(f"{site}/map?tap=images:pooled&colour=correct")
    page.wait_for_selector(".map[data-drawn]")
    settled(page)
    at = urlsplit(page.url)
    assert (at.path, query(page)["tap"], query(page)["colour"]) == ("/", ["images:pooled"], ["correct"])
    assert page.get_by_role("dialog").count() == 0
    assert page.get_by_text(re.compile("page not found", re.I)).count() == 0
    assert page.get_by_test_id("stSidebarNavLink").filter(has_text="Map").count() == 1
    assert page.get_by_test_id("stSidebarNavLink").count() == len(pages())
