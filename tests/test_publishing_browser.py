"""A bundle in a real browser: by a double click and from a plain server, with attacks in every text, by keyboard."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from pathlib import Path

import numpy as np
import publishing_subjects as subjects
import pytest
from grave_faults import grave

from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.publishing.asked import Asked
from dashboard.publishing.bundle import publish

CHROMIUM = Path("/usr/bin/chromium")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SLOW = 40_000
MAP = "document.querySelector('#map-page > .beside > div').shadowRoot"
PAGES = ("index", "map", "features", "heatmaps", "figures", "notes")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    workspace = subjects.made(tmp_path_factory.mktemp("there"))
    asked = Asked(
        title=subjects.ATTACKS[1], authors=subjects.ATTACKS[0], about=subjects.ATTACKS[2], licence="CC BY 4.0"
    )
    return publish(workspace, tmp_path_factory.mktemp("out") / "site & <b>more", asked).path


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(folder):
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_address[1]}/"
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield made
        made.close()


@pytest.fixture
def page(browser):
    """A page that hears of every fault: scripts, refused by policy, files that are missing."""
    made = browser.new_page(viewport={"width": 1440, "height": 900})
    made.set_default_timeout(SLOW)
    made.faults = []
    made.on("console", lambda m: made.faults.append(m.text) if m.type == "error" else None)
    made.on("pageerror", lambda e: made.faults.append(str(e)))
    made.on("requestfailed", lambda r: made.faults.append(f"failed: {r.url}"))
    made.on("dialog", lambda d: made.faults.append(f"dialog: {d.message}"))
    yield made
    made.close()


@pytest.fixture(params=["file", "http"])
def base(request, folder, server):
    return folder.as_uri() + "/" if request.param == "file" else server


def opened(page, base, path, wait):
    page.goto("about:blank")
    page.goto(base + path)
    page.wait_for_selector(wait)


def until(page, expression, argument=None):
    """Playwright's own way of waiting evaluates text in the page, which the policy of these pages forbids."""
    end = time.monotonic() + SLOW / 1000
    while not page.evaluate(expression, argument):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)


# ---------------------------------------------------------------------------- every page, both ways
WAITS = {
    "index.html": ".left-out",
    "map.html": "#map-page .panel",
    "features.html": ".list .row a",
    "features.html#/list/images:blocks.0": ".list .row a",
    "features.html#/feature/images:blocks.0/3": ".sides section",
    "features.html#/feature/texts:h.0/2": ".sides section",
    "features.html#/feature/attacked:a.tap/2": ".sides section",
    "heatmaps.html": "#heat-page label",
    "figures.html": "figure img",
    "notes.html": ".note",
}


@pytest.mark.parametrize("path", WAITS)
def test_every_page_opens_without_a_fault(page, base, path):
    opened(page, base, path, WAITS[path])
    page.wait_for_timeout(400)
    assert page.faults == []
    assert page.evaluate("window.pwned") is None
    assert page.title()


def test_the_map_draws_its_points_and_shows_a_sample(page, base):
    opened(page, base, "map.html#/images:pooled/pca?colour=predicted&sample=7", ".panel img")
    state = (
        "document.querySelector('#map-page > .beside > div').shadowRoot.querySelector('.map').dataset.drawn"
    )
    until(page, f"{state} === '240'")
    assert page.locator(".panel h2").first.inner_text()
    assert page.evaluate("document.querySelector('.panel img').naturalWidth") == 8
    page.get_by_label("Search samples").fill("scan")
    page.get_by_text("found; the others are dimmed").wait_for()
    page.get_by_label("Colour").select_option("loss")
    until(page, "location.hash.includes('colour=loss')")
    assert page.locator("table tbody tr").count() >= 1, "what the picture distorts"
    assert page.faults == []


