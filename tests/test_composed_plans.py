"""What is decided before a composed page is drawn, and kept: the same bytes as when it is decided anew."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_baskets import planted
from test_figures_planted import curve, matrix, ordinary, scatter

from dashboard.baskets import kept_plans, page
from dashboard.figures import composed_plan
from dashboard.figures.composed import Arrangement, Part
from dashboard.figures.composed_panel import Alone, panel_drawn, wish_of
from dashboard.figures.paper import paper_style
from dashboard.figures.sheet import sheet

CELLS = {"linkage": None, "null_band": None, "significant": None}


def four():
    """Two maps with one legend, two matrices that get one scale."""
    return planted(
        scatter(200), scatter(200, seed=1), matrix(6, 6, limits=(-0.5, 0.5), **CELLS),
        matrix(6, 6, seed=3, limits=(-1.0, 1.0), **CELLS),
    )  # fmt: skip


def forget() -> None:
    """As in a new process."""
    kept_plans._plans._values.clear()
    kept_plans._panels._values.clear()


@pytest.fixture
def forgotten(monkeypatch):
    """Nothing is kept; how often something was decided."""
    from dashboard.browse.kept import Kept

    made, real = [], kept_plans.plan_of
    monkeypatch.setattr(kept_plans, "_plans", Kept(64))
    monkeypatch.setattr(kept_plans, "_panels", Kept(512))
    monkeypatch.setattr(kept_plans, "plan_of", lambda *a, **k: made.append(1) or real(*a, **k))
    return made


def test_a_kept_plan_gives_the_same_bytes_and_is_decided_once(forgotten):
    basket, panels = four()
    first = {format: page.pictures(basket, panels, (format,))[0][format] for format in ("pdf", "svg", "png")}
    assert len(forgotten) == 1
    forget()
    for format, data in first.items():
        assert page.pictures(basket, panels, (format,))[0][format] == data
        forget()
    assert len(forgotten) == 4


def test_a_changed_panel_is_decided_anew(forgotten):
    basket, panels = four()
    page.pictures(basket, panels, ("svg",))
    wider = dataclasses.replace(panels[2], result=matrix(9, 6, limits=(-0.5, 0.5), **CELLS))
    changed = [*panels[:2], wider, panels[3]]
    kept = page.pictures(basket, changed, ("svg",))[0]["svg"]
    assert len(forgotten) == 2
    forget()
    assert page.pictures(basket, changed, ("svg",))[0]["svg"] == kept


def test_only_the_changed_panel_is_drawn_to_decide(forgotten, monkeypatch):
    basket, panels = four()
    drawings, real = [], composed_plan.panel_drawn
    monkeypatch.setattr(
        composed_plan,
        "panel_drawn",
        lambda part, *a, **k: drawings.append(part.result) or real(part, *a, **k),
    )
    page.pictures(basket, panels, ("pdf",))
    assert len({id(result) for result in drawings}) >= 4
    drawings.clear()
    other = dataclasses.replace(panels[3], result=matrix(6, 6, seed=8, limits=(-1.0, 1.0), **CELLS))
    changed = [*panels[:3], other]
    kept = page.pictures(basket, changed, ("pdf",))[0]["pdf"]
    assert drawings
    assert all(result is other.result for result in drawings), "the others are as they were"
    forget()
    assert page.pictures(basket, changed, ("pdf",))[0]["pdf"] == kept


def test_a_panel_that_needs_more_room_moves_its_neighbours(forgotten):
    basket, panels = four()
    page.pictures(basket, panels, ("svg",))
    groups = dataclasses.replace(panels[0], result=scatter(200, groups=18))
    for changed in (
        [groups, *panels[1:]],
        [panels[1], groups, *panels[2:]],
        [*panels[2:], groups, panels[0]],
    ):
        kept = page.pictures(basket, changed, ("svg",))[0]["svg"]
        forget()
        assert page.pictures(basket, changed, ("svg",))[0]["svg"] == kept


def test_everything_that_a_plan_depends_on_is_in_its_key():
    def key(result=None, letter="a", span=1, width="double", grey=False, options=None, **arranged):
        part = Part(result or scatter(60), letter, "", span, {} if options is None else options)
        contents = [kept_plans._content_of(part)]
        return kept_plans._key([part], contents, sheet(width), Arrangement(**arranged), grey)

    moved = scatter(60)
    moved = dataclasses.replace(moved, positions=np.nextafter(moved.positions, 1e9))
    mask = np.zeros(60, bool)
    keys = [
        key(), key(moved), key(curve()), key(letter="b"), key(span=2), key(width="single"), key(grey=True),
        key(options={"point_size": 3}), key(options={"selected": mask}), key(options={"selected": ~mask}),
        key(columns=3), key(widths=(1.0, 2.0)), key(share=False), key(scatter(60, title="Another")),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]
    assert key(options={"pictures": lambda row: None}) is None, "what a function gives is not known"


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_what_a_panel_wants_without_its_legend_is_known_without_drawing_it(name):
    part, given = Part(ordinary()[name]), sheet("double").panel(3.4)
    with paper_style(given):
        alone = Alone.of(panel_drawn(part, given, False))
        if len(alone.legends) != 1:
            return
        again = wish_of(Alone.of(panel_drawn(part, given, False, {"legend"})), set())
        found = wish_of(alone, {"legend"})
    if found is not None:
        assert (found.height, found.still) == pytest.approx((again.height, again.still), abs=1e-12)
        assert found.height < alone.height


def test_saving_draws_the_page_once():
    basket, panels = four()
    with paper_style(page.sheet_of(basket)):
        assert page.composed(basket, panels).figure.get_layout_engine() is None


def test_a_draft_without_numbers_in_cells_decides_as_the_whole_drawing_does(monkeypatch):
    parts = [Part(matrix(6, 6, limits=(-1.0, 1.0), **CELLS), "a"), Part(matrix(9, 6, **CELLS), "b")]
    given, real = sheet("double"), composed_plan.panel_drawn
    with paper_style(given):
        of_drafts = composed_plan.plan_of(parts, given, Arrangement())
        seen = []

        def whole(*asked, draft, **more):
            page = real(*asked, **more)
            seen.append(sum(len(axes.texts) for axes in page.figure.axes))
            return page

        monkeypatch.setattr(composed_plan, "panel_drawn", whole)
        assert repr(composed_plan.plan_of(parts, given, Arrangement())) == repr(of_drafts)
        assert min(seen) >= 36, "numbers were drawn in the cells"
