"""What speaks against a method: its known-answer check, and its own words on when it misleads."""

from __future__ import annotations

import streamlit as st

from analysis.spec import Method
from dashboard import errors, state
from dashboard.parts import check_block, method_picker


def draw(method: Method, check: str = "Check this method") -> None:
    """Two boxes that open; what is in them is read then."""
    box = st.expander(check, icon=":material/fact_check:", **state.bound("check", False))
    if box.open:
        with box, errors.shown():
            check_block.draw(method)
    box = st.expander(
        "How it works, and when it misleads", icon=":material/menu_book:", **state.bound("about", False)
    )
    if box.open:
        with box:
            method_picker.about(method)
