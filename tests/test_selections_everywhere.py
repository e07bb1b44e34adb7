"""Selections as data on the pages: named, renamed, combined, compared, filtered by, coloured by, deleted."""

from __future__ import annotations

import app_pages
import numpy as np
import pytest

from analysis.compute.rows.membership import unpack
from analysis.errors import NotFound
from analysis.jobs import queue
from analysis.registry import method
from analysis.selection import Selection
from dashboard import colouring
from dashboard.browse import selections
from dashboard.components import card_selection
from dashboard.parts import membership_form

TAP = "images:pooled"


@pytest.fixture
def two(opened):
    """The selections "evens" and "thirds" of the images, as named selections."""
    for name, step in (("evens", 2), ("thirds", 3)):
        ids = tuple(str(i) for i in range(0, 240, step))
        opened.save_selection(Selection(name, "samples", "images", "pooled", ids))
    yield opened
    for selection in opened.selections():
        opened.delete_selection(selection.name)


def box(at, label: str):
    return next((s for s in at.selectbox if s.label == label), None)


# ---------------------------------------------------------------------------- on the map
def test_renaming_keeps_the_points_and_the_link(two):
    at = app_pages.open_page("map", tap=TAP, sel="evens", only="evens", groups="evens")
    next(t for t in at.text_input if t.label == "New name").set_value("every second")
    app_pages.button(at, "Rename").click().run()
    assert {n: app_pages.url(at)[n] for n in ("sel", "only", "groups")} == {
        key: ["every second"] for key in ("sel", "only", "groups")
    }
    assert len(two.selection("every second")) == 120
    with pytest.raises(NotFound):
        two.selection("evens")


def test_a_name_that_is_taken_is_refused(two):
    at = app_pages.open_page("map", tap=TAP, sel="evens")
    next(t for t in at.text_input if t.label == "New name").set_value("thirds")
    app_pages.button(at, "Rename").click().run()
    assert "already" in app_pages.texts(at)
    assert len(two.selection("thirds")) == 80


@pytest.mark.parametrize(("how", "left"), [("or", 160), ("and", 40), ("minus", 80)])
def test_combining(two, how, left):
    at = app_pages.open_page("map", tap=TAP, sel="evens")
    next(r for r in at.radio if r.label == "How").set_value(how).run()
    assert f"Gives {left} samples" in app_pages.texts(at).replace("\\", "")
    app_pages.button(at, "Combine them").click().run()
    assert len(selections.find(two, app_pages.url(at)["sel"][0])) == left


def test_comparing_says_what_differs_and_that_some_are_in_both(two):
    at = app_pages.open_page("map", tap=TAP, sel="evens", vs="thirds")
    said = app_pages.texts(at)
    assert app_pages.is_whole(at), said
    assert "40 rows are in both and count for neither" in said
    assert "false-discovery rate of 5 %" in said
    assert "Do the two really separate?" in said
    test = next((b for b in at.button if b.label.startswith("Test it in the original space")), None)
    if test is not None:
        at = test.click().run(timeout=120)
        assert app_pages.is_whole(at), app_pages.texts(at)


def test_showing_only_a_selection_and_colouring_by_it(two):
    at = app_pages.open_page("map", tap=TAP, sel="thirds")
    at = app_pages.button(at, "Show only these").click().run()
    assert app_pages.url(at)["only"] == ["thirds"]
    at = app_pages.button(at, "Colour by it").click().run()
    assert app_pages.url(at)["colour"] == ["selection"]
    assert app_pages.is_whole(at)


def test_deleting_needs_two_clicks_and_forgets_the_link(two):
    at = app_pages.open_page("map", tap=TAP, sel="thirds", only="thirds")
    assert app_pages.button(at, "Delete").disabled
    next(c for c in at.checkbox if c.label.startswith("Delete it")).check().run()
    app_pages.button(at, "Delete").click().run()
    assert not {"sel", "only"} & set(app_pages.url(at))
    with pytest.raises(NotFound):
        two.selection("thirds")


# ---------------------------------------------------------------------------- search
def test_a_link_with_a_search_lights_its_hits_and_says_them(opened):
    at = app_pages.open_page("map", tap=TAP, q="label = b")
    assert "80 samples found" in app_pages.texts(at)
    found = selections.find(opened, app_pages.url(at)["sel"][0])
    np.testing.assert_array_equal(np.sort(found.ids.astype(int)), np.arange(1, 240, 3))


def test_a_link_keeps_the_selection_it_has(two):
    at = app_pages.open_page("map", tap=TAP, q="label = b", sel="evens")
    assert app_pages.url(at)["sel"] == ["evens"]
    assert "80 samples found" in app_pages.texts(at)


@pytest.mark.parametrize("q", ["label >", "unit 99 > 1", "nothing = 3", "loss > many"])
def test_faults_of_a_search_are_words(opened, q):
    at = app_pages.open_page("map", tap=TAP)
    next(t for t in at.text_input if t.label == "Search").set_value(q).run()
    assert app_pages.is_whole(at)
    assert ":orange[" in app_pages.texts(at)
    assert app_pages.url(at)["q"] == [q]