def test_pointing_at_the_map_shows_the_sample(page, base, folder):
    drawn = next(m for m in subjects.data(folder, "site")["maps"] if m["reference"] == "images:pooled")
    opened(page, base, f"map.html#/{drawn['reference']}/pca", ".panel")
    until(page, f"{MAP}.querySelector('.map').dataset.drawn === '240'")
    at = page.evaluate("""() => {
        const root = document.querySelector('#map-page > .beside > div').shadowRoot, map = root.__loupeMap;
        const box = map.canvas.getBoundingClientRect(), [x, y] = map.view.toScreen(...map.points.of(11));
        return [box.left + x, box.top + y];
    }""")
    page.mouse.move(at[0] - 40, at[1])
    page.mouse.move(*at)
    until(page, f"Boolean({MAP}.querySelector('.card:not([hidden]) .name'))")
    page.mouse.click(*at)
    page.locator(".panel img").wait_for()
    assert page.faults == []


def test_a_link_to_a_feature_is_stable_and_leads_on(page, base):
    opened(page, base, "features.html#/feature/images:blocks.0/3", ".sides section")
    assert page.locator("h1").inner_text() == "Unit 3"
    page.get_by_role("link", name="Next").click()
    until(page, "document.querySelector('h1').textContent === 'Unit 4'")
    assert page.url.endswith("#/feature/images:blocks.0/4")
    page.go_back()
    until(page, "document.querySelector('h1').textContent === 'Unit 3'")
    page.get_by_role("link", name="All units").click()
    page.locator(".list .row a").first.wait_for()
    page.get_by_text("Weaker examples").count()
    assert page.faults == []


def test_a_tile_opens_its_sample(page, base):
    opened(page, base, "features.html#/feature/images:blocks.0/3", ".sides section")
    page.locator("button.tile").first.click()
    page.locator("dialog img").wait_for()
    assert "strongest examples" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('dialog')")


def test_weaker_examples_open(page, base):
    opened(page, base, "features.html#/feature/texts:h.0/1", ".sides section")
    before = page.locator(".tile").count()
    page.get_by_text("Weaker examples").click()
    until(page, f"document.querySelectorAll('details .said').length > 0 || {before} < 0")
    assert page.locator(".tile").count() >= before
    assert page.faults == []


def test_notes_classes_and_numbers_are_found(page, base):
    opened(page, base, "features.html#/list", ".list .row a")
    search = page.get_by_role("searchbox")
    for text, n in (("sees class c", 1), ("javascript:window", 1), ("40000", 0)):
        search.fill(text)
        until(page, "n => document.querySelector('[role=status]').textContent.startsWith(`${n} feature`)", n)
    search.fill("3-4")
    until(page, "document.querySelector('[role=status]').textContent.includes(' of ')")
    numbers = {
        text.strip("★ ") for text in page.locator(".list .row:not(.head) .cell:first-child").all_inner_texts()
    }
    assert numbers == {"3", "4"}
    assert "q=3-4" in page.url


UNKNOWN = (
    "features.html#/feature/no:tap/1",
    "features.html#/feature/images:pooled/999",
    "features.html#/feature/images:pooled/1e3",
    "features.html#/feature/images:pooled/%E0%A4%A",
    "features.html#/list/<script>",
    "map.html#/../../etc/passwd/x",
    "heatmaps.html#/77",
)


def test_unknown_links_are_answered_in_words(page, base):
    for path in UNKNOWN:
        opened(page, base, path, "[role=alert]")
        assert "published here" in page.locator("[role=alert]").inner_text()
    assert page.faults == []


