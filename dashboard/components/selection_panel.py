"""Beside the map: the point that was clicked, the selection, what distinguishes it, and what to do with it."""

from __future__ import annotations

import streamlit as st

from analysis.people import Thing
from dashboard import errors, state
from dashboard.browse import describe, selections
from dashboard.browse.class_shares import ClassShare
from dashboard.components import group_questions, selection_actions, selection_units
from dashboard.components.bars import Line, bars
from dashboard.components.focus_card import focus_card
from dashboard.components.map_panel import Shown
from dashboard.figures.text import listed
from dashboard.parts import written

CLASSES, MOST_LISTED = 8, 30


def draw(at: Shown) -> None:
    """The clicked point, then the selection; or what to do first."""
    _picker(at)
    if at.focus is not None:
        focus_card(at)
    mask = selections.rows_of(at.selection, at.store, at.tap)
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
        _how_to(at.word)


def _how_to(word: str) -> None:
    st.markdown(
        "**Nothing selected.** Hold **Shift** and draw around some points, use **Lasso**, or **search** above. You "
        f"will see here which classes and which {word}s set them apart from all others, and whether chance would do "
        "the same.\n\n"
        "Click a point to look at it and to find more like it. Point at it to see what it is."
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
        **state.tied("selection", word, lambda name: state.set_params(sel=name or None, vs=None)),
    )


def _selection(at: Shown, mask) -> None:
    samples = selections.samples_of(at.selection, at.store)
    st.markdown(f"#### {errors.escape(selections.in_words(at.selection))}")
    if at.selection.note:
        st.caption(errors.escape(at.selection.note))
    selection_actions.draw(at)
    _written(at)
    if len(at.selection) == 2 and samples is not None and samples.sum() == 2:
        group_questions.two_samples(at.reference, *(str(id) for id in at.store.samples["id"][samples]))
    other = selection_actions.compared_with(at)
    if other is not None:
        selection_units.two_groups(at, mask, other)
        return
    _classes(describe.classes(at.store, samples))
    with errors.shown():
        selection_units.against_all(at, mask)


def _chosen_units(at: Shown) -> None:
    """Where the points are units: the selected ones, each a link to its card."""
    st.markdown(f"#### {errors.escape(selections.in_words(at.selection))}")
    selection_actions.draw(at)
    _written(at)
    table, names = at.store.index(at.tap).table(), at.activations.unit_names
    shown = [int(u) for u in at.selection.ids if 0 <= int(u) < len(names)][:MOST_LISTED]
    lines = [
        Line(f"{at.word} {names[u]}", float(table["fraction_positive"][u]), text=f"{table['fraction_positive'][u]:.0%}",
             title="Share of rows above 0; open its card", id=str(u))
        for u in shown
    ]  # fmt: skip
    st.caption(f"Share of the {at.activations.shape[0]:,} rows of this tap that are above 0")
    opened = bars(lines, key="chosen units", label=f"Selected {at.word}s")
    if len(at.selection) > len(shown):
        st.caption(f"and {len(at.selection) - len(shown):,} more")
    if opened is not None:
        state.go("features", tap=at.reference, unit=opened)


def _written(at: Shown) -> None:
    """What people wrote on a selection that has a name."""
    if selections.is_named(at.selection):
        place = state.link("map", tap=at.reference, sel=at.selection.name)
        written.folded(Thing.selection(at.selection.name, place), "selection", "Notes on this selection")


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
    said = [f"And {len(there) - CLASSES} more classes."] if len(there) > CLASSES else []
    absent = [c.name for c in shares if not c.inside and c.chance_low > 0]
    if absent:
        said.append(f"None of {errors.escape(listed(absent, 8))}, where chance would give some.")
    if said:
        st.caption(" ".join(said))
