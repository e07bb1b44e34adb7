"""Questions about the features of the chosen tap: every installed method on dictionaries."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse.dictionary_questions import asks
from dashboard.browse.feature_sets import encoded_taps
from dashboard.components import nothing_yet, questions
from dashboard.parts import tap_picker

MOST = 8  # links


def draw() -> None:
    """The questions; where the tap is not encoded, which ones are."""
    current = state.current_tap()
    if current is None:
        nothing_yet.draw()
        return
    if current[1] in state.workspace().store(current[0]).recorded:
        _other_taps()
    known = asks()
    if not known:
        st.info("No method on dictionaries is installed yet.", icon=":material/hourglass_empty:")
        return
    questions.draw(known, "report")


def _other_taps() -> None:
    """The chosen tap holds units, not features: links to encoded ones."""
    found = encoded_taps(state.workspace())[:MOST]
    said = "This tap holds units as they were recorded. "
    links = [
        f"- [{errors.escape(tap_picker.shown(e.reference))}]"
        f"({state.link('dictionaries', view='report', tap=e.reference)})"
        for e in found
    ]
    ways = "Features are in:\n" + "\n".join(links) if links else "Encode it first: **Encode a tap**, above."
    st.info(said + ways, icon=":material/info:")