def test_a_line_leads_to_a_card_only_where_that_is(page, folder, tmp_path_factory):
    workspace = Workspace.open(folder.parents[1] / "there0" / "private place" / "workspace")
    asked = Asked(taps=("images",), features="0-4", maps=("none",), figures=("none",), heatmaps="none")
    made = publish(workspace, tmp_path_factory.mktemp("part") / "b", asked)
    card = subjects.card_of(made.path, "images:pooled", 3)
    lines = next(c for c in card["charts"] if c["label"] == "Most correlated units")["lines"]
    here = sum(int(line["id"].partition(":")[0]) < 5 for line in lines)
    assert 0 <= here < len(lines)
    opened(page, made.path.as_uri() + "/", "features.html#/feature/images:pooled/3", ".sides section")
    chart = page.get_by_role("group", name="Most correlated units")
    chart.wait_for()
    assert chart.get_by_role("button").count() == here
    assert page.faults == []


# ---------------------------------------------------------------------------- attacks
def test_hostile_texts_are_shown_as_text(page, base):
    opened(page, base, "notes.html", ".note")
    said = page.locator("main").inner_text()
    for text in subjects.ATTACKS[:4]:
        assert text in said
    opened(page, base, "features.html#/feature/attacked:a.tap/0", ".sides section")
    assert subjects.ATTACKS[0] in page.locator("main").inner_text()
    assert (
        page.evaluate("document.querySelectorAll('main script, main img[onerror], main svg[onload]').length")
        == 0
    )
    assert page.evaluate("window.pwned") is None


def test_the_policy_stops_what_would_slip_through(page, base):
    """Markup put into a page by hand: neither an inline script, a handler, a frame, nor a connection works."""
    opened(page, base, "features.html", ".list .row a")
    page.evaluate("""() => {
        const box = document.createElement('div');
        box.innerHTML = '<img src=x onerror="window.pwned=1"><iframe src="data:text/html,x"></iframe>';
        document.body.append(box);
        const script = document.createElement('script');
        script.textContent = 'window.pwned = 2';
        document.body.append(script);
        const far = document.createElement('script');
        far.src = 'data:text/javascript,window.pwned=3';
        document.body.append(far);
    }""")
    page.wait_for_timeout(500)
    assert page.evaluate("window.pwned") is None
    refused = page.evaluate("fetch('https://example.org/').then(() => 'went out', () => 'refused')")
    assert refused == "refused"
    assert any("Content Security Policy" in fault for fault in page.faults)


def test_nothing_is_asked_of_another_host(page, base):
    asked = []
    page.on("request", lambda r: asked.append(r.url))
    for path, wait in WAITS.items():
        opened(page, base, path, wait)
    local = ("file:", "http://127.0.0.1", "about:", "data:", "blob:")
    assert [url for url in asked if not url.startswith(local)] == []


# ---------------------------------------------------------------------------- theme, keyboard, without scripts
def test_the_theme_follows_the_system_and_the_switch(page, base):
    page.emulate_media(color_scheme="dark")
    opened(page, base, "features.html#/feature/images:blocks.0/3", ".sides section")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(14, 17, 23)"
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Dark theme").wait_for()
    assert page.faults == []


def test_the_keyboard_reaches_a_card_and_back(page, base):
    opened(page, base, "features.html#/list/images:pooled", ".list .row a")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator(".list").focus()
    for key in ("ArrowDown", "ArrowDown", "End", "Home", "ArrowDown"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.locator(".sides section").first.wait_for()
    assert page.locator("h1").inner_text().startswith("Unit 1")
    page.keyboard.press("j")
    until(page, "document.querySelector('h1').textContent.startsWith('Unit 2')")
    for _ in range(30):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.tagName")
        assert name != "BODY" or _ > 5


@pytest.mark.parametrize("path", ["index.html", "figures.html", "notes.html", "features.html", "map.html"])
def test_without_scripts_a_page_says_what_it_can(browser, folder, path):
    made = browser.new_context(java_script_enabled=False)
    page = made.new_page()
    page.goto(folder.as_uri() + "/" + path)
    said = page.locator("main").inner_text()
    assert len(said) > 50
    if path in ("features.html", "map.html"):
        assert "drawn by a script" in said
    made.close()


def test_every_picture_has_words_and_every_control_a_name(page, base):
    for path, wait in WAITS.items():
        opened(page, base, path, wait)
        bare = page.evaluate("""() => {
            const inside = (n) => (n.shadowRoot ? all(n.shadowRoot) : []);
            const all = (root) => [...root.querySelectorAll('*')].flatMap((n) => [n, ...inside(n)]);
            const said = (n) => n.getAttribute('aria-label') || n.textContent.trim() || n.title;
            const named = (n) => said(n) || n.labels?.length || n.closest('label');
            const control = (n) => ['BUTTON', 'A', 'SELECT', 'INPUT'].includes(n.tagName) && n.offsetParent;
            const bare = (n) => (n.tagName === 'IMG' && !n.hasAttribute('alt')) || (control(n) && !named(n));
            return all(document).filter(bare).map((n) => n.outerHTML.slice(0, 120));
        }""")
        assert bare == [], path
        levels = page.evaluate("[...document.querySelectorAll('h1')].length")
        assert levels == 1, path


def test_a_phone_needs_no_sideways_scrolling(page, base):
    page.set_viewport_size({"width": 390, "height": 844})
    for path, wait in WAITS.items():
        opened(page, base, path, wait)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), path


