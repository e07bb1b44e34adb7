"""A team in real browsers: signing in, links, roles at once, replayed messages, and markup that stays text."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import quote

import numpy as np
import page_stores
import pytest
from hosts import COOKIE_SECRET, Site, answer
from oidc_provider import SECRET
from websockets.sync.client import connect

from analysis.access import Person, acting_as
from analysis.jobs import queue
from analysis.selection import Selection
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.hosting.roles import Members

CHROMIUM = Path("/usr/bin/chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip
SLOW = 40_000
EVIL = (
    '<img src=x onerror="window.pwned=1">',
    "<script>window.pwned=1</script>",
    "[a](javascript:window.pwned=1)",
    "![](x)<svg onload=window.pwned=1>",
    '"><iframe src="javascript:parent.pwned=1">',
    "$\\href{javascript:window.pwned=1}{x}$",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


def hostile_store(path: Path) -> None:
    """Labels, ids, texts, columns, units and a tap that are markup."""
    rng, n = np.random.default_rng(0), 60
    words = [EVIL[i % len(EVIL)] for i in range(n)]
    write_store(
        path, name=path.name, taps={"pooled": np.abs(rng.standard_normal((n, 6))).astype(np.float32)}, labels=words,
        samples={"id": [f"{i} {w}" for i, w in enumerate(words)], "text": words, f"of {EVIL[0]}": words},
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("team")
    lab = page_stores.make_workspace(folder / "lab")
    hostile_store(lab.path / "stores" / "evil")
    for k, evil in enumerate(EVIL):
        lab.note("evil", "pooled", k, evil)
        lab.save_selection(Selection(f"{k} {evil}", "samples", "evil", "", [f"0 {EVIL[0]}"], note=evil))
    thesis = Workspace.create(folder / "thesis")
    members = Members(lab.path)
    with acting_as(Person("ada@example.org", "owner")):
        members.put("eva@example.org", "editor")
        members.put("vic@example.org", "viewer")
    with Site(folder, {"lab": lab.path, "thesis": thesis.path}, LOUPE_ROOTS=str(folder)).running() as site:
        yield site


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        opened = p.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    """A fresh browser of somebody; ends with a look whether anything that was text has run."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    yield page
    assert not dialogs
    context.close()


def sign_in(page, site, name: str, at: str = "/") -> None:
    page.goto(site.url + at)
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("button", name="Sign out").wait_for(timeout=SLOW)


def settled(page) -> None:
    page.wait_for_function("() => !document.querySelector('[data-testid=stStatusWidget]')", timeout=SLOW)
    page.wait_for_timeout(300)


def test_a_link_survives_signing_in_and_shows_another_person_the_same(site, page):
    link = f"/features?ws=lab&tap={quote('images:pooled')}&unit=3"
    sign_in(page, site, "vic", link)
    page.get_by_role("heading", name="Unit 3").wait_for(timeout=SLOW)
    assert "unit=3" in page.url
    assert "ws=lab" in page.url


def test_a_viewer_takes_a_figure_away_and_it_is_written_down(site, page):
    sign_in(page, site, "vic", f"/features?ws=lab&tap={quote('images:pooled')}&unit=3")
    page.get_by_role("button", name="Export").first.click()
    with page.expect_download(timeout=SLOW) as download:
        page.get_by_role("button", name="CSV", exact=True).first.click()
    assert Path(download.value.path()).read_text().count("\n") > 3
    line = [line for line in site.lines() if line["what"] == "exported"][-1]
    assert (line["who"], line["role"], line["workspace"]) == ("vic@example.org", "viewer", "lab")
    assert line["which"].endswith(".csv")
    assert line["from"] == "127.0.0.1"


def test_signing_out_leads_to_the_sign_in_page_and_back_shows_nothing(site, page):
    sign_in(page, site, "eva", "/workspace?ws=lab")
    settled(page)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in").wait_for(timeout=SLOW)
    page.go_back()
    page.wait_for_timeout(1500)
    assert page.get_by_text("Stores", exact=True).count() == 0


def test_a_role_changes_at_once_in_a_page_that_is_open(site, browser, page):
    sign_in(page, site, "sam", "/workspace?ws=lab")
    page.get_by_text("has no role in the workspace lab").wait_for(timeout=SLOW)
    assert page.get_by_text("images").count() == 0
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    ada = context.new_page()
    sign_in(ada, site, "ada", "/workspace?ws=lab&show=people")
    ada.get_by_label("E-mail").fill("sam@example.org")
    ada.get_by_role("button", name="Give this role").click()
    ada.get_by_text("sam@example.org is viewer now").first.wait_for(timeout=SLOW)
    context.close()
    page.reload()
    page.get_by_text("Stores", exact=True).wait_for(timeout=SLOW)
    with acting_as(Person("ada@example.org", "owner")):
        Members(site.workspaces["lab"]).remove("sam@example.org")
    page.get_by_text("Jobs", exact=True).click()
    page.get_by_text("has no role in the workspace lab").wait_for(timeout=SLOW)
    assert page.get_by_text("Stores", exact=True).count() == 0


