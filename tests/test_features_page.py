"""The Features page: the list and the cards, opened with good, odd and hostile links."""

from __future__ import annotations

import app_pages
import numpy as np
import pytest

from analysis.store.index import FeatureIndex
from analysis.store.manifest import TapSpec
from analysis.store.writer import StoreWriter, TapBlock
from analysis.workspace import Workspace


def test_the_list(opened):
    at = app_pages.open_page("features", tap="images:blocks.0")
    assert app_pages.is_whole(at)
    table = at.dataframe[0].value
    assert len(table) == 16
    assert {"unit", "mean", "fraction_positive", "top_class"} <= set(table.columns)


def test_filters_are_in_the_link(opened):
    at = app_pages.open_page("features", tap="images:blocks.0", kind="dead")
    assert at.dataframe[0].value["unit"].tolist() == [0]
    at = app_pages.open_page("features", tap="images:blocks.0", search="2-4", order="mean")
    assert sorted(at.dataframe[0].value["unit"]) == [2, 3, 4]
    at = app_pages.open_page("features", tap="images:blocks.0", kind="starred", search="nothing")
    assert app_pages.is_whole(at)
    assert "No unit passes" in app_pages.texts(at)


@pytest.mark.parametrize("tap", ["images:blocks.0", "images:pooled", "texts:h.0", "table:mlp", "zz-single:t"])
@pytest.mark.parametrize("unit", ["0", "1"])
def test_a_card_of_every_sort_of_store(opened, tap, unit):
    at = app_pages.open_page("features", tap=tap, unit=unit)
    assert app_pages.is_whole(at), app_pages.texts(at)
    assert f"Unit {unit}" in app_pages.texts(at)


@pytest.mark.parametrize("name", ["tap", "unit", "kind", "search", "class", "order", "rising", "more", "sel"])
def test_hostile_links_are_ignored(opened, name):
    for value in app_pages.HOSTILE:
        at = app_pages.open_page("features", **{"tap": "images:blocks.0", name: value})
        assert app_pages.is_whole(at), (name, value[:40])
        assert "<script>" not in app_pages.texts(at)


@pytest.mark.parametrize("unit", ["99999", "-1", "1.5", "<script>", "3 "])
def test_a_unit_that_is_not_there_shows_the_list(opened, unit):
    at = app_pages.open_page("features", tap="images:blocks.0", unit=unit)
    assert app_pages.is_whole(at)
    assert len(at.dataframe) or "Unit 3" in app_pages.texts(at)


@pytest.mark.parametrize("n", [0, 5])
def test_an_unfinished_store_is_said_in_words(tmp_path, monkeypatch, n):
    workspace = Workspace.create(tmp_path / "w")
    with StoreWriter.create(
        workspace.path / "stores" / "half", name="half", taps=[TapSpec("t", 3, "float32")]
    ) as w:
        if n:
            w.append({"id": list("abcde")}, {"t": TapBlock(np.random.default_rng(0).standard_normal((n, 3)))})
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    for params in ({}, {"unit": "1"}):
        at = app_pages.open_page("features", tap="half:t", **params)
        assert app_pages.is_whole(at)
        assert "unfinished" in app_pages.texts(at)
        assert app_pages.is_whole(app_pages.open_page("map", tap="half:t", **params))


def test_an_empty_workspace_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "new"))
    at = app_pages.open_page("features")
    assert app_pages.is_whole(at)
    assert "Record" in app_pages.texts(at)


def test_star_and_note_are_kept(opened):
    at = app_pages.open_page("features", tap="images:pooled", unit="7")
    at = app_pages.button(at, "Star").click().run()
    assert opened.stars("images", "pooled") == (7,)
    assert app_pages.button(at, "Starred") is not None
    at.text_area[0].set_value("sees <b>edges</b>")
    at = app_pages.button(at, "Keep the note").click().run()
    assert opened.notes("images", "pooled") == {7: "sees <b>edges</b>"}
    assert app_pages.is_whole(at)
    again = app_pages.open_page("features", tap="images:pooled", unit="7")
    assert again.text_area[0].value == "sees <b>edges</b>"


def test_next_and_previous_follow_the_list(opened):
    at = app_pages.open_page("features", tap="images:blocks.0", unit="3", search="2-4")
    at = app_pages.button(at, "Next").click().run()
    assert app_pages.url(at)["unit"] == ["4"]
    assert app_pages.button(at, "Next").disabled
    at = app_pages.button(at, "Previous").click().run()
    assert app_pages.url(at)["unit"] == ["3"]
    at = app_pages.button(at, "All units").click().run()
    assert "unit" not in app_pages.url(at)
    assert app_pages.url(at)["search"] == ["2-4"]


def test_the_card_says_what_chance_gives(opened):
    said = app_pages.texts(app_pages.open_page("features", tap="images:blocks.0", unit="3"))
    assert "shuffled labels" in said
    assert "far beyond chance" in said


def test_weaker_examples_are_read_when_opened(opened, monkeypatch):
    """Closed, no band is read; opened, each says its range and how many rows it holds."""
    read, real = [], FeatureIndex.bands
    monkeypatch.setattr(FeatureIndex, "bands", lambda self, unit: read.append(unit) or real(self, unit))
    at = app_pages.open_page("features", tap="images:blocks.0", unit="1")
    assert not read
    at = app_pages.open_page("features", tap="images:blocks.0", unit="1", bands="true")
    assert read == [1]
    assert app_pages.is_whole(at)
    assert sum("some of them at random" in c.value for c in at.caption) == len(
        opened.store("images").index("blocks.0").bands(1)
    )
