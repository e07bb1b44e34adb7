"""Who changed what, from what to what; and back to what it was."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from analysis import access
from analysis.people import Change, Thing
from dashboard import errors, state
from dashboard.browse import written

FIRST = 15
WORDS = {"note": "Note", "name": "Name", "star": "Star", "tag": "Tag", "reply": "Reply", "resolved": "Settled",
         "selection": "Selection", "renamed": "Name", "tour": "Tour"}  # fmt: skip


def draw(thing: Thing, key: str, attempt: Callable[[Callable[[], object]], bool]) -> None:
    """Closed, nothing is read."""
    box = st.expander("History", icon=":material/history:", key=f"history:{key}", on_change="rerun")
    if not box.open:
        return
    with box:
        found = state.workspace().people.history(thing)
        if not found:
            st.caption("Nothing was written here yet.")
            return
        many = len(found) > FIRST and st.toggle(f"All {len(found):,} changes", key=f"changes:{key}")
        newest = {}
        for change in found:
            newest.setdefault((change.field, change.part), change.after)
        for change in found if many else found[:FIRST]:
            _change(change, key, newest[change.field, change.part] == change.after, attempt)


def _change(change: Change, key: str, is_so: bool, attempt: Callable[[Callable[[], object]], bool]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{WORDS.get(change.field, '')}**{line(change)}  \n"
                    f":gray[{errors.escape(written.by(change))}]", width="stretch")  # fmt: skip
        if not is_so and change.field not in ("renamed", "link") and access.may("editor"):
            st.button("Restore", key=f"restore:{key}:{change.seq}", type="tertiary", icon=":material/restore:",
                      help="As it was after this change. What is there now stays in the history.",
                      on_click=lambda: attempt(lambda: state.workspace().people.restore(change.seq)))  # fmt: skip


def line(change: Change) -> str:
    """From what to what, as text and not as Markdown."""
    before, after = written.texts(change)
    if before is None and after is None:
        return ": " + ("given" if change.after is not None else "taken back")
    quoted = [f"“{errors.escape(' '.join(text.split()))}”" for text in (before, after) if text is not None]
    if before is None:
        return f": {quoted[0]}"
    return f": {quoted[0]} removed" if after is None else f": {quoted[0]} → {quoted[1]}"
