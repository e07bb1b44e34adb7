"""What can be done with the selection: name it, combine it, compare it, show it alone, take its ids, end it."""

from __future__ import annotations

import streamlit as st

from analysis.errors import LoupeError
from analysis.selection import Selection
from dashboard import allowed, errors, state
from dashboard.browse import selections
from dashboard.components import redraw
from dashboard.components.map_panel import Shown
from dashboard.parts import selection_name, selection_tools

HOW = {"or": "Add (or)", "and": "Keep both (and)", "minus": "Take away (minus)"}
MEANS = {
    "or": "points in either of the two",
    "and": "points that are in both",
    "minus": "points of this one that are not in the other",
}


def draw(at: Shown) -> None:
    """A row of small boxes that open."""
    named = selections.is_named(at.selection)
    others = [s for s in state.workspace().selections(at.store_name) if s.name != at.selection.name]
    others.sort(key=lambda s: s.made, reverse=True)  # whoever has just made two wants the other one
    with st.container(horizontal=True, gap="xsmall"), errors.shown():
        with st.popover(
            "Rename" if named else "Save",
            icon=":material/edit:" if named else ":material/save:",
            key=f"name box {at.selection.name}",  # another name is another box: it closes when the name is given
            **allowed.to("editor"),
        ):
            _name(at.selection)
        if others:
            with st.popover("Combine", icon=":material/join_inner:"):
                _combine(at, others)
            if at.selection.of != "units":
                with st.popover("Compare", icon=":material/compare_arrows:"):
                    _compare(others)
        with st.popover("More", icon=":material/more_horiz:"):
            _more(at, named)


def _name(selection: Selection) -> None:
    st.caption(
        "A named selection can be used on every page, by everybody who uses this workspace, and from Python."
    )
    name = selection_name.form(selection)
    if name:
        _follow(selection.name, name)
        redraw.here()


def _follow(old: str, new: str | None) -> None:
    """The URL goes on meaning the same points under their new name."""
    changed = {word: new for word in ("sel", "only", "vs") if state.param(word, "") == old}
    groups = state.param("groups", [], None)
    if old in groups:
        changed["groups"] = [new if g == old else g for g in groups if new or g != old]
    state.set_params(**changed)


def _combine(at: Shown, others: list[Selection]) -> None:
    names = {s.name: s for s in others}
    other = st.selectbox("With", list(names), key="combine with")
    how = st.radio("How", list(HOW), format_func=HOW.get, key="combine how",
                   captions=[MEANS[h] for h in HOW])  # fmt: skip
    try:
        made = state.workspace().combined(at.selection, how, names[other])
    except LoupeError as refusal:
        errors.notice({k: getattr(refusal, k) for k in ("found", "expected", "remedy")}, refused=True)
        return
    st.caption(f"Gives {selections.in_words(made) if len(made) else 'nothing: no point is left'}.")
    if st.button("Combine them", type="primary", key="combine", disabled=not len(made)):
        state.set_params(sel=selections.keep(state.workspace(), made), vs=None)
        redraw.here()


def _compare(others: list[Selection]) -> None:
    """Another named selection to be compared with."""
    names = [s.name for s in others if s.of != "units"]
    if not names:
        st.caption("There is no other named selection of samples or tokens yet.")
        return
    other = st.selectbox("With", names, key="compare with")
    st.caption("Which units differ between the two, and whether they are really apart.")
    if st.button("Compare them", type="primary", key="compare"):
        state.set_params(vs=other)
        redraw.here()


def compared_with(at: Shown) -> Selection | None:
    """The selection that the URL compares the present one with."""
    other = selections.find(state.workspace(), state.param("vs", ""))
    return None if other is None or other == at.selection or other.of == "units" else other


def _more(at: Shown, named: bool) -> None:
    word = at.selection.name
    shown_alone = at.only is not None and at.only.name == word
    if shown_alone:
        st.button("Show all points", icon=":material/filter_alt_off:", on_click=_set, kwargs={"only": None})
    else:
        st.button("Show only these", icon=":material/filter_alt:", on_click=_set, kwargs={"only": word})
    st.button(
        "Colour by it", icon=":material/palette:", on_click=_set, kwargs={"colour": "selection", "hide": None}
    )
    selection_tools.export_button(at.selection, "map", at.tap)
    st.button("Select nothing", icon=":material/deselect:", on_click=_set, kwargs={"sel": None, "vs": None})
    if named and selection_tools.delete_controls(at.selection, "map"):
        _follow(word, None)
        redraw.here()


def _set(**values) -> None:
    if "only" in values:
        state.clear_params("view")
    state.set_params(**values)
