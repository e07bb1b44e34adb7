"""Two samples with lines between the parts that match (matches/matches.js)."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from analysis.results import Result
from dashboard import errors, state
from dashboard.browse.matched_parts import matches
from dashboard.components.source import joined

UP, DOWN = "#D6604D", "#2F79B5"
_matches = st.components.v2.component(
    "loupe_matches", css=joined("matches", "matches.css"), js=joined("matches", "../dom.js", "matches.js")
)


def of(result: Result, key: str) -> Callable[[], None] | None:
    """What draws the pair of samples that a result is about, or None where there is none to draw."""
    found = matches(state.workspace(), result)
    if found is None:
        return None

    def draw() -> None:
        st.markdown(f"**{errors.escape(result.title)}**")
        _matches(key=f"matches:{key}", data=found.data() | {"up": UP, "down": DOWN})

    return draw
