"""What people wrote in this workspace, newest first."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.components import activity_feed, nothing_yet


def page() -> None:
    """The feed; where nothing was recorded and nothing written, what to do first."""
    st.title("Activity")
    if not state.tap_references() and not state.workspace().people.feed(1):
        nothing_yet.draw()
        return
    st.caption(
        "What everybody who uses this workspace wrote and changed: notes, stars, names, tags, threads, selections and "
        "tours."
    )
    with errors.shown():
        activity_feed.draw()


page()
