"""The Basket page and the button that fills it: thin, editable by editors, and restored by its address."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from app_pages import is_whole, open_page, texts
from streamlit.testing.v1 import AppTest
from test_figures_planted import curve

from analysis import access
from analysis.access import Person
from analysis.sharing.baskets.shelf import Baskets, rewritten
from analysis.workspace import Workspace
from dashboard.baskets.adding import add

SAMPLE = Path(__file__).parents[1] / "sample_data"
TAP = "digits-vit:vit.layers.3"


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    place = tmp_path / "workspace"
    place.mkdir()
    shutil.copy(SAMPLE / "workspace" / "workspace.json", place)
    (place / "stores").symlink_to(SAMPLE / "workspace" / "stores")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(place))
    return Workspace.open(place)


@pytest.fixture
def filled(workspace) -> Workspace:
    add(workspace, "mine", workspace.run("pca_spectrum", [TAP], {"draws": 20}), {})
    add(workspace, "mine", curve(8, 2, origin=None, title="Drawn <b>by</b> hand"), {})
    return workspace


def test_without_a_basket_it_says_how_to_begin(workspace):
    at = open_page("basket")
    assert is_whole(at), texts(at)
    assert "Add to basket" in texts(at)


def test_panels_texts_and_figure_are_shown(filled):
    at = open_page("basket", width="single", columns="1", grey="true", text="tex")
    assert is_whole(at), texts(at)
    assert not at.error
    said = " ".join(block.value for block in at.code)
    assert "Eigenvalue spectrum" in said
    assert "digits-\\allowbreak{}vit" in said  # as LaTeX
    assert "@inproceedings{garrido2023rankme" in said
    assert "<b>" not in "".join(m.value for m in at.markdown)
    assert {"Earlier", "Later", "Take out"} <= {b.help for b in at.button if b.help}
    labels = [b.proto.label for b in at.get("download_button")]
    assert {"PDF", "SVG", "PNG", "Everything (zip)"} <= set(labels)


def test_panels_are_moved_and_taken_out(filled):
    shelf = Baskets(filled.path)
    first, second = (panel.id for panel in shelf.open("mine").panels)
    at = open_page("basket")
    at.button(key=f"Later:{first}").click().run(timeout=60)
    assert [p.id for p in shelf.open("mine").panels] == [second, first]
    at.button(key=f"Take out:{first}").click().run(timeout=60)
    assert [p.id for p in shelf.open("mine").panels] == [second]
    assert is_whole(at), texts(at)


def test_an_arrangement_is_in_the_address_until_it_is_kept(filled):
    shelf = Baskets(filled.path)
    at = open_page("basket", columns="1", letters="(a)", widths="1", share="false")
    assert shelf.open("mine").columns == 2
    next(b for b in at.button if b.label == "Keep for everybody").click().run(timeout=60)
    now = shelf.open("mine")
    assert (now.columns, now.letters, now.widths, now.share) == (1, "(a)", (1.0,), False)
    assert "columns" not in at.query_params


def test_a_title_that_somebody_else_changed_is_not_written_over(filled):
    shelf = Baskets(filled.path)
    id = shelf.open("mine").panels[0].id
    at = open_page("basket", **{f"open__{id}": "true"})
    box = next(t for t in at.text_input if t.label == "Title beside the letter")
    shelf.change("mine", rewritten("title", "", "hers", id))
    box.set_value("his").run(timeout=60)
    assert shelf.open("mine").panel(id).title == "hers"
    assert "hers" in texts(at)
    assert not at.exception


def test_a_missing_result_is_offered_as_a_job(filled):
    key = filled.key("pca_spectrum", [TAP], {"draws": 20})
    filled.cache.path(key).unlink()
    at = open_page("basket")
    assert is_whole(at), texts(at)
    assert any(b.label.startswith("Compute panel a") for b in at.button)
    assert "there is no figure yet" in texts(at)


def test_a_viewer_sees_it_and_changes_nothing(filled, monkeypatch):
    monkeypatch.setattr(access, "_provider", lambda: Person("guest", "viewer"))
    at = open_page("basket", columns="1")
    assert is_whole(at), texts(at)
    editing = [
        b for b in at.button if b.help in ("Earlier", "Later", "Take out") or b.label == "Keep for everybody"
    ]
    assert len(editing) == 7
    assert all(b.disabled for b in editing)


def test_a_damaged_basket_is_a_sentence(filled):
    (Baskets(filled.path).path("mine") / "basket.json").write_text("{")
    at = open_page("basket")
    assert not at.exception
    assert "is not a basket" in texts(at)


def test_the_button_puts_a_figure_into_a_basket(workspace):
    def page():
        from test_figures_planted import curve

        from dashboard.parts import basket_button

        basket_button.draw(curve(9, 2, origin=None), "here", {"part": "figure"})

    at = AppTest.from_function(page).run(timeout=60)
    assert not at.exception, at.exception
    at.button(key="basket add:here").click().run(timeout=60)
    assert "Added to the basket Figure 1" in at.success[0].value
    (panel,) = Baskets(workspace.path).open("Figure 1").panels
    assert panel.kept
    assert panel.options == {}