def test_a_message_of_an_editor_sent_by_a_viewer_by_hand_does_nothing(site, browser):
    """The very bytes with which an editor's click starts a job, on a viewer's own connection."""
    sent: dict[str, list[bytes]] = {"eva": [], "vic": []}
    cookies = {}
    for name in sent:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.on("websocket", lambda ws, n=name: ws.on("framesent", lambda data, m=n: sent[m].append(data)))
        sign_in(page, site, name, f"/analyses?ws=lab&method=pca&tap={quote('images:pooled')}")
        settled(page)
        cookies[name] = {c["name"]: c["value"] for c in context.cookies(site.url)}
        if name == "eva":
            first = len(sent[name])
            page.get_by_text("Check this method").first.click()
            page.get_by_role("button", name="Check this method").click()
            _until(lambda: len(_jobs(site)) == 1)
            page.wait_for_timeout(1000)  # so that what was sent has been heard here
            click = next(frame for frame in sent[name][first:] if b"-check:pca" in frame)
        opening = sent[name][0]
        context.close()
    by = queue.status(site.workspaces["lab"], next(iter(_jobs(site)))).by
    assert by == "eva@example.org"
    for cookie, expected in ((cookies["vic"], 1), (cookies["eva"], 2)):
        _replay(site, cookie, [opening, click])
        if expected == 2:  # the same bytes do start a job for whoever may: the test above can fail
            _until(lambda: len(_jobs(site)) >= 2)
        assert len(_jobs(site)) == expected


def _jobs(site) -> set[str]:
    return {job.id for job in queue.listing(site.workspaces["lab"])}


def _until(true, seconds: float = 40) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


def _replay(site, cookies: dict, frames: list[bytes]) -> None:
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    url = site.url.replace("http:", "ws:") + "/_stcore/stream"
    protocols = ["streamlit", cookies["_streamlit_xsrf"]]
    with connect(
        url, origin=site.url, subprotocols=protocols, additional_headers={"Cookie": header}
    ) as socket:
        for frame in frames:
            socket.send(frame)
            answer(socket)


def test_a_worker_knows_no_secret(site):
    """After the test above a worker runs."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            said, line = environ.read_bytes(), (environ.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if b"analysis.jobs.worker" in line and str(site.workspaces["lab"]).encode() in line:
            found.append(said)
    assert found, "no worker to look at"
    for said in found:
        assert SECRET.encode() not in said
        assert COOKIE_SECRET.encode() not in said
        assert b"LOUPE_HOSTED=1" in said


def test_without_its_own_token_a_connection_with_the_right_cookie_is_nobodys(site, browser):
    """XSRF: the cookie alone, as another site's page would send it, is not enough for Streamlit to know her."""
    context = browser.new_context()
    page = context.new_page()
    sent: list[bytes] = []
    page.on("websocket", lambda ws: ws.on("framesent", lambda data: sent.append(data)))
    sign_in(page, site, "vic", "/workspace?ws=lab")
    cookies = {c["name"]: c["value"] for c in context.cookies(site.url)}
    context.close()
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    url = site.url.replace("http:", "ws:") + "/_stcore/stream"
    said = {}
    for token in (cookies["_streamlit_xsrf"], "2|00000000|00000000000000000000000000000000|1"):
        with connect(url, origin=site.url, subprotocols=["streamlit", token],
                     additional_headers={"Cookie": header}, max_size=None) as socket:  # fmt: skip
            socket.send(sent[0])
            said[token] = answer(socket)
    good, bad = said.values()
    assert b"images" in good
    assert b"images" not in bad
    assert b"signed out" in bad


PAGES = (
    f"/?tap={quote('evil:pooled')}&colour={quote(EVIL[0])}&sel={quote(EVIL[1])}",
    f"/features?tap={quote('evil:pooled')}&q={quote(EVIL[0])}",
    f"/features?tap={quote('evil:pooled')}&unit=0",
    "/workspace?show=selections",
    "/workspace?show=stores&store=evil",
    f"/workspace?show=import&dump={quote('/tmp/' + EVIL[0])}&dump_name={quote(EVIL[1])}",
    f"/workspace?show=record&checkpoint={quote(EVIL[0])}&data={quote(EVIL[2])}",
    f"/analyses?method=pca&tap={quote('evil:pooled')}&p.column={quote(EVIL[0])}",
    f"/analyses?method={quote(EVIL[0])}",
    f"/dictionaries?view=import&path={quote(EVIL[0])}&set_name={quote(EVIL[1])}",
    f"/subspaces?tap={quote('evil:pooled')}&p.column={quote(EVIL[0])}",
    f"/compare?tap={quote('evil:pooled')}&tap2={quote('evil:pooled')}&with={quote(EVIL[3])}",
)
MADE_OF_IT = """() => [...document.querySelectorAll('img, iframe, a, svg, script, [onerror], [onload]')]
    .filter(e => [...e.attributes].some(a => a.value.includes('pwned')) || e.text?.includes('pwned'))
    .filter(e => !(e.tagName == 'A' && e.protocol.startsWith('http'))).map(e => e.outerHTML)"""


def test_markup_and_script_from_anywhere_is_shown_as_text_and_runs_nowhere(site, page):
    sign_in(page, site, "ada", "/workspace?ws=lab")
    shown = ""
    for path in PAGES:
        page.goto(site.url + path + ("&" if "?" in path else "?") + "ws=lab")
        page.wait_for_timeout(500)
        settled(page)
        assert page.evaluate("() => window.pwned") is None, path
        for frame in page.frames:
            assert frame.evaluate("() => window.pwned") is None, path
        assert page.evaluate(MADE_OF_IT) == [], path
        shown += page.locator("body").inner_text()
    assert "window.pwned=1" in shown, "some of it is there to be read"
    assert re.search(r"<img src=x onerror", shown)
