"""Every page under the host's content security policy, in a real browser: it works, and nothing is violated."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hosts import Site

pytestmark = pytest.mark.browser

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SAMPLE = Path(__file__).parents[1] / "sample_data" / "workspace"
SET = "python-gpt-code:transformer.h.2@gpt-topk-s0"
PAGES = {  # by address, what is drawn there
    "": "canvas",
    "workspace": "[data-testid=stMain] button",
    "features": "[data-testid=stMain] button",
    "features?unit=3": "[data-testid=stMain] button",
    "compare": "[data-testid=stMain] button",
    "compare?view=pair": "[data-testid=stMain] button",
    "compare?view=units": "[data-testid=stMain] button",
    "compare?view=correlations": "[data-testid=stMain] button",
    "subspaces": "[data-testid=stMain] button",
    "dictionaries": "[data-testid=stMain] button",
    f"dictionaries?view=report&tap={SET}": "[data-testid=stMain] button",
    "attribution": "[data-testid=stMain] button",
    "tokens": "[data-testid=stMain] button",
    "tours": "[data-testid=stMain] [data-testid=stAlert]",
    "analyses": "[data-testid=stMain] button",
    "activity": "[data-testid=stMain]",
    "basket": "[data-testid=stMain] [data-testid=stAlert]",
}
LISTEN = """
window.violations = [];
document.addEventListener('securitypolicyviolation', e =>
  window.violations.push(`${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    shutil.copytree(SAMPLE.parent, folder / "sample")
    site = Site(folder, {"lab": folder / "sample" / "workspace"})
    with site.running():
        yield site


@pytest.fixture(scope="module")
def page(site):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_init_script(LISTEN)
        page = context.new_page()
        page.goto(site.url)
        page.get_by_role("link").first.click()
        page.wait_for_url("**/authorize**")
        page.goto(f"{page.url}&as=ada")
        page.wait_for_selector("[data-testid=stSidebar]", timeout=60000)
        yield page
        browser.close()


def quiet(page) -> None:
    page.wait_for_selector("[data-testid=stSidebar]", timeout=60000)
    page.wait_for_timeout(600)
    waiting = "[data-testid=stStatusWidget], [data-testid=stSkeleton]"
    page.wait_for_function(f"() => !document.querySelector('{waiting}')", timeout=60000)


def test_every_page_is_among_them():
    from dashboard.pages import pages

    assert {"" if p.default else p.name for p in pages()} <= set(PAGES)


@pytest.mark.parametrize("address", PAGES)
def test_a_page_works_and_violates_nothing(site, page, address):
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{site.url}/{address}")
    quiet(page)
    page.wait_for_selector(PAGES[address], timeout=60000)
    page.wait_for_timeout(500)
    assert page.evaluate("window.violations") == []
    assert not [text for text in said if "Content Security Policy" in text or "EvalError" in text]
    assert not page.locator("text=failed unexpectedly").count()


def test_the_policy_is_in_force(site, page):
    """Otherwise nothing would be violated on any page: script that is not ours does not run."""
    page.goto(site.url)
    quiet(page)
    page.evaluate("""() => {
        const script = document.createElement('script');
        script.textContent = 'window.stolen = 1';
        document.body.append(script);
        const picture = new Image(); picture.src = 'https://elsewhere.example/x.png';
        document.body.append(picture);
        const link = document.createElement('a'); link.setAttribute('onclick', 'window.stolen = 2');
        document.body.append(link); link.click();
        const frame = document.createElement('iframe'); frame.src = 'https://elsewhere.example/';
        document.body.append(frame);
        setTimeout('window.stolen = 3');  // a text that is run
    }""")
    page.wait_for_timeout(300)
    assert page.evaluate("window.stolen") is None
    violated = page.evaluate("window.violations")
    for directive in ("script-src-elem", "script-src-attr", "img-src", "frame-src", "script-src eval"):
        assert any(v.startswith(directive) for v in violated), violated


def test_no_other_page_may_frame_it(site, page, tmp_path):
    from playwright.sync_api import Error

    outer = page.context.new_page()
    file = tmp_path / "outer.html"
    file.write_text(f"<iframe src='{site.url}/' style='width:900px;height:600px'></iframe>")
    outer.goto(file.as_uri())
    outer.wait_for_timeout(1500)
    try:
        inner = [frame.locator("[data-testid=stSidebar]").count() for frame in outer.frames[1:]]
    except Error:
        inner = [0]
    assert sum(inner) == 0
    outer.close()
