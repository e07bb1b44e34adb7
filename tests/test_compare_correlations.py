"""The Correlations view of the Compare page: every question, pairs, links good and hostile, and what is refused."""

from __future__ import annotations

import json
import shutil

import app_pages
import pytest
from app_pages import button, is_whole, texts, url

from analysis.results import Matrix
from analysis.spec import Cost
from analysis.store.from_arrays import write_store
from dashboard.browse import correlation_kinds, heat_range

POOLED, TOKENS = "images:pooled", "images:blocks.0"


def open_page(**params):
    return app_pages.open_page("compare", **{"view": "correlations", **params})


def heat(at) -> dict | None:
    """What the heat map on the page was told; None where there is none."""
    found = [e.proto for e in at.get("bidi_component") if e.proto.component_name == "loupe_heat"]
    return json.loads(found[0].json) if found else None


def links(at) -> list[str]:
    """Where the page's Markdown leads."""
    return [m.value for m in at.markdown if "](features?" in m.value]


@pytest.mark.parametrize("what", correlation_kinds.KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("tap", [POOLED, TOKENS, "texts:h.0", "table:mlp", "zz-single:t"])
def test_every_question_of_every_sort_of_store(opened, what, tap):
    """Each is drawn, or refused with a reason (a store without classes, of one sample)."""
    at = open_page(tap=tap, what=what.name)
    assert is_whole(at), texts(at)
    asked = next(s for s in at.selectbox if s.label == "Correlate")
    if tap == "zz-single:t":  # one sample: nothing can be correlated
        assert at.error
        assert "Expected" in at.error[0].value
    elif tap.startswith("images") or what.name in ("units", "samples"):
        assert asked.value == what.name
        assert heat(at) or at.get("plotly_chart")
        assert not at.error


def test_a_heat_map_is_drawn_with_its_null_and_what_is_significant(opened):
    at = open_page(tap=POOLED)
    told = heat(at)
    assert told["shape"] == [15, 15]  # unit 0 is dead
    assert told["nullBand"][0] == -told["nullBand"][1]
    assert told["threshold"] > told["nullBand"][1]
    assert (told["low"], told["high"]) == (-1, 1)
    assert told["names"][0] == told["names"][1]  # sent once
    assert "Heat map of 15 rows by 15 columns" in told["label"]
    assert "1 constant unit" in texts(at)
    assert any("null-band" in html.proto.body for html in at.get("html"))


def test_units_of_another_tap_and_the_link_from_a_pair_of_taps(opened):
    at = open_page(tap=POOLED, tap2=TOKENS)
    assert is_whole(at)
    told = heat(at)
    assert told["titles"] == ["units of pooled", "units of blocks.0"]
    assert told["trees"]["columns"]["key"]
    box = next(s for s in at.selectbox if s.label == "with")
    assert "blocks.0" in box.options
    assert "zz-single › t" not in box.options  # no four samples in common
    box.set_value("").run()
    assert "tap2" not in url(at)
    assert heat(at)["titles"] == ["units of pooled", "units of pooled"]


def test_a_pair_says_r_with_its_null_and_leads_to_both_cards(opened):
    at = open_page(tap=POOLED, cell="3_5")
    assert is_whole(at), texts(at)
    assert "unit 3 and unit 5 have r =" in texts(at).lower()
    assert [part.partition(")")[0] for part in links(at)[0].split("](")[1:]] == [
        "features?tap=images%3Apooled&unit=3",
        "features?tap=images%3Apooled&unit=5",
    ]
    assert at.get("plotly_chart")
    marked = heat(at)["marked"]
    assert all(0 <= line < 15 for line in marked)
    assert marked[0] != marked[1]
    assert any("samples shared by the" in html.proto.body for html in at.get("html"))
    assert "No sample is among the 64 strongest of both." in texts(at)  # they see different classes
    closing = next(b for b in at.button if b.key == "close pair")
    closing.click().run()
    assert "cell" not in url(at)
    assert heat(at)["marked"] is None


def test_points_that_are_no_rows_of_one_tap_are_not_coloured_by_them(opened):
    """Samples matched by id have no row at a tap of tokens: nothing of that tap's rows may be painted on them."""
    labels = [s.label for s in open_page(tap=TOKENS, cell="3_5").selectbox]
    assert "Colour by" in labels
    at = open_page(tap=TOKENS, tap2=POOLED, cell="3_5")
    assert is_whole(at)
    assert at.get("plotly_chart")
    assert "Colour by" not in [s.label for s in at.selectbox]


def test_examples_of_one_side_are_in_the_link(opened):
    at = open_page(tap=POOLED, cell="3_5", examples="second")
    assert is_whole(at)
    tiles = next(e for e in at.get("bidi_component") if e.proto.component_name == "loupe_tiles")
    assert len(json.loads(tiles.proto.json)["tiles"]) == 8


def test_a_dead_unit_and_a_unit_with_itself(opened):
    at = open_page(tap=POOLED, cell="0_3")
    assert is_whole(at)
    assert "Expected" in at.error[0].value
    assert not [e for e in at.get("bidi_component") if e.proto.component_name == "loupe_tiles"]
    at = open_page(tap=POOLED, cell="3_3")
    assert is_whole(at)
    assert "with itself" in texts(at)


def test_two_samples_side_by_side(opened):
    at = open_page(tap=POOLED, what="samples", cell="4_7")
    assert is_whole(at)
    tiles = next(e for e in at.get("bidi_component") if e.proto.component_name == "loupe_tiles")
    assert [t["sample"] for t in json.loads(tiles.proto.json)["tiles"]] == [4, 7]
    assert "structureless data gives" in texts(at)


def test_another_question_forgets_the_place_in_the_last(opened):
    at = open_page(tap=POOLED, cell="3_5", range="2-9_1-8", p__order="as stored")
    assert heat(at)["view"] == [1, 9, 0, 8]
    next(s for s in at.selectbox if s.label == "Correlate").set_value("samples").run()
    assert not {"cell", "range", "p.order"} & set(url(at))
    assert url(at)["what"] == ["samples"]


def test_measure_and_order_stand_beside_and_the_rest_in_the_settings(opened):
    at = open_page(tap=POOLED, p__measure="spearman", p__order="as stored", cell="3_5")
    assert is_whole(at)
    assert heat(at)["trees"] == {"rows": None, "columns": None}
    assert "Spearman" in heat(at)["value"]
    assert "**Spearman" in texts(at)  # what the cell itself says, since the scatter has Pearson's
    labels = [w.label for w in (*at.selectbox, *at.number_input)]
    assert labels.count("Measure") == labels.count("Order") == 1


NAMES = ("view", "what", "tap2", "range", "cell", "examples", "fade", "seed", "colour", "p.measure", "p.order",
         "p.level", "p.maximum_units", "p.column")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_hostile_links_are_ignored(opened, name):
    more = (
        ("1_1", "99999999999_1", "5-2_1-1", "0-4_0-4", "1-99_1-99", "３_４")
        if name in ("range", "cell")
        else ()
    )
    for value in ("<script>alert(1)</script>", "../../etc/passwd", "x" * 20_000, *more):
        at = open_page(**{"tap": POOLED, "cell": "3_5", name: value})
        assert is_whole(at), (name, value[:40], texts(at))
        assert "<script>" not in texts(at)


@pytest.mark.parametrize("value", app_pages.HOSTILE)
def test_hostile_everywhere(opened, value):
    at = open_page(**{"tap": POOLED, **dict.fromkeys(NAMES[1:], value)})
    assert is_whole(at), texts(at)
    assert "<script>" not in texts(at)


def test_large_maps_are_a_job_with_a_button_and_what_it_takes(opened, monkeypatch):
    from dashboard.parts import on_demand

    monkeypatch.setattr(on_demand, "cost_of", lambda *_: Cost(300.0, 0.0))
    at = open_page(tap=POOLED, p__level="0.01")
    assert is_whole(at)
    assert heat(at) is None
    assert button(at, "Correlate (about 5 min)") is not None
    assert any("240 rows × 16 units" in c.value for c in at.caption)


def test_an_empty_workspace_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "new"))
    at = open_page()
    assert is_whole(at)
    assert "Record" in texts(at)


