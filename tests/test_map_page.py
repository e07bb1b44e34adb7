"""The Map page, opened as a browser would with good, odd and hostile links."""

from __future__ import annotations

import re

import app_pages
import numpy as np
import pytest

from analysis import registry
from analysis.jobs import queue
from analysis.selection import Selection
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.browse import projections, selections
from dashboard.components import map_panel
from dashboard.components.sample_map import _event
from dashboard.parts import on_demand


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


def test_another_projection_is_computed_when_it_is_chosen(opened):
    """Quick work starts by the choice itself; meanwhile there is PCA."""
    at = app_pages.open_page("map", tap="images:pooled", by="umap")
    assert app_pages.is_whole(at)
    assert "Meanwhile" in app_pages.texts(at)
    job = next(j for j in queue.listing(opened.path) if j.arguments.get("method") == "umap")
    assert queue.wait(opened.path, job.id, timeout=120).state == "done"
    at = app_pages.open_page("map", tap="images:pooled", by="umap")
    assert "Meanwhile" not in app_pages.texts(at)


def test_long_work_is_offered_with_its_time(opened, monkeypatch):
    monkeypatch.setattr(on_demand, "STARTS", 0.0)
    at = app_pages.open_page("map", tap="images:pooled", by="tsne")
    assert any(re.search(r"t-SNE \((about|less than)", b.label) for b in at.button)
    assert "Meanwhile" in app_pages.texts(at)


def test_a_cancelled_projection_leaves_the_page_usable(opened):
    work = {"method": "pacmap", "inputs": ["images:pooled"], "params": {}, "seed": 0}
    id = queue.submit(opened.path, "method", work, title="PaCMAP", start=False)
    queue.cancel(opened.path, id)  # the worker of an earlier test may have taken it already
    assert queue.wait(opened.path, id, timeout=60).state == "cancelled"
    at = app_pages.open_page("map", tap="images:pooled", by="pacmap")
    said = app_pages.texts(at)
    assert app_pages.is_whole(at), said
    assert "cancelled" in said
    assert "Meanwhile" in said
    assert app_pages.button(at, "Start again")


@pytest.mark.parametrize("second", ["null", "by:umap", "at:images:blocks.0", "at:texts:h.0"])
def test_a_second_map(opened, second):
    at = app_pages.open_page("map", tap="images:pooled", second=second, together="true", sel="~" + "0" * 16)
    assert app_pages.is_whole(at), app_pages.texts(at)


def test_the_null_is_one_click_away(opened):
    if "map_null" not in registry.methods():
        pytest.skip("the method is not installed")
    at = app_pages.open_page("map", tap="images:pooled")
    at = app_pages.button(at, "Show the null beside it").click().run(timeout=60)
    assert app_pages.url(at)["second"] == ["null"]
    assert app_pages.is_whole(at), app_pages.texts(at)
    assert "What noise looks like" in app_pages.texts(at)
    assert not any(b.label.startswith("Draw what noise looks like") for b in at.button)


def test_a_series_says_how_much_moves(opened, monkeypatch):
    """The scrubber's note holds the residual of the alignment and what unrelated points would give."""
    x = np.random.default_rng(0).standard_normal((240, 16))
    ids = [str(i) for i in range(240)]
    for k in (1, 2):
        write_store(
            opened.path / "stores" / f"step {k}", name=f"step {k}", taps={"t": x * k + k}, samples={"id": ids}
        )
    seen, real = [], map_panel.sample_map
    monkeypatch.setattr(map_panel, "sample_map", lambda p, **more: seen.append(p) or real(p, **more))
    at = app_pages.open_page("map", tap="step 1:t", by="aligned_series", **{"with": ["step 1:t", "step 2:t"]})
    assert app_pages.is_whole(at), app_pages.texts(at)
    series = seen[-1].series
    assert len(series.frames) == len(series.names) == 2
    assert "at most 0% of the squared places is movement (unrelated points: " in series.note


def test_the_default_and_its_reason_are_said(opened):
    said = app_pages.texts(app_pages.open_page("map", tap="images:pooled")).replace("\\", "")
    assert projections.why() in said
    assert projections.why().startswith("★ LocalMAP is the neighbour map to begin with")


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
