"""The page Tokens by hand in a real browser: a patch or word that becomes the query, a token that opens, a box that is
dragged."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from analysis.jobs import handlers
from analysis.spec import no_progress
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.workspace import Workspace

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[1]
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SLOW = 30_000  # milliseconds to wait for anything: other work may be going on on the same two cores
GRID = (3, 4)
MARK = """([trace, index]) => {
    const g = document.querySelector('.js-plotly-plot');
    const d = g._fullData.filter(d => d.mode == 'markers' && d.hovertext && d.hovertext.length > 1)[trace];
    const axis = name => g._fullLayout[name[0] + 'axis' + name.slice(1)];
    const [x, y, box] = [axis(d.xaxis), axis(d.yaxis), g.getBoundingClientRect()];
    return [box.x + x._offset + x.l2p(d.x[index]), box.y + y._offset + y.l2p(d.y[index])];
}"""  # where the index-th mark of a trace lies in the window

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Forty samples of twelve tokens, in a row and on a grid, without a network: the rows are queries and keys, behind
    one token that is their mean. The
    dashboard on it, on a free loopback port; ended by its process id."""
    workspace = Workspace.create(tmp_path_factory.mktemp("hands") / "ws")
    row, grid = np.random.default_rng(0).standard_normal((2, 40, 12, 5))
    specs = {
        "row": TapSpec("row", 5, "float32", "all"),
        "grid": TapSpec("grid", 5, "float32", "all", "Block", GRID, 0),
    }
    write_store(workspace.path / "stores" / "net", name="net", taps={"row": row, "grid": grid}, specs=specs)
    for tap in ("net:row", "net:grid"):
        handlers.token_dump(workspace.path, {"input": tap, "sample": 0}, no_progress)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dashboard.cli", "--workspace", str(workspace.path), "--port", str(port)]
    log = (workspace.path.parent / "server.log").open("w")
    process = subprocess.Popen(
        [*command, "--no-browser"], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT, stdout=log,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "the server ended"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/tokens"
    finally:
        process.terminate()
        process.wait(30)
        log.close()
        shutil.rmtree(workspace.path)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(SLOW)
    yield page
    page.close()


def drawn(page, address: str) -> None:
    page.goto(address)
    marks_there(page)


def marks_there(page) -> None:
    page.locator(".js-plotly-plot .scatterlayer").first.wait_for()
    page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')")


def at(page, trace: int, index: int) -> tuple[float, float]:
    """Where a mark lies; scrolled into the window."""
    page.locator(".js-plotly-plot").first.scroll_into_view_if_needed()
    before, here = None, page.evaluate(MARK, [trace, index])
    while here != before:  # until the figure lies still
        page.wait_for_timeout(400)
        before, here = here, page.evaluate(MARK, [trace, index])
    return tuple(here)


def click(page, trace: int, index: int) -> None:
    x, y = at(page, trace, index)
    page.mouse.move(x - 2, y - 2)
    page.mouse.move(x, y)
    page.mouse.click(x, y)


def said(page, name: str) -> str:
    return parse_qs(urlsplit(page.url).query).get(name, [""])[0]


def of_heads(site: str, tap: str) -> str:
    return f"{site}?tap=net:{tap}&view=attention&ask=attention_pattern"


def test_a_click_on_a_patch_makes_it_the_query_and_another_click_another(page, site):
    drawn(page, of_heads(site, "grid"))
    click(page, 0, 6)
    page.wait_for_url("**p.query=7**")
    page.get_by_text("What the patch in row 2, column 3 reads").first.wait_for()
    marks_there(page)
    click(page, 3, 1)  # on the last of the four maps
    page.wait_for_url("**p.query=2")
    page.get_by_text("What the patch in row 1, column 2 reads").first.wait_for()


def test_a_token_in_a_row_is_clicked_as_well(page, site):
    drawn(page, of_heads(site, "row"))
    click(page, 1, 9)
    page.wait_for_url("**p.query=9**")
    page.get_by_text("What token 9 reads").first.wait_for()


def test_the_query_is_chosen_with_the_keyboard_alone(page, site):
    drawn(page, of_heads(site, "grid") + "&p.query=3")
    chosen = page.get_by_role("combobox", name="Query: the token that asks")
    chosen.focus()
    page.keyboard.type("row 3, column 4")
    page.keyboard.press("Enter")
    page.wait_for_url("**p.query=12**")
    page.get_by_text("What the patch in row 3, column 4 reads").first.wait_for()


def test_a_click_on_a_film_opens_what_is_inside_the_token(page, site):
    drawn(page, f"{site}?tap=net:grid&view=film&left=40")
    click(page, 0, 5)  # of the first panel, where every token is there
    page.wait_for_url("**open=0.6**")
    page.get_by_text("The token of row 2, column 2").first.wait_for()
    page.get_by_role("button", name="Close").click()
    page.wait_for_url(lambda url: "open=" not in url)


def drag(page, first: int, last: int) -> None:
    (x, y), (right, low) = at(page, 0, first), at(page, 0, last)
    page.mouse.move(x - 4, y - 4)
    page.mouse.down()
    page.mouse.move((x + right) / 2, (y + low) / 2, steps=5)
    page.mouse.move(right + 4, low + 4, steps=5)
    page.mouse.up()


def test_a_box_that_is_dragged_over_a_film_is_in_the_address_and_a_second_is_added(page, site):
    drawn(page, f"{site}?tap=net:grid&view=film&left=40&hand=box")
    drag(page, 5, 10)  # rows 2 and 3, columns 2 and 3
    page.wait_for_url("**boxes=**")
    assert said(page, "boxes") == "2-3, 2-3"
    page.get_by_text("4 patches in the boxes").first.wait_for()
    marks_there(page)
    drag(page, 0, 1)
    page.wait_for_function("() => decodeURIComponent(location.search).includes('1-1,')")
    assert said(page, "boxes") == "2-3, 2-3; 1-1, 1-2"


def test_a_stretch_of_a_text_is_dragged(page, site):
    drawn(page, f"{site}?tap=net:row&view=film&left=40&hand=box")
    drag(page, 3, 6)
    page.wait_for_url("**boxes=**")
    assert said(page, "boxes") == "3-6"