# ---------------------------------------------------------------------------- five thousand
@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """5,000 features of 60 samples; cards of a few seconds' work only, so those of the first are made."""
    workspace = Workspace.create(tmp_path_factory.mktemp("large") / "w")
    values = np.random.default_rng(0).standard_normal((60, 5000)).astype(np.float32)
    write_store(
        workspace.path / "stores" / "s", name="s", taps={"t": values}, labels=[str(i % 3) for i in range(60)]
    )
    return workspace


def test_a_list_of_five_thousand_holds_what_is_in_sight(page, large, tmp_path, monkeypatch):
    from dashboard.publishing import card_data

    real, first = card_data.card, {}
    monkeypatch.setattr(
        card_data, "card", lambda tap, unit: {**first.setdefault("card", real(tap, unit)), "unit": unit}
    )
    made = publish(large, tmp_path / "b", Asked(maps=("none",), figures=("none",)))
    opened(page, made.path.as_uri() + "/", "features.html", ".list .row a")
    assert "5,000 features" in page.locator("[role=status]").inner_text()
    rows = page.locator(".list .row a")
    assert rows.count() < 80
    page.locator(".list").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    until(
        page,
        "[...document.querySelectorAll('.list .row a')].some((r) => r.getAttribute('href').includes('/4999'))",
    )
    assert rows.count() < 80
    page.get_by_role("columnheader", name="Maximum").get_by_role("button").click()
    until(page, "Boolean(document.querySelector('[aria-sort=descending]'))")
    assert page.locator(".list .row a").first.get_attribute("href").count("sort=maximum") == 1
    page.get_by_role("searchbox").fill("4321")
    until(page, "document.querySelectorAll('.list .row a').length === 1")
    assert page.faults == []


def tile(page, folder) -> None:
    """The sample behind the first tile of a card, come to and opened by the keyboard."""
    page.goto((folder / "features.html").as_uri() + "#/feature/texts:h.0/1")
    page.locator("button.tile").first.focus()
    page.keyboard.press("Enter")
    page.locator("dialog .tokens").wait_for()


def test_the_focus_goes_into_the_sample_and_back(folder, page):
    tile(page, folder)
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('dialog')")
    focused = """() => { let e = document.activeElement;
        while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement; return e.className; }"""
    assert "tile" in page.evaluate(focused)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_that_axe_calls_serious(folder, page, name, scheme):
    pytest.importorskip("axe_playwright_python.sync_playwright")
    page.emulate_media(color_scheme=scheme)
    page.goto((folder / f"{name}.html").as_uri())
    page.wait_for_function("() => document.querySelector('main')?.innerText.length > 20")
    page.wait_for_timeout(500)
    assert not grave(page)
    if name == "features":
        tile(page, folder)
        assert not grave(page)
