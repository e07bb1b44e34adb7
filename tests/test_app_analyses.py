"""The analyses page: form, refusal, run, result, link, check."""

from __future__ import annotations

import shutil
import sys

import pytest
from app_pages import button, is_whole, open_page, texts, url
from page_stores import make_workspace

from analysis import registry
from analysis.jobs import queue

TAP = "images:pooled"


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    workspace = make_workspace(tmp_path_factory.mktemp("analyses") / "ws")
    yield workspace
    shutil.rmtree(workspace.path)  # its worker ends with it


@pytest.fixture(autouse=True)
def _at_full(full, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(full.path))


@pytest.mark.parametrize("method", registry.methods())
def test_every_method_has_its_form(method):
    at = open_page("analyses", tap=TAP, method=method)
    assert is_whole(at), texts(at)
    assert url(at)["method"] == [method]
    assert button(at, "Run") or at.error or at.warning


def test_a_run_gives_the_result_and_a_link_shows_it_at_once(full):
    at = open_page("analyses", tap=TAP, method="pca")
    assert "Nothing computed with these settings yet" in texts(at)
    button(at, "Run").click().run(timeout=60)
    job = queue.listing(full.path)[0]
    assert queue.wait(full.path, job.id, timeout=60).state == "done"
    again = open_page("analyses", tap=TAP, method="pca")
    assert button(again, "Run") is None
    assert "shown at once" in texts(again)
    assert again.get("plotly_chart")
    assert any("null-band" in html.proto.body for html in again.get("html"))  # the strip of nulls
    assert "analysis.open_workspace" in texts(again)
    again.session_state["export:pca"] = True
    assert {b.proto.label for b in again.run().get("download_button")} >= {
        "PDF",
        "SVG",
        "PNG",
        "CSV",
        "LaTeX",
        "Recipe",
    }


def test_parameters_are_in_the_url():
    at = open_page("analyses", tap=TAP, method="pca")
    box = next(s for s in at.selectbox if s.label == "Components")
    box.set_value(box.options[-1] if isinstance(box.value, str) else 3).run()
    assert url(at)["p.components"] == ["3"]
    at = open_page("analyses", tap=TAP, method="pca", **{"p.components": "17"})
    assert is_whole(at)


def test_another_method_forgets_the_parameters_of_the_last():
    at = open_page("analyses", tap=TAP, method="pca", seed="5", **{"p.components": "3"})
    next(s for s in at.selectbox if s.label == "Analysis").set_value("pca_spectrum").run()
    assert url(at)["method"] == ["pca_spectrum"]
    assert "p.components" not in url(at)
    assert "seed" not in url(at)


def test_an_unknown_method_is_the_first_one():
    at = open_page("analyses", tap=TAP, method="no such method")
    assert is_whole(at)
    assert button(at, "Run") or "shown at once" in texts(at)


def test_too_little_data_is_refused_with_the_reason():
    at = open_page("analyses", tap="zz-single:" + next(iter_taps("zz-single")), method="pca_spectrum")
    assert is_whole(at)
    assert any("Expected" in e.value for e in at.error)
    assert button(at, "Run") is None
    assert "Press" not in texts(at)  # there is no button to press


def test_what_is_open_is_in_the_link(full):
    at = open_page("analyses", tap=TAP, method="pca", about="true")
    assert is_whole(at)
    said = registry.method("pca").function.__module__
    words = sys.modules[said].__doc__.strip()
    assert words in [code.value for code in at.code]
    at = open_page("analyses", tap=TAP, method="pca")
    assert words not in [code.value for code in at.code]


def test_a_refused_projection_leaves_the_way_to_another():
    at = open_page("map", tap="zz-single:" + next(iter_taps("zz-single")), by="umap")
    assert is_whole(at)
    assert at.error
    assert any(box.label == "Projection" for box in at.selectbox)


def iter_taps(store):
    from dashboard import state

    return iter(state.workspace().store(store).taps)


def test_a_failed_run_says_why_and_can_be_started_again(full):
    work = {"method": "pca", "inputs": [TAP], "params": {}, "seed": 77}
    id = queue.submit(full.path, "method", work, title="PCA", start=False)
    folder = full.path / "jobs" / id
    (folder / "taken").touch()
    error = {"found": "<b>a row</b> of *stars*", "expected": "none", "remedy": "look at it"}
    queue.write_json(folder / "outcome.json", {"state": "failed", "error": error, "seconds": 1.0})
    at = open_page("analyses", tap=TAP, method="pca", seed="77")
    assert is_whole(at)
    assert "&lt;b&gt;a row" in at.error[0].value  # escaped: a file's name is not markup
    assert "What to do" in at.error[0].value
    assert button(at, "Start again") is not None


def test_the_check_reports_expected_and_got(full):
    report = {
        "method": "pca", "passed": False, "seconds": 0.1, "error": "",
        "lines": [{"name": "share", "expected": 1.0, "got": 0.5, "tolerance": 0.1, "relation": "within",
                   "passed": False}],
    }  # fmt: skip
    id = queue.submit(full.path, "check", {"method": "pca"}, start=False)
    (full.path / "jobs" / id / "taken").touch()
    queue.write_json(
        full.path / "jobs" / id / "outcome.json", {"state": "done", "result": report, "seconds": 0.1}
    )
    from streamlit.testing.v1 import AppTest

    def page():
        from analysis import registry
        from dashboard.parts import check_block

        check_block.draw(registry.method("pca"))

    at = AppTest.from_function(page).run()
    assert not at.exception
    assert "failed" in at.error[0].value
    assert at.dataframe[0].value["Got"][0] == "0.5"
