"""What a page says while the workspace is empty."""

from __future__ import annotations

import streamlit as st

from dashboard import state


def draw() -> None:
    """Say what is missing and offer the page where it is made."""
    st.info(
        "This workspace has no recorded activations yet. Record a network on a data set, or import activations that "
        "you have; this page then shows them.",
        icon=":material/folder_open:",
    )
    if st.button("Record or import", type="primary", icon=":material/add:"):
        state.go("workspace", show="record")
