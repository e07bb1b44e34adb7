"""What can be done with one selection on any page beside naming it: a file of its ids, an end."""

from __future__ import annotations

import streamlit as st

from analysis.errors import LoupeError
from analysis.people import EditConflict
from analysis.selection import Selection
from dashboard import allowed, errors, state
from dashboard.browse import selection_file
from dashboard.hosting import host


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
    """Delete after a second click, and only what was seen; whether it was deleted just now."""
    people, name, asked = state.workspace().people, selection.name, f"delete asked:{key}"
    seen = people.selection_version(name)
    sure = st.checkbox(
        "Delete it for everybody who uses this workspace", key=f"sure:{key}:{name}", **allowed.to("editor")
    )
    st.button("Delete", icon=":material/delete:", key=f"delete:{key}", disabled=not sure,
              on_click=lambda: state.put(asked, seen))  # fmt: skip  # what was drawn, not what is there by now
    version = state.get(asked)
    state.put(asked, None)
    return version is not None and _deleted(name, version)


def _deleted(name: str, version: int) -> bool:
    try:
        state.workspace().people.delete_selection(name, version)
    except EditConflict as conflict:
        who = (conflict.theirs.author if conflict.theirs else "") or "Somebody"
        errors.notice({"found": f"{who} changed this selection since you looked at it, so it is still here",
                       "remedy": "Look at it again; then delete it if it should still go"}, refused=True)  # fmt: skip
        return False
    except LoupeError as refusal:
        errors.notice({k: getattr(refusal, k) for k in ("found", "expected", "remedy")})
        return False
    st.toast(f"“{errors.escape(name)}” is deleted.")
    return True
