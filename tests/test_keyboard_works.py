"""Controls of every kind are worked by the keyboard alone on the pages where they stand, in a real browser: something
follows, boxes close by Escape and give the focus back, and Tab leads from a popover's button into the popover."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hosts import free_port, process
from keyboard_use import KEYS, controls, listen, quiet, reach, tab_to, work

from analysis.people import Step
from analysis.workspace import Workspace

CHROMIUM = "/usr/bin/chromium"
if not Path(CHROMIUM).exists():
    pytest.skip("needs Debian's chromium", allow_module_level=True)
pytestmark = pytest.mark.browser

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SAMPLE = Path(__file__).parents[1] / "sample_data"
TAP = "digits-vit:vit.layers.3"
PATCHES = "digits-vit-patches:vit.layers.2"
WORKED = {  # by page: kind and name of what is worked there, and the popover that it is in
    f"?tap={TAP}": [("text", "Search"), ("choice", "Projection"), ("radio", "2-D"), ("picture", "PCA of"),
                    ("select", "How points are drawn"), ("table", "nearest points"), ("help", "Help for View")],
    f"features?tap={TAP}": [("checkbox", "Smallest first"), ("expander", "Ask a language model"), ("table", "48 unit")],
    f"features?tap={TAP}&unit=7": [("many", "Tags"), ("text area", "Note"), ("text", "Name"), ("link", "Skip to main")],
    "compare": [("radio", "Similarity"), ("button", "Download plot as a PNG")],
    "compare?view=units": [("choice", "Other tap")],
    "compare?view=correlations": [("picture", "Pearson correlation"), ("button", "Zoom in")],
    f"subspaces?tap={TAP}": [("choice", "Question"), ("expander", "Settings")],
    "dictionaries": [("popover", "Delete")],
    f"attribution?tap={TAP}": [("number", "Sample")],
    f"analyses?tap={TAP}&method=pca": [("choice", "Family"), ("popover", "Export"), ("download", "CSV", "Export")],
    f"analyses?tap={PATCHES}&method=masked_retrieval": [("button", "patch (1, 2)")],
    f"tokens?tap={PATCHES}": [("slider", "Tokens left")],
    "tokens?tap=python-gpt-code:transformer.h.2": [("slider", "The text behind")],
    f"features?tap={PATCHES}@vit-topk-s0&unit=3&own=true": [("upload", "")],
    "workspace": [("radio", "Stores")],
    "activity": [("choice", "By"), ("tabs", "A link", "Share")],
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    shutil.copytree(SAMPLE, folder / "sample")
    people = Workspace.open(folder / "sample" / "workspace").people
    links = [people.short_link("features", {"tap": TAP, "unit": str(unit)}) for unit in (7, 8)]
    people.save_tour("", "Digits", "What there is", (Step(links[0], "Seven."), Step(links[1], "Eight.")))
    port = free_port()
    command = [sys.executable, "-m", "dashboard.cli", "--workspace", str(folder / "sample" / "workspace"), "--port",
               str(port), "--no-browser"]  # fmt: skip
    with process(command, port, folder / "log", dict(os.environ)):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def page(site):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="dark")
        listen(page)
        yield page
        browser.close()


def named(page, kind: str, text: str) -> str:
    """The key of the first control of a kind whose name holds a text; waits for it."""
    for _ in range(120):
        for one in controls(page):
            if one["kind"] == kind and one["stop"] and text in " ".join(one["key"].split()):
                return one["key"]
        page.wait_for_timeout(250)
    raise AssertionError(
        f"no {kind} called {text!r}, but {[one['key'] for one in controls(page) if not one['side']]}"
    )


def test_every_kind_is_worked_somewhere():
    assert {kind for those in WORKED.values() for kind, *_ in those} == {*KEYS, "help"} - {"other"}


@pytest.mark.parametrize("address", WORKED)
def test_the_keyboard_works_it(site, page, address):
    faults = []
    for kind, text, *inside in WORKED[address]:
        page.goto(f"{site}/{address}")
        quiet(page)
        for opener in inside:
            tab_to(page, opener)
            page.keyboard.press("Enter")
            quiet(page)
            tab_to(page, f"“{text}")
        used = work(page, named(page, kind, text), kind, bool(inside))
        faults += [f"{text}: {fault} ({used.pressed})" for fault in used.faults]
    assert not faults


def test_a_tour_is_rearranged_and_played(site, page):
    page.goto(f"{site}/tours")
    quiet(page)
    first = "() => document.querySelector('textarea[aria-label^=\"Stop 1\"]')?.value"
    said = "() => document.body.innerText"
    for text, where, then in (("“edit Edit", first, "Seven."), ("Later", first, "Eight."), ("Later", first, "Seven."),
                              ("Look at it", said, "Stop 1 of 2"), ("Next", said, "Eight.")):  # fmt: skip
        tab_to(page, text)
        page.keyboard.press("Enter")
        page.wait_for_function(f"then => (({where})() ?? '').includes(then)", arg=then, timeout=20_000)
        page.wait_for_function(
            "() => !document.querySelector('[data-testid=stStatusWidget]')", timeout=20_000
        )
    page.keyboard.press("Alt+ArrowLeft")
    page.wait_for_function(f"() => ({said})().includes('Stop 1 of 2')", timeout=20_000)
    tab_to(page, "close End")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-testid=stSidebar]", timeout=20_000)


def test_a_popover_is_in_its_place_in_the_order(site, page):
    """Streamlit has what a popover holds behind all else: Tab would come to it last."""
    page.goto(f"{site}/?tap={TAP}")
    quiet(page)
    tab_to(page, "“layers")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-testid=stPopoverBody] [role=switch]")
    quiet(page)
    for _ in range(2):  # also when it was left before
        assert "Names on the map" in tab_to(page, "“")
        page.keyboard.press("Shift+Tab")
        assert "Layers" in page.evaluate("walk.here().tells")
    assert _until(page, "Second map") < 12
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    page.wait_for_selector("[data-testid=stPopoverBody]", state="detached")
    assert "Layers" in page.evaluate("walk.here().tells")


def test_the_focus_goes_into_a_full_screen_and_out_again(site, page):
    page.goto(f"{site}/?tap={TAP}")
    quiet(page)
    tab_to(page, "“Fullscreen")
    for press, then in (
        ("Enter", "Close fullscreen"),
        ("Enter", "Fullscreen"),
        ("Enter", "Close"),
        ("Escape", "Full"),
    ):
        page.keyboard.press(press)
        page.wait_for_function("then => walk.here()?.tells.includes(`“${then}`)", arg=then, timeout=10_000)


def _until(page, text: str) -> int:
    """How many presses of Tab lead there."""
    for k in range(1, 100):
        page.keyboard.press("Tab")
        if text in page.evaluate("walk.here()?.tells ?? ''"):
            return k
    raise AssertionError(text)


STILL = (
    "<html lang='en'><body data-testid='stSidebar'><button>does nothing</button><button id='b'>goes</button>"
)


def test_the_walker_sees_what_does_not_work(page):
    page.set_content(STILL)
    page.evaluate("() => { b.onclick = () => { b.blur(); b.textContent = 'gone'; }; }")
    dead, goes = (one["key"] for one in controls(page))
    assert work(page, dead, "button").faults == ["nothing follows"]
    assert work(page, goes, "button").faults == ["the focus is lost"]
    page.set_content(STILL)
    page.evaluate("() => { b.onfocus = () => b.blur(); }")
    assert not reach(page, controls(page)[1]["key"])