def test_a_damaged_store_is_said_in_words(tmp_path, monkeypatch, rng):
    from analysis.workspace import Workspace

    workspace = Workspace.create(tmp_path / "w")
    for name in ("good", "bad"):
        write_store(workspace.path / "stores" / name, name=name, taps={"t": rng.standard_normal((30, 6))})
    rows = next((workspace.path / "stores" / "bad" / "taps").rglob("*.rows"))
    rows.write_bytes(rows.read_bytes()[:-7])
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    at = open_page(tap="bad:t")
    assert is_whole(at)
    assert at.error
    at = open_page(tap="good:t", tap2="bad:t")
    assert is_whole(at)
    assert at.error


def test_tiles_that_are_gone_leave_the_overview(tmp_path, monkeypatch, rng):
    """The cells of a large map lie beside the results; without them the page says so and still shows the whole."""
    from analysis.workspace import Workspace

    workspace = Workspace.create(tmp_path / "w")
    write_store(workspace.path / "stores" / "wide", name="wide", taps={"t": rng.standard_normal((20, 600))})
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    at = open_page(tap="wide:t", range="100-120_100-120", cell="3_4", p__measure="cosine")
    assert is_whole(at)
    assert heat(at)["shape"] == [600, 600]
    assert not at.error
    assert "**cosine" in texts(at)
    for folder in (workspace.path / "cache").glob("shared-*"):
        if folder.is_dir():
            shutil.rmtree(folder)
    from dashboard.components import correlation_heat

    correlation_heat._opened._values.clear()
    again = open_page(tap="wide:t", p__measure="cosine", cell="3_4")
    assert is_whole(again)
    assert heat(again) or again.error


# ---------------------------------------------------------------------------- words in the URL
@pytest.mark.parametrize("box", [(0, 1, 0, 1), (5, 20, 7, 9), (0, 100, 0, 80), None])
def test_a_range_there_and_back(box):
    text = heat_range.range_text(box)
    assert heat_range.box_from(text or "", (100, 80)) == box


@pytest.mark.parametrize(
    "text", ["", "1-2", "0-3_1-2", "3-2_1-2", "1-101_1-2", "1-2_1-81", "1-2_1-2_", "-1-2_1-2", "1-2_1-2\n"]
)
def test_a_range_that_is_none(text):
    assert heat_range.box_from(text, (100, 80)) is None


@pytest.mark.parametrize(
    ("text", "pair"), [("3_4", (3, 4)), ("99_79", (99, 79)), ("100_0", None), ("0_80", None), ("3", None)]
)
def test_a_pair_of_numbers(text, pair):
    assert heat_range.pair_from(text, (100, 80)) == pair


def test_every_kind_has_its_method():
    """The registry has what the page asks for, with results that it can draw."""
    from analysis import registry
    from analysis.results import Heatmap

    for kind in correlation_kinds.KINDS:
        assert registry.method(kind.method).result in (Heatmap, Matrix)
        for method in filter(None, kind.pairs):
            assert registry.method(method)
