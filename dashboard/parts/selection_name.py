"""A name for a selection, or another one. Where the name has other points, both are kept until one is chosen."""

from __future__ import annotations

import dataclasses

import streamlit as st

from analysis.people import EditConflict
from analysis.selection import Selection
from dashboard import allowed, errors, state
from dashboard.browse import selections
from dashboard.parts import selection_conflict


def form(selection: Selection) -> str | None:
    """A name for one that has none, or another name; the new name when it was given."""
    mine = selection_conflict.waiting(selection)
    if mine is not None:
        with errors.shown():
            return selection_conflict.draw(mine, save)
        return None
    named = selections.is_named(selection)
    with st.form(f"name {selection.name}", border=False, clear_on_submit=False):
        left, right = st.columns([3, 1.2], vertical_alignment="bottom")
        known = selection.name if named else ""
        name = left.text_input(
            "New name" if named else "Name", known, placeholder="such as: blurred 4s", max_chars=80
        )
        if not right.form_submit_button(
            "Rename" if named else "Save", width="stretch", **allowed.to("editor")
        ):
            return None
    with errors.shown():
        if named:
            return _renamed(selection, _clean(name))
        return save(dataclasses.replace(selection, name=_clean(name)), 0)
    return None


def save(mine: Selection, version: int) -> str | None:
    """Keep it, where the name still has what was seen (`version`; 0: nothing); its name. None where somebody was
    quicker: the next drawing shows both."""
    try:
        kept = state.workspace().save_selection(mine, version)
    except EditConflict:
        if state.workspace().selection(mine.name) != mine:
            selection_conflict.begin(mine)
            st.rerun()
        kept = mine  # the same points have this name already
    selection_conflict.end()
    st.toast(f"Saved as “{errors.escape(kept.name)}”: it can be used on every page and from Python.")
    return kept.name


def _renamed(selection: Selection, name: str) -> str:
    if name == selection.name:
        return name
    kept = state.workspace().people.rename_selection(selection.name, name)
    st.toast(f"“{errors.escape(selection.name)}” is now called “{errors.escape(kept.name)}”.")
    return kept.name


def _clean(name: str) -> str:
    return name.strip().lstrip("~").strip()  # "~" marks what has no name
