"""Colleagues in their own browsers: what one makes the others open, see the same, answer, and change at the same time.

Eva (editor) makes, Ada (owner) answers and writes at the same time, Vic (viewer) looks, Sam is a stranger. Once with
SQLite in the workspace and all places; once with PostgreSQL and the places where people write: what the others show is
in no database, and how a link comes out of one is seen at these.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import page_stores
import pytest
from grave_faults import grave
from hosts import Site

from analysis.access import Person, acting_as
from analysis.people import Thing
from analysis.workspace import Workspace
from dashboard.hosting.roles import Members

CHROMIUM = Path("/usr/bin/chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip
SLOW = 120_000  # milliseconds: other work may be going on on the same cores
SAMPLE = Path(__file__).parents[1] / "sample_data"
TAP, UNIT, CHANGED = "digits-vit:vit.layers.3", 7, "images:pooled"
CARD = f"/features?tap={TAP}&unit={UNIT}"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    shutil.copytree(SAMPLE, folder / "sample")
    lab = Workspace.open(folder / "sample" / "workspace")
    page_stores.images(lab.path / "stores" / "images")
    lab.run("pca", [CHANGED])
    with acting_as(Person("ada@example.org", "owner")):
        Members(lab.path).put("eva@example.org", "editor")
        Members(lab.path).put("vic@example.org", "viewer")
    more = {}
    if request.param == "postgresql":
        server = request.getfixturevalue("server")
        server.sql("CREATE DATABASE together")
        more = {"LOUPE_DATABASE_URL": server.url("together")}
    with Site(folder, {"lab": lab.path}, **more).running() as site:
        site.lab, site.database = lab, more
        yield site


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        opened = p.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def at(site, browser):
    """Everybody's page, signed in: at["eva"]."""
    contexts, pages = [], {}
    for name in ("eva", "ada", "vic", "sam"):
        contexts.append(browser.new_context(viewport={"width": 1440, "height": 900}))
        page = pages[name] = contexts[-1].new_page()
        page.set_default_timeout(SLOW)
        page.goto(site.url)
        page.get_by_role("link", name="Sign in").click()
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("button", name="Sign out").wait_for()
    yield pages
    for context in contexts:
        context.close()


@pytest.fixture
def people(site, monkeypatch):
    """What is really kept."""
    for name, value in site.database.items():
        monkeypatch.setenv(name, value)
    return Workspace.open(site.lab.path).people


WAITING = "[data-testid=stStatusWidget], [data-testid=stSkeleton]"


def settled(page) -> None:
    page.wait_for_timeout(500)
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')"
    )
    page.wait_for_timeout(400)


def goes(page, address: str) -> None:
    page.goto(address)
    page.get_by_test_id("stSidebar").wait_for(state="attached")
    settled(page)


PICTURE = """() => {
  const main = document.querySelector('[data-testid=stMain]');
  const at = selector => [...main.querySelectorAll(selector)].filter(e => !e.closest('.st-key-tour'));
  return {
    heads: at('h1, h2, h3, h4, h5').map(e => e.innerText),
    metrics: at('[data-testid=stMetric]').map(e => e.innerText),
    boxes: at('input').map(e => [e.getAttribute('aria-label'), e.value, e.checked]),
    chosen: at('[aria-pressed=true], [aria-checked=true], [aria-selected=true]').map(e => e.innerText),
    charts: at('.js-plotly-plot').map(e => JSON.stringify(e.data, (k, v) => ArrayBuffer.isView(v) ? [...v] : v)),
    points: at('.js-plotly-plot').map(e => e._fullData.flatMap(t => [...t.x ?? []]).filter(Number.isFinite)
      .map(x => x.toPrecision(5)).sort().join()),
    said: at('[data-testid=stMarkdownContainer] p')
      .filter(e => !e.closest('form, button, label')).map(e => e.innerText),
  };
}"""


DRAWN = {"/": ".map canvas[role=application]", "/tokens": ".js-plotly-plot", "/analyses": ".js-plotly-plot"}