def test_more_like_this_is_exact_in_the_original_space(opened):
    at = app_pages.open_page("map", tap=TAP, focus="7")
    app_pages.button(at, "More like this").click().run()
    chosen = selections.find(opened, app_pages.url(at)["sel"][0])
    x = np.asarray(opened.activations(TAP).take(np.arange(240)), np.float64)
    nearest = np.argsort(((x - x[7]) ** 2).sum(axis=1), kind="stable")[:21]
    assert set(chosen.ids.astype(int)) == set(nearest)


# ---------------------------------------------------------------------------- elsewhere
def test_units_of_a_selection_filter_the_list_of_features(opened):
    opened.save_selection(Selection("my units", "units", "images", "pooled", (3, 5, 9)))
    try:
        at = app_pages.open_page("features", tap=TAP, among="my units")
        assert app_pages.is_whole(at)
        assert "3 units of 16" in app_pages.texts(at)
        box(at, "Only a selection").set_value("").run()
        assert "16 units of 16" in app_pages.texts(at)
        for value in app_pages.HOSTILE:
            assert app_pages.is_whole(app_pages.open_page("features", tap=TAP, among=value))
    finally:
        opened.delete_selection("my units")


def test_the_strongest_examples_within_a_selection(two, rng):
    at = app_pages.open_page("features", tap=TAP, unit="5", sel="evens")
    assert app_pages.is_whole(at)
    assert "of its 120 samples" in app_pages.texts(at)
    box(at, "Strongest within a selection").set_value("thirds").run()
    assert app_pages.url(at)["sel"] == ["thirds"]
    column, mask = rng.standard_normal(1000), rng.random(1000) < 0.5
    column[::10] = np.nan
    rows, values = card_selection.strongest(column, mask, 20)
    best = [r for r in np.argsort(-np.nan_to_num(column, nan=-9)) if mask[r]][:20]
    assert rows.tolist() == best
    assert values.tolist() == column[best].tolist()


def test_groups_of_a_method_are_chosen_by_name(two):
    """`inside` and `outside` take names in the link and memberships in the run."""
    at = app_pages.open_page("analyses", tap=TAP, method="selection_contrast")
    assert not [t for t in at.text_input if t.label in ("Inside", "Outside")]
    box(at, "Inside").set_value("evens").run()
    assert app_pages.url(at)["p.inside"] == ["evens"]
    app_pages.button(at, "Run").click().run(timeout=60)
    job = next(j for j in queue.listing(two.path) if j.arguments.get("method") == "selection_contrast")
    inside = unpack(job.arguments["params"]["inside"], 240)
    np.testing.assert_array_equal(np.flatnonzero(inside), np.arange(0, 240, 2))
    assert queue.wait(two.path, job.id, timeout=120).state == "done"
    for value in app_pages.HOSTILE:
        link = {"p__inside": value, "p__outside": value}
        assert app_pages.is_whole(
            app_pages.open_page("analyses", tap=TAP, method="selection_contrast", **link)
        )


def test_memberships_are_recognised():
    assert [p.name for p in membership_form.packed(method("selection_contrast"))] == ["inside", "outside"]
    assert [p.name for p in membership_form.packed(method("directions"))] == ["selections"]
    assert membership_form.packed(method("pca")) == ()


def test_directions_named_by_selections_run_on_the_analyses_page(two):
    link = {"p__horizontal": "selection:evens-thirds", "p__vertical": "unit:5"}
    at = app_pages.open_page("analyses", tap=TAP, method="directions", **link)
    assert app_pages.is_whole(at)
    assert not [t for t in at.text_input if t.label == "Selections"]
    app_pages.button(at, "Run").click().run(timeout=60)
    job = next(j for j in queue.listing(two.path) if j.arguments.get("method") == "directions")
    assert set(job.arguments["params"]) == {"horizontal", "vertical", "selections"}
    ended = queue.wait(two.path, job.id, timeout=120)
    assert ended.state == "done", ended.error


def test_several_taps_are_chosen_in_a_list(opened):
    at = app_pages.open_page("analyses", tap=TAP, method="aligned_series")
    taps = next(m for m in at.multiselect if m.label == "Taps, in order")
    assert taps.value
    assert taps.value[0] == TAP
    assert app_pages.is_whole(at)
    for value in app_pages.HOSTILE:
        assert app_pages.is_whole(
            app_pages.open_page("analyses", tap=TAP, method="aligned_series", **{"with": value})
        )


def test_results_are_coloured_and_lit_by_selections(two):
    result = two.run("pca", [TAP])
    assert "Selection: evens" in [s.id for s in colouring.offered(result, two)]
    coloured = colouring.coloured(result, two, "Selection: evens")
    assert coloured.columns[coloured.colour].tolist()[:3] == ["evens", "all others", "evens"]
    assert colouring.coloured(result, two, "Selection: gone") is result
    at = app_pages.open_page("analyses", tap=TAP, method="pca", sel="thirds")
    assert app_pages.is_whole(at)
    assert box(at, "Highlight").value == "thirds"
    box(at, "Highlight").set_value("").run()
    assert "sel" not in app_pages.url(at)
