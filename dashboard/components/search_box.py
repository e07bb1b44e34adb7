"""The search box above the map: what it finds becomes the selection."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse import searching
from dashboard.components import redraw
from dashboard.components.map_panel import Shown


def draw(at: Shown) -> None:
    """A text field; its hits light up, its faults are said beside it."""
    st.text_input(
        "Search",
        placeholder=searching.EXAMPLE,
        icon=":material/search:",
        max_chars=400,
        help=searching.HELP,
        width=360,
        label_visibility="collapsed",
        **state.tied("search", state.param("q", ""), lambda text: _search(at, text)),
    )


def says(at: Shown) -> None:
    """How many were found, or what was wrong with the words."""
    asked = state.param("q", "")
    said = state.get("search says")
    if (
        asked and said is None
    ):  # a link that somebody else sent: say what it found, and show it where nothing else is
        _say(at, asked, keeps=bool(state.param("sel", "")))
        if state.param("sel", "") != (at.selection.name if at.selection else ""):
            redraw.here()
        said = state.get("search says")
    if not asked or not said or (said["q"], said["tap"]) != (asked, at.reference):
        return
    words = errors.escape(said["words"])
    st.caption(f":orange[{words}]" if said["fault"] else words)


def _search(at: Shown, text: str) -> None:
    """Run once, when the text was entered: the hits are kept as the selection, which the link then carries."""
    text = text.strip()
    state.set_params(q=text or None)
    if not text:
        return
    _say(at, text)


def _say(at: Shown, text: str, keeps: bool = False) -> None:
    found = searching.found(state.workspace(), at.reference, text, of=at.result.of)
    if found.selection and not keeps:
        state.set_params(sel=found.selection, vs=None)
    state.put("search says", {"q": text, "tap": at.reference, "words": found.words, "fault": found.fault})
