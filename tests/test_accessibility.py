"""Every page in a real browser, light and dark: nothing that axe-core calls serious or critical, and Tab reaches every
control, which is named and shows that it has the focus."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from grave_faults import grave
from hosts import free_port, process
from keyboard_walk import walk

from analysis.people import Step, Thing
from analysis.workspace import Workspace

pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = "/usr/bin/chromium"
if not Path(CHROMIUM).exists():
    pytest.skip("needs Debian's chromium", allow_module_level=True)
pytestmark = pytest.mark.browser

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SAMPLE = Path(__file__).parents[1] / "sample_data"
TAP = "digits-vit:vit.layers.3"
PAGES = {  # by address, what is opened there
    f"?tap={TAP}": "Share",
    f"features?tap={TAP}": "",
    f"features?tap={TAP}&unit=7": "",
    "compare": "",
    "compare?view=correlations": "",
    f"subspaces?tap={TAP}": "",
    "dictionaries": "",
    f"attribution?tap={TAP}": "",
    "tokens?tap=digits-vit-patches:vit.layers.2": "",
    f"analyses?tap={TAP}&method=pca": "Export",
    f"analyses?tap={TAP}&method=pca&seed=0": "Copy as Python",
    "analyses?tap=digits-vit-patches:vit.layers.2&method=masked_retrieval": "",
    "workspace": "",
    "workspace?show=record": "",
    "activity": "",
    "tours": "",
    "tours#played": "Play",
    f"features?tap={TAP}&unit=99999": "",
    "features?tap=python-gpt-code:transformer.h.2@gpt-topk-s0&unit=3&model=true": "",
    "basket": "",
}
LEAST = 17  # controls: the sidebar alone has that many


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("axe")
    shutil.copytree(SAMPLE, folder / "sample")
    _a_basket(folder / "sample" / "workspace")
    _what_people_wrote(folder / "sample" / "workspace")
    port = free_port()
    command = [sys.executable, "-m", "dashboard.cli", "--workspace", str(folder / "sample" / "workspace"), "--port",
               str(port), "--no-browser"]  # fmt: skip
    namer = {
        "LOUPE_NAMER_URL": "http://127.0.0.1:9/v1",
        "LOUPE_NAMER_MODEL": "tiny",
    }  # what would be sent is shown
    with process(command, port, folder / "log", {**os.environ, **namer}):
        yield f"http://127.0.0.1:{port}"


def _a_basket(workspace: Path) -> None:
    """With one panel, of a result that is kept."""
    from dashboard.baskets.adding import add

    opened = Workspace.open(workspace)
    add(opened, "Figure 1", opened.run("pca", [TAP]), {})


def _what_people_wrote(workspace: Path) -> None:
    """A long thread on unit 7, and a tour of two stops."""
    people = Workspace.open(workspace).people
    store, _, tap = TAP.partition(":")
    unit = Thing.feature(store, tap, 7)
    people.write(unit, "note", "Loops?", version=0)
    for k in range(7):
        people.reply(unit, f"Reply {k}: see sample {k}.")
    link = people.short_link("features", {"tap": TAP, "unit": "7"}, {})
    people.save_tour("", "Digits", "What there is", (Step(link, "Look here."), Step(link, "And here.")))


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request, browser):
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=request.param)
    yield page
    page.close()


def quiet(page) -> None:
    page.wait_for_selector("[data-testid=stSidebar]", timeout=60000, state="attached")  # a tour hides it
    page.wait_for_timeout(700)
    waiting = "[data-testid=stStatusWidget], [data-testid=stSkeleton]"
    page.wait_for_function(f"() => !document.querySelector('{waiting}')", timeout=60000)


@pytest.mark.parametrize("address", PAGES)
def test_nothing_serious_and_the_keyboard_reaches_everything(site, page, address):
    """By Tab, forwards and backwards. In the dark, which has the same order, what shows the focus, on some pages."""
    page.goto(f"{site}/{address}")
    quiet(page)
    if PAGES[address]:
        page.get_by_role("button", name=PAGES[address]).first.click()
        quiet(page)
    found = grave(page)
    assert not found, "\n".join(found)
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    if dark and address not in list(PAGES)[:3]:
        return
    walked = walk(page)
    assert walked.controls >= LEAST
    faults = walked.ringless if dark else walked.faults
    assert not faults, "\n".join(faults)


def test_the_judge_sees_what_is_wrong(page):
    page.set_content(
        "<html lang='en'><title>x</title><main><img src='data:,'><p style='color:#aaa'>faint</p></main>"
    )
    assert {line.partition(":")[0] for line in grave(page)} >= {"image-alt", "color-contrast"}


FAULTY = """<html lang="en"><style>
  :focus { outline: none } .ring:focus { outline: 3px solid } .bare:focus { border: 0 }</style>
  <button class="ring">first</button> <button>ringless</button> <button class="bare">ringless too</button>
  <button class="ring"></button>
  <div role="button" style="width:50px;height:20px">unreached</div>
  <button class="ring" id="last">last</button>"""


def test_the_walk_sees_what_is_wrong(page):
    page.set_content(FAULTY)
    found = walk(page)
    assert [line.partition("“")[2] for line in found.unreached] == ["unreached”"]
    assert ["ringless" in line for line in found.ringless] == [True, True]
    assert len(found.nameless) == 1
    assert not found.trapped
    page.set_content(FAULTY)
    page.evaluate("() => { last.onkeydown = e => e.preventDefault(); }")
    assert walk(page).trapped