def picture(page) -> dict:
    """What the page shows: headings, numbers, choices, the numbers of its charts, its sentences, what the map holds."""
    main = DRAWN.get(urlsplit(page.url).path)
    if main and "then" not in page.url:
        page.locator(main).first.wait_for(timeout=4 * SLOW)  # on Tokens a job runs the network first
    seen, before = page.evaluate(PICTURE), None
    for _ in range(60):  # charts come one by one
        if seen == before:
            break
        page.wait_for_timeout(700)
        before, seen = seen, page.evaluate(PICTURE)
    seen["charts"] = [hashlib.sha256(text.encode()).hexdigest() for text in seen["charts"]]
    maps = page.locator(".map canvas[role=application]")
    seen["map"] = [maps.first.get_attribute("aria-label")] if maps.count() else []
    return seen


def state_of(url: str) -> dict:
    """What an address says about the picture."""
    ways = ("link", "tour", "step", "then")
    return {k: v for k, v in parse_qs(urlsplit(url).query).items() if k not in ways}


def share(page) -> tuple[str, str]:
    """The full address and a short link, as Share gives them."""
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Make a short link").click()
    short = page.get_by_test_id("stCode").filter(has_text="link=")
    short.wait_for()
    full = page.get_by_test_id("stCode").first.inner_text().strip()
    made = full, short.inner_text().strip()
    page.keyboard.press("Escape")
    settled(page)
    return made


def add_stop(page, title: str, words: str) -> None:
    page.get_by_role("button", name="Share").click()
    page.get_by_role("tab", name="A stop of a tour").click()
    panel = page.get_by_role("tabpanel", name="A stop of a tour")
    if title:
        panel.get_by_label("Title of a new tour").fill(title)
    panel.get_by_label("What to say here").fill(words)
    panel.get_by_role("button", name="Add this page").click()
    page.get_by_text(re.compile(r"^Stop \d of")).wait_for()
    page.keyboard.press("Escape")
    settled(page)


PLACES = {
    "map": f"/?tap={TAP}&colour=label",
    "features": CARD,
    "tokens": "/tokens?tap=digits-vit-patches:vit.layers.2&view=film",
    "analyses": f"/analyses?tap={CHANGED}&method=pca",
}


WRITTEN_ON = ("map", "features")


def places(site) -> dict[str, str]:
    """Where Eva goes."""
    return {place: at for place, at in PLACES.items() if not site.database or place in WRITTEN_ON}


@pytest.fixture(scope="module")
def made(site, at):
    """Eva looks around, selects, writes, and shares: by page its addresses and what she sees."""
    eva, found = at["eva"], {}
    for place, address in places(site).items():
        goes(eva, site.url + address)
        if place == "map":
            select(eva, "label = 4", "fours")
        if place == "features":
            eva.get_by_role("button", name="Star", exact=True).click()
            eva.get_by_role("button", name="Starred", exact=True).wait_for()
            note(eva, "sees the stroke of a 7")
            eva.get_by_role("button", name="Reply").first.or_(
                eva.get_by_text("Reply", exact=True).first
            ).click()
            reply(eva, "of some 1s too")
        full, short = share(eva)
        add_stop(eva, "" if found else "What it learned", f"words on {place}")
        goes(eva, full)
        found[place] = {"full": full, "short": short, "picture": picture(eva), "state": state_of(eva.url)}
    return found


def select(page, query: str, name: str) -> None:
    """Search the map and give what is found a name."""
    search = page.locator('[data-testid="stTextInput"] input').first
    search.fill(query)
    search.press("Enter")
    settled(page)
    save(page, name)


def save(page, name: str) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button", name="Save").click()
    settled(page)


def note(page, text: str) -> None:
    page.get_by_label("Note", exact=True).fill(text)
    page.get_by_role("button", name="Keep the note").click()
    settled(page)


