"""The named selections of the workspace."""

from __future__ import annotations

import streamlit as st

from dashboard import allowed, errors, state, table_cells
from dashboard.parts import selection_name, selection_tools


def draw() -> None:
    """A table, and what can be done with each; or how to make the first."""
    found = {s.name: s for s in state.workspace().selections()}
    if not found:
        st.info(
            "No selection yet. Draw around points on the **Map**, give them a name, and they can be used on every "
            "page and from Python.",
            icon=":material/lasso_select:",
        )
        return
    st.dataframe(table_cells.safe([_row(s) for s in found.values()]), hide_index=True, key="selections")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Selection", list(found), width=320, **_tie(list(found)))
        _tools(found[name])


def _tie(names: list[str]) -> dict:
    asked = state.param("selection", names[0], names)
    return state.tied("selection", asked, lambda name: state.set_params(selection=name))


def _tools(selection) -> None:
    if st.button("Show on the map", icon=":material/scatter_plot:", key="selection on the map"):
        _open(selection)
    with st.popover("Rename", icon=":material/edit:", **allowed.to("editor")):
        new = selection_name.form(selection)
    with errors.shown():
        selection_tools.export_button(selection, "workspace", selection.tap)
    with st.popover("Delete", icon=":material/delete:", **allowed.to("editor")):
        gone = selection_tools.delete_controls(selection, "workspace")
    if gone or (new and new != selection.name):
        state.set_params(selection=None if gone else new)
        st.rerun()


def _open(selection) -> None:
    """The map on which it lights up."""
    known = [r for r in state.tap_references() if r.partition(":")[0] == selection.store]
    if not known:
        st.warning("Its store is not in this workspace any more.", icon=":material/warning:")
        return
    own = f"{selection.store}:{selection.tap}"
    of = "units" if selection.of == "units" else None
    state.go("map", tap=own if own in known else state.opening_tap(known), sel=selection.name, of=of)


def _row(selection) -> dict:
    return {
        "Name": selection.name,
        "Holds": f"{len(selection):,} {selection.of}",
        "Store": selection.store,
        "Tap": selection.tap,
        "Note": selection.note,
        "By": selection.author,
        "Made": selection.made[:16].replace("T", " "),
    }
