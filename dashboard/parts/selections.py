"""The named selections of the workspace."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state


def draw() -> None:
    """A table, and a way to remove one; or how to make the first."""
    found = state.workspace().selections()
    if not found:
        st.info(
            "No selection yet. Draw around points on the **Map**, give them a name, and they can be used on every "
            "page and from Python.",
            icon=":material/lasso_select:",
        )
        return
    st.dataframe([_row(s) for s in found], hide_index=True, key="selections")
    name, button = st.columns([4, 1], vertical_alignment="bottom")
    chosen = name.selectbox("Selection", [s.name for s in found], key="selection to remove")
    if button.button("Delete", icon=":material/delete:", width="stretch", disabled=not chosen):
        with errors.shown():
            state.workspace().delete_selection(chosen)
        st.rerun()


def _row(selection) -> dict:
    return {
        "Name": selection.name,
        "Holds": f"{len(selection.ids):,} {selection.of}",
        "Store": selection.store,
        "Tap": selection.tap,
        "Note": selection.note,
        "By": selection.author,
        "Made": selection.made[:16].replace("T", " "),
    }
