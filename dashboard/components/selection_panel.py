"""Beside the map: what distinguishes the selected points, the point that was clicked, and giving a name."""

from __future__ import annotations

import dataclasses

import streamlit as st

from analysis.people import Selection
from dashboard import errors, jobs, state
from dashboard.browse import describe, selections
from dashboard.browse.class_shares import ClassShare
from dashboard.components import redraw
from dashboard.components.bars import Line, bars
from dashboard.components.focus_card import focus_card
from dashboard.components.map_panel import Shown
from dashboard.figures.text import listed
from dashboard.parts import export_menu

UNITS, CLASSES, MOST_LISTED = 10, 8, 30


def draw(at: Shown) -> None:
    """The clicked point, then the selection; or what to do first."""
    _picker(at)
    if at.focus is not None:
        focus_card(at)
    mask = selections.rows_of(at.selection, at.store, at.tap, at.activations.layout)
    if at.selection is not None and at.selection.of == "units" and at.selection.tap == at.tap:
        _chosen_units(at)
    elif mask is not None and mask.any():
        with errors.shown():
            _selection(at, mask)
    elif at.selection is not None:
        st.info(
            f"The selection “{errors.escape(selections.in_words(at.selection))}” is of other points than these."
        )
    elif at.focus is None:
        _how_to()


def _how_to() -> None:
    st.markdown(
        "**Nothing selected.** Hold **Shift** and draw around some points, or use **Lasso**. You will see here which "
        "classes and which units set them apart from all others, and whether chance would do the same.\n\n"
        "Click a point to look at it. Point at it to see what it is."
    )


def _picker(at: Shown) -> None:
    """Named selections of this store, and the unnamed one that is in the URL."""
    named = [s.name for s in state.workspace().selections(at.store_name)]
    word = at.selection.name if at.selection else ""
    options = ["", *named, *([word] if word and word not in named else [])]
    if len(options) == 1:
        return
    labels = {"": "none", word: selections.in_words(at.selection)}
    st.selectbox(
        "Selection",
        options,
        format_func=lambda name: labels.get(name, name),
        **state.tied("selection", word, lambda name: state.set_params(sel=name or None)),
    )


def _selection(at: Shown, mask) -> None:
    samples = selections.samples_of(at.selection, at.store)
    st.markdown(f"#### {errors.escape(selections.in_words(at.selection))}")
    _classes(describe.classes(at.store, samples))
    with errors.shown():
        _units(at, mask)
    _name(at.selection)


def _chosen_units(at: Shown) -> None:
    """Where the points are units: the selected ones, each a link to its card."""
    st.markdown(f"#### {errors.escape(selections.in_words(at.selection))}")
    table, names = at.store.index(at.tap).table(), at.activations.unit_names
    shown = [int(u) for u in at.selection.ids if 0 <= int(u) < len(names)][:MOST_LISTED]
    lines = [
        Line(f"unit {names[u]}", float(table["fraction_positive"][u]), text=f"{table['fraction_positive'][u]:.0%}",
             title="Share of rows above 0; open its card", id=str(u))
        for u in shown
    ]  # fmt: skip
    st.caption("Share of rows above 0")
    opened = bars(lines, key="chosen units", label="Selected units")
    if len(at.selection.ids) > len(shown):
        st.caption(f"and {len(at.selection.ids) - len(shown):,} more")
    _name(at.selection)
    if opened is not None:
        state.go("features", tap=at.reference, unit=opened)


def _classes(shares: list[ClassShare]) -> None:
    if not shares:
        return
    st.markdown("**Classes**, as a share of the selected samples")
    there = [c for c in shares if c.inside]
    lines = [
        Line(
            c.name, c.share, c.low, c.high, (c.chance_low, c.chance_high), f"{c.inside} of {c.n}",
            f"{c.share:.0%} here, {c.base:.0%} of all samples; q = {c.q:.2g}",
        )
        for c in there[:CLASSES]
    ]  # fmt: skip
    bars(lines, key="classes", label="Classes of the selection", null_word="what chance gives (95 %)")
    said = [f"{len(there) - CLASSES} more classes."] if len(there) > CLASSES else []
    absent = [c.name for c in shares if not c.inside and c.chance_low > 0]
    if absent:
        said.append(f"None of {errors.escape(listed(absent, 8))}, where chance would give some.")
    st.caption(" ".join(said))


def _units(at: Shown, mask) -> None:
    """The units that differ most, each a link to its card."""
    name = selections.in_words(at.selection)
    found = describe.units_at_once(at.activations, mask, at.result, name)
    if found is None:
        found = _units_by_job(at, mask)
    if found is None:
        return
    st.markdown("**Units**, standard deviations higher (+) or lower (−) than outside")
    c, chance = found.columns, found.estimates[0].null_high or 0.0
    names = at.activations.unit_names
    lines = [
        Line(
            f"unit {names[int(c['unit'][i])]}", float(c["difference"][i]), float(c["low"][i]), float(c["high"][i]),
            (-chance, chance), f"{c['difference'][i]:+.2f}",
            f"Mean {c['mean_inside'][i]:.3g} inside, {c['mean_outside'][i]:.3g} outside; open its card",
            str(int(c["unit"][i])),
        )
        for i in range(min(UNITS, len(c["unit"])))
    ]  # fmt: skip
    opened = bars(
        lines, key="units", label="Units that differ most", null_word="groups like this one, elsewhere"
    )
    st.caption(describe.units_sentence(found))
    export_menu.draw(found, "contrast")
    if opened is not None:
        state.go("features", tap=at.reference, unit=opened, sel=at.selection.name)


def _units_by_job(at: Shown, mask):
    """Large taps: the comparison is a job; its result, or None while it runs."""
    arguments = describe.job_arguments(at.reference, mask)
    kept = state.workspace().cached(arguments["method"], arguments["inputs"], arguments["params"])
    if kept is None:
        id = jobs.start("method", arguments, "What distinguishes the selection", patience=0.3)
        if jobs.watch(id, key="contrast").state == "done":
            kept = state.workspace().cached(arguments["method"], arguments["inputs"], arguments["params"])
    return kept


def _name(selection: Selection) -> None:
    """Keep it under a name, for all pages and for Python."""
    with st.form("name the selection", border=False, clear_on_submit=False):
        known = "" if selections.UNNAMED.fullmatch(selection.name) else selection.name
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        name = left.text_input("Name", known, placeholder="such as: blurred 4s", max_chars=80)
        if not right.form_submit_button("Save", width="stretch"):
            return
    with errors.shown():
        if name.strip().startswith("~"):
            name = name.strip().lstrip("~")
        saved = state.workspace().save_selection(dataclasses.replace(selection, name=name.strip()))
        state.set_params(sel=saved.name)
        st.toast(f"Saved as “{errors.escape(saved.name)}”: it can be used on every page and from Python.")
        redraw.here()
