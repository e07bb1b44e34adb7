"""One journey by the keyboard alone, over two people: a feature is chosen on the map, starred and noted by the one, who
sends a short link; the other opens it, reads and replies. No mouse, and no control that is not come to by Tab."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import page_stores
import pytest
from grave_faults import grave
from hosts import Site
from keyboard_use import quiet, tab_to
from keyboard_walk import walk

from analysis.access import Person, acting_as
from analysis.people import Thing
from analysis.workspace import Workspace
from dashboard.hosting.roles import Members

CHROMIUM = Path("/usr/bin/chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip
SLOW = 40_000
NOTE, REPLY = "It fires on round shapes.", "On loops too, see sample 3."
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    lab = page_stores.make_workspace(folder / "lab")
    with acting_as(Person("ada@example.org", "owner")):
        Members(lab.path).put("eva@example.org", "editor")
    with Site(folder, {"lab": lab.path}).running() as site:
        yield site


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield made
        made.close()


def arrives(browser, name: str, address: str):
    """A browser of somebody who opens an address and signs in."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(SLOW)
    page.goto(address)
    press(page, "Sign in")
    page.wait_for_url("**/authorize**")
    press(page, f"“{name}”")
    quiet(page)
    return page


def press(page, text: str, *keys: str) -> None:
    """Come to a control by Tab and work it."""
    tab_to(page, text)
    for key in keys or ("Enter",):
        page.keyboard.press(key)


def unit_of(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["unit"][0])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_stands_before_the_sign_in_has_no_grave_fault(site, browser, scheme):
    """Also what somebody is told who is let in nowhere."""
    page = browser.new_context(color_scheme=scheme).new_page()
    page.goto(site.url)
    walked = walk(page)
    assert (walked.controls, walked.faults, grave(page)) == (1, [], [])
    press(page, "Sign in")
    page.wait_for_url("**/authorize**")
    press(page, "“una")  # whose address nobody has verified
    page.wait_for_url(f"{site.url}/**")
    assert page.locator(".why").count()
    walked = walk(page)
    assert (walked.controls, walked.faults, grave(page)) == (1, [], [])


def test_a_feature_is_found_noted_and_sent_and_answered_without_a_mouse(site, browser):
    ada = arrives(browser, "ada", f"{site.url}/?ws=lab&tap=images:pooled")
    press(ada, "“Samples”", "ArrowRight", "Space")  # points are: units
    ada.wait_for_url("**of=units**")
    quiet(ada)
    press(ada, "canvas[application]", "Enter")  # the point that is nearest to the middle
    ada.wait_for_url("**focus=**")
    quiet(ada)
    press(ada, "Open its card")
    ada.wait_for_url("**/features**unit=**")
    quiet(ada)
    press(ada, "Star", "Enter")
    ada.wait_for_timeout(500)
    quiet(ada)
    tab_to(ada, "textarea")
    ada.keyboard.type(NOTE)
    ada.keyboard.press("Control+Enter")
    quiet(ada)
    press(ada, "share Share")
    press(ada, "Make a short link")
    link = ada.locator("[data-testid=stPopoverBody] code", has_text="link=").last
    link.wait_for()
    address = link.inner_text().strip()

    eva = arrives(browser, "eva", address)
    assert eva.url.partition("?")[0].endswith("/features")
    assert unit_of(eva.url) == unit_of(ada.url)
    eva.get_by_text(NOTE).first.wait_for()
    press(eva, "Reply", "Enter")  # opens the thread
    tab_to(eva, "textarea")
    eva.keyboard.type(REPLY)
    press(eva, "Reply")
    eva.locator("[data-testid=stMarkdown]", has_text=REPLY).first.wait_for()  # shown, not in the box any more

    about = Workspace.open(site.workspaces["lab"]).people.about(
        Thing.feature("images", "pooled", unit_of(ada.url))
    )
    assert (about.star.author, about.note.author, about.note.text) == (
        "ada@example.org",
        "ada@example.org",
        NOTE,
    )
    assert [(reply.author, reply.text) for reply in about.replies] == [("eva@example.org", REPLY)]
    ada.reload()
    quiet(ada)
    ada.get_by_text(REPLY).first.wait_for()
