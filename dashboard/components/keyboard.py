"""What Streamlit leaves undone for whoever works by the keyboard: Tab leads from a popover's button into the popover
(keyboard/popover_order.js), and saving does not lose the focus (keyboard/focus.js). On every page; shows nothing."""

from __future__ import annotations

import streamlit as st

from dashboard.components.source import joined

_help = st.components.v2.component("loupe_keyboard", js=joined("keyboard", "popover_order.js", "focus.js"))


def help_along() -> None:
    """For the whole page."""
    _help(key="keyboard")
