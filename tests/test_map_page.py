"""The Map page, opened as a browser would with good, odd and hostile links."""

from __future__ import annotations

import app_pages
import pytest

from analysis.selection import Selection
from analysis.workspace import Workspace
from dashboard.browse import selections
from dashboard.components.sample_map import _event


def test_the_first_picture(opened):
    at = app_pages.open_page("map", tap="images:pooled")
    assert app_pages.is_whole(at)
    said = app_pages.texts(at)
    assert "Nothing selected" in said
    assert "variance" in said  # what can be read off it
    assert app_pages.url(at)["tap"] == ["images:pooled"]


def test_an_empty_workspace_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "new"))
    at = app_pages.open_page("map")
    assert app_pages.is_whole(at)
    assert "Record" in app_pages.texts(at)


@pytest.mark.parametrize("tap", ["texts:h.0", "table:mlp", "images:blocks.0"])
@pytest.mark.parametrize("of", ["rows", "units"])
def test_every_sort_of_store(opened, tap, of):
    at = app_pages.open_page("map", tap=tap, of=of, focus="1")
    assert app_pages.is_whole(at), app_pages.texts(at)


def test_one_sample_is_refused_in_words(opened):
    at = app_pages.open_page("map", tap="zz-single:t")
    assert app_pages.is_whole(at)
    assert "at least" in app_pages.texts(at)


@pytest.mark.parametrize("name", ["tap", "by", "of", "colour", "unit", "sel", "focus", "view", "hide"])
def test_hostile_links_are_ignored(opened, name):
    for value in app_pages.HOSTILE:
        at = app_pages.open_page("map", **{"tap": "images:pooled", name: value})
        assert app_pages.is_whole(at), (name, value[:40])
        assert "<script>" not in app_pages.texts(at)


@pytest.mark.parametrize(
    "params",
    [
        {"colour": "unit", "unit": "99999"},
        {"colour": "unit", "unit": "3"},
        {"colour": "map:distance to plane"},
        {"colour": "none"},
        {"colour": "source"},
        {"focus": "99999"},
        {"tap": "no such:tap"},
    ],
)
def test_odd_links(opened, params):
    assert app_pages.is_whole(app_pages.open_page("map", **{"tap": "images:blocks.0", **params}))


def test_a_selection_in_the_link_is_described(opened):
    ids = tuple(str(i) for i in range(1, 120, 3))  # class b
    saved = opened.save_selection(Selection("all b", "samples", "images", "pooled", ids))
    at = app_pages.open_page("map", tap="images:pooled", sel="all b")
    said = app_pages.texts(at)
    assert app_pages.is_whole(at)
    assert "all b (40 samples)" in said.replace("\\", "")
    assert "standard deviations apart" in said
    lasso = selections.keep(opened, saved)
    said = app_pages.texts(app_pages.open_page("map", tap="images:blocks.0", sel=lasso))
    assert "40 samples" in said
    assert "standard deviations apart" in said


def test_naming_a_selection(opened):
    lasso = selections.keep(opened, Selection("", "samples", "images", "pooled", ("1", "4", "7")))
    at = app_pages.open_page("map", tap="images:pooled", sel=lasso)
    next(t for t in at.text_input if t.label == "Name").set_value("three <b> of them")
    at = app_pages.button(at, "Save").click().run()
    assert app_pages.is_whole(at)
    assert Workspace.open(opened.path).selection("three <b> of them").ids.tolist() == ["1", "4", "7"]
    assert app_pages.url(at)["sel"] == ["three <b> of them"]


def test_another_projection_without_result_offers_to_compute_it(opened):
    at = app_pages.open_page("map", tap="images:pooled", by="umap")
    assert app_pages.is_whole(at)
    assert any("UMAP" in b.label for b in at.button)
    assert "Meanwhile" in app_pages.texts(at)


def test_what_a_browser_sends_is_checked():
    for answer in (
        {},
        {"select": 3},
        {"hover": {"row": 10}},
        {"hover": {"row": True}},
        {"click": {"row": "1"}},
    ):
        event = _event(answer, 10)
        assert (event.selected, event.hovered, event.clicked) == (None, None, None)
    assert _event({"select": {"mask": "AA==", "n": 11}}, 10).selected is None
    assert _event({"view": {"box": [0, "x"], "hidden": [1, "y"]}}, 10).view == {"box": None, "hidden": [1]}
    assert _event({"click": {"row": 3}}, 10).clicked == 3
