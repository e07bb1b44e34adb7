"""Somebody who may only look: what she may not press is grey and says why; what she may press refuses nothing."""

from __future__ import annotations

import pytest
from app_pages import is_whole, texts
from hosted_pages import EDITOR, OWNER, VIEWER, hosted, open_as
from page_stores import make_workspace

from analysis.access import Person, acting_as
from analysis.people import Step, Thing
from analysis.selection import Selection
from dashboard.hosting import audit

TAP = "images:pooled"
PAGES = {
    "map": [("map", {}), ("map", {"sel": "odd"}), ("map", {"of": "units", "sel": "few"})],
    "features": [("features", {}), ("features", {"unit": "3"}), ("features", {"model": "true"})],
    "compare": [("compare", {}), ("compare", {"view": "correlations"}), ("compare", {"view": "pair"})],
    "subspaces": [("subspaces", {})],
    "dictionaries": [("dictionaries", {"view": v}) for v in ("train", "import", "sets", "encode", "certify")],
    "attribution": [("attribution", {})],
    "tokens": [("tokens", {"view": v}) for v in ("film", "rules", "roles")],
    "analyses": [("analyses", {"method": "pca"}), ("analyses", {"method": "kmeans"})],
    "workspace": [("workspace", {"show": s}) for s in ("stores", "record", "import", "selections", "jobs", "people")],
    "activity": [("activity", {})],
    "tours": [("tours", {}), ("tours", {"edit": "TOUR"})],
    "basket": [("basket", {})],
}  # fmt: skip
SPARED = {"Sign out"}  # ends the session, which a test has none of


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workspace = make_workspace(tmp_path_factory.mktemp("viewers") / "ws")
    with acting_as(Person(EDITOR, "editor")):
        workspace.run("pca", [TAP])
        workspace.save_selection(Selection("odd", "samples", "images", "pooled", ["1", "2", "3"]))
        workspace.save_selection(Selection("few", "units", "images", "pooled", [1, 2]))
        workspace.people.write(Thing.feature("images", "pooled", 3), "note", "sees edges")
        workspace.people.reply(Thing.feature("images", "pooled", 3), "I doubt it")
        link = workspace.people.short_link("map", {"tap": TAP})
        tour = workspace.people.save_tour("", "A tour", "", (Step(link, "look"),))
    return workspace, tour.id


@pytest.fixture
def serving(tmp_path, monkeypatch, made):
    with hosted(monkeypatch, tmp_path, {"lab": made[0].path}) as serving:
        yield serving


def seen_by(who: str, page: str, tour: str, **params):
    given = {"tap": TAP} | {name: tour if value == "TOUR" else value for name, value in params.items()}
    return open_as(who, page, **given)


def refused(serving) -> list[dict]:
    return [line for line in audit.read(serving.settings.audit) if line["what"] == "refused"]


@pytest.mark.parametrize("page", PAGES)
def test_nothing_that_a_viewer_may_press_is_refused(serving, made, page):
    workspace, tour = made
    before = workspace.people.feed(50)
    for name, params in PAGES[page]:
        at = seen_by(VIEWER, name, tour, **params)
        assert is_whole(at), texts(at)
        for place, button in enumerate(at.button):
            if button.disabled or button.label in SPARED:
                continue
            seen_by(VIEWER, name, tour, **params).button[place].click().run()
            assert not refused(serving), (params, button.label, refused(serving))
        assert not refused(serving), params
    assert workspace.people.feed(50) == before


@pytest.mark.parametrize("page", PAGES)
def test_what_is_grey_for_her_alone_says_why(serving, made, page):
    for name, params in PAGES[page]:
        hers, owners = (seen_by(who, name, made[1], **params) for who in (VIEWER, OWNER))
        may = {b.key for b in owners.button if b.key and not b.disabled}
        for button in hers.button:
            if button.disabled and button.key in may and (button.key or "").partition(":")[0] not in BASKETS:
                assert "Your role in this workspace is viewer" in button.help, (params, button.label)


BASKETS = ("Earlier", "Later", "Take out", "draft")  # whose editor says it above them


@pytest.mark.parametrize(
    ("page", "label", "params"),
    [("analyses", "Run", {"method": "kmeans"}), ("tours", "Edit", {}), ("workspace", "Look inside", {"show": "record"}),
     ("analyses", "Check this method", {"method": "pca", "check": "true"}), ("features", "Star", {"unit": "3"})],
)  # fmt: skip
def test_an_editor_may_press_what_a_viewer_sees_grey(serving, made, page, label, params):
    at = {who: seen_by(who, page, made[1], **params) for who in (VIEWER, EDITOR)}
    found = {who: next(b for b in at[who].button if b.label == label) for who in at}
    assert found[VIEWER].disabled
    assert "takes the role of editor" in found[VIEWER].help
    assert "Your role" not in (found[EDITOR].help or "")


def test_a_page_that_begins_work_by_itself_begins_none_for_her(serving, made, monkeypatch):
    """Nothing was pressed, so nothing is refused: the page says that nobody asked for it yet."""
    from dashboard import allowed

    seen_by(VIEWER, "map", made[1])
    with acting_as(Person(VIEWER, "viewer")):
        assert _said(lambda: allowed.starts("What <b>if")) == "What &lt;b&gt;if"
    with acting_as(Person(EDITOR, "editor")):
        assert _said(lambda: allowed.starts("What if")) == ""


def _said(ask) -> str:
    from unittest.mock import patch

    with patch("streamlit.info") as info:
        ask()
    return info.call_args[0][0].partition(":")[0] if info.called else ""
