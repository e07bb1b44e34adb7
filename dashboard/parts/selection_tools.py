"""What can be done with one selection on any page: a name, another name, a file of its ids, an end."""

from __future__ import annotations

import dataclasses

import streamlit as st

from analysis.errors import LoupeError, ParameterError
from analysis.selection import Selection
from dashboard import errors, state
from dashboard.browse import selection_file, selections
from dashboard.hosting import host


def name_form(selection: Selection) -> str | None:
    """A name for one that has none, or another name; the new name when it was given."""
    named = selections.is_named(selection)
    with st.form(f"name {selection.name}", border=False, clear_on_submit=False):
        left, right = st.columns([3, 1.2], vertical_alignment="bottom")
        known = selection.name if named else ""
        name = left.text_input(
            "New name" if named else "Name", known, placeholder="such as: blurred 4s", max_chars=80
        )
        if not right.form_submit_button("Rename" if named else "Save", width="stretch"):
            return None
    with errors.shown():
        return _renamed(selection, name) if named else _saved(selection, name)
    return None


def _saved(selection: Selection, name: str) -> str:
    name = _clean(name)
    _refuse_taken(name, selection)
    kept = state.workspace().save_selection(dataclasses.replace(selection, name=name))
    st.toast(f"Saved as “{errors.escape(kept.name)}”: it can be used on every page and from Python.")
    return kept.name


def _renamed(selection: Selection, name: str) -> str:
    name = _clean(name)
    if name == selection.name:
        return name
    _refuse_taken(name, None)
    kept = state.workspace().people.rename_selection(selection.name, name)
    st.toast(f"“{errors.escape(selection.name)}” is now called “{errors.escape(kept.name)}”.")
    return kept.name


def _clean(name: str) -> str:
    return name.strip().lstrip("~").strip()  # "~" marks what has no name


def _refuse_taken(name: str, selection: Selection | None) -> None:
    """Raise ParameterError when the name belongs to other points: somebody may have linked to them."""
    others = {s.name: s for s in state.workspace().selections()}
    there = others.get(name)
    if there is not None and there != selection:
        raise ParameterError(
            f"there is a selection called {name!r} already", "a new name",
            "Choose another one, or delete the old one first",
        )  # fmt: skip


def export_button(selection: Selection, key: str, tap: str = "") -> None:
    """The ids as a CSV file, written only when somebody clicks."""
    workspace, name = (
        state.workspace(),
        selection_file.file_name(selection),
    )  # the click comes when no page is drawn

    def ids() -> bytes:
        return selection_file.as_csv(selection, workspace.store(selection.store), tap).encode()

    st.download_button(
        "Ids as CSV",
        host.exporting(ids, name),
        file_name=name,
        mime="text/csv",
        icon=":material/download:",
        key=f"ids:{key}",
        help="One line per point: id of the sample, row, sample number, token number.",
        on_click="ignore",
    )


def delete_controls(selection: Selection, key: str) -> bool:
    """Delete after a second click; whether it was deleted just now."""
    sure = st.checkbox("Delete it for everybody who uses this workspace", key=f"sure:{key}:{selection.name}")
    if not st.button("Delete", icon=":material/delete:", key=f"delete:{key}", disabled=not sure):
        return False
    try:
        state.workspace().delete_selection(selection.name)
    except LoupeError as refusal:
        errors.notice({k: getattr(refusal, k) for k in ("found", "expected", "remedy")})
        return False
    st.toast(f"“{errors.escape(selection.name)}” is deleted.")
    return True