def reply(page, text: str) -> None:
    page.get_by_placeholder("What you think of it").fill(text)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button", name="Reply").click()
    page.get_by_text(text).first.wait_for()
    settled(page)


@pytest.mark.parametrize(("who", "kind"), [("ada", "full"), ("vic", "short")])
@pytest.mark.parametrize("place", PLACES)
def test_whoever_opens_a_link_sees_the_same(site, at, made, place, kind, who):
    if place not in made:
        pytest.skip("seen with SQLite")
    page, mine = at[who], made[place]
    goes(page, mine[kind])
    assert state_of(page.url) == mine["state"]
    theirs = picture(page)
    said, hers = theirs.pop("said"), list(mine["picture"]["said"])
    seen = {k: v for k, v in mine["picture"].items() if k != "said"}
    if who == "vic":  # the boxes to write in are not there for her
        boxes = theirs.pop("boxes")
        assert all(box in seen["boxes"] for box in boxes)
        seen.pop("boxes")
    assert theirs == seen
    assert seen["heads"]
    if who == "ada":
        assert said == hers
    else:  # whose note stands where the others have a box to write in
        assert set(hers) <= {*said}, set(hers) - {*said}


def test_she_answers_and_the_other_finds_it(at, made, people):
    ada, vic, eva = at["ada"], at["vic"], at["eva"]
    goes(ada, made["features"]["short"])
    assert ada.get_by_text("of some 1s too").count()
    reply(ada, "only of thin ones")
    for page in (vic, eva):
        goes(page, made["features"]["short"])
        page.get_by_text("only of thin ones").wait_for()
    about = people.about(Thing.feature(*TAP.split(":"), UNIT))
    assert [(r.author, r.text) for r in about.replies] == [
        ("eva@example.org", "of some 1s too"), ("ada@example.org", "only of thin ones")]  # fmt: skip
    assert about.star.author == "eva@example.org"
    assert about.note.text == "sees the stroke of a 7"
    assert vic.get_by_text("sees the stroke of a 7").count()
    assert not vic.get_by_role("button", name="Keep the note").count()
    assert not vic.get_by_placeholder("What you think of it").count()
    assert vic.get_by_role("button", name="Starred", exact=True).is_disabled()


def test_she_plays_the_tour(site, at, made):
    vic = at["vic"]
    goes(vic, f"{site.url}/tours")
    assert vic.get_by_role("button", name="Edit").is_disabled()
    vic.get_by_role("button", name="Play").click()
    bar = vic.locator(".st-key-tour")
    for number, place in enumerate(made, 1):
        vic.get_by_text(f"Stop {number} of {len(made)}").wait_for()
        vic.get_by_text(f"words on {place}").wait_for()
        settled(vic)
        assert state_of(vic.url) == made[place]["state"], place
        seen = picture(vic)
        assert seen["heads"] == made[place]["picture"]["heads"]
        assert seen["charts"] == made[place]["picture"]["charts"]
        if number < len(made):
            vic.keyboard.press("Alt+ArrowRight") if number % 2 else bar.get_by_role(
                "button", name="Next"
            ).click()
    assert bar.get_by_role("button", name="Next").is_disabled()
    bar.get_by_role("button", name="End").click()
    vic.get_by_test_id("stSidebar").wait_for()


def test_a_stranger_is_told_that_she_has_no_role_and_sees_nothing(site, at, made):
    sam = at["sam"]
    addresses = [site.url + "/tours", *(mine[kind] for mine in made.values() for kind in ("full", "short"))]
    for address in addresses:
        sam.goto(address)
        sam.get_by_text("has no role in the workspace lab").wait_for()
        assert sam.get_by_text("Ask one of its owners").count()
        said = sam.locator("body").inner_text()
        for secret in ("stroke of a 7", "digits-vit", "fours", "What it learned", "words on", "images"):
            assert secret not in said, (address, secret)


def test_when_the_data_have_changed_both_are_offered(site, at, made):
    if "analyses" not in made:
        pytest.skip("seen with SQLite")
    vic, link = at["vic"], made["analyses"]
    goes(vic, link["short"])
    assert not vic.get_by_text("have changed").count()
    place = site.lab.path / "stores" / "images"
    shutil.rmtree(place)
    page_stores.images(place, n=180)
    goes(vic, link["short"])
    vic.get_by_text("its data have changed").wait_for()
    assert vic.get_by_text("by eva@example.org").count()
    vic.get_by_text("As it was then").click()
    settled(vic)
    assert "then=true" in vic.url
    points = picture(vic)["points"]
    assert len(points[0]) > 1000
    assert set(points) <= set(link["picture"]["points"]), "the figure is the one that Eva saw"
    vic.get_by_text("As it is now").click()
    settled(vic)
    assert vic.get_by_role("button", name="Run").is_disabled()


# ---------------------------------------------------------------------------- two who write at once
def test_two_who_write_one_note_lose_no_word(site, at, made, people):
    eva, ada, thing = at["eva"], at["ada"], Thing.feature(*TAP.split(":"), UNIT)
    for page in (eva, ada):
        goes(page, site.url + CARD)
    note(ada, "ADA: horizontal strokes")
    note(eva, "EVA: only in the upper half")
    eva.get_by_text("while you were writing").wait_for()
    assert people.about(thing).note.text == "ADA: horizontal strokes"
    if not site.database:  # the same page with both
        for scheme in ("dark", "light"):
            eva.emulate_media(color_scheme=scheme)
            settled(eva)
            assert not grave(eva), scheme
    eva.get_by_role("button", name="Keep the merged text").click()
    settled(eva)
    kept = people.about(thing).note
    assert " ".join(kept.text.split()) == "ADA: horizontal strokes EVA: only in the upper half"
    before = {change.before for change in people.history(thing, "note")}
    assert {"sees the stroke of a 7", "ADA: horizontal strokes"} <= before


def test_two_who_give_one_name_to_different_points_keep_both(site, at, made, people):
    eva, ada = at["eva"], at["ada"]
    for page, query in ((eva, "label = 1"), (ada, "label = 2")):
        goes(page, f"{site.url}/?tap={TAP}")
        search = page.locator('[data-testid="stTextInput"] input').first
        search.fill(query)
        search.press("Enter")
        settled(page)
    save(ada, "odd")
    save(eva, "odd")
    eva.get_by_text("Neither is lost").wait_for()
    twos = set(people.selection("odd").ids)
    assert people.selection("odd").author == "ada@example.org"
    eva.get_by_role("button", name="Keep both", exact=True).click()
    settled(eva)
    assert set(people.selection("odd").ids) == twos
    assert people.selection("odd 2").author == "eva@example.org"
    assert not set(people.selection("odd 2").ids) & twos
    assert state_of(eva.url)["sel"] == ["odd 2"]


def test_two_who_edit_one_tour_lose_nothing(site, at, made, people):
    eva, ada = at["eva"], at["ada"]
    for page in (eva, ada):
        goes(page, site.url + "/tours")
        page.get_by_role("button", name="Edit").click()
        page.get_by_label("Title", exact=True).wait_for()
        settled(page)
    ada.get_by_label("What it is about").fill("Ada says what it is about")
    ada.get_by_role("button", name="Save").click()
    settled(ada)
    eva.get_by_label("Title", exact=True).fill("What Eva calls it")
    eva.get_by_role("button", name="Save").click()
    eva.get_by_text("changed this tour meanwhile").wait_for()
    (tour,) = people.tours()
    assert (tour.title, tour.text) == ("What it learned", "Ada says what it is about")
    eva.get_by_role("button", name="Keep mine").click()
    settled(eva)
    (tour,) = people.tours()
    assert tour.title == "What Eva calls it"
    assert len(tour.steps) == len(made)
    assert "Ada says what it is about" in json.dumps(
        [c.before for c in people.history(Thing("tour", item=tour.id))]
    )
