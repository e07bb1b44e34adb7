"""Two layers, seeds, networks or data sets: are they the same, and in which sense?"""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.components import (
    compare_correlations,
    compare_pair,
    compare_similarity,
    compare_units,
    nothing_yet,
)

VIEWS = {  # name in the URL: (title, what draws it)
    "similarity": ("Similarity", compare_similarity.draw),
    "pair": ("Pair", compare_pair.draw),
    "units": ("Units", compare_units.draw),
    "correlations": ("Correlations", compare_correlations.draw),
}
RESETS = ("p.", "seed")  # what belongs to the view before


def page() -> None:
    """The title with the choice of view beside it, and the view."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Compare", width="content")
        shown = st.segmented_control(
            "View",
            list(VIEWS),
            format_func=lambda name: VIEWS[name][0],
            label_visibility="collapsed",
            required=True,
            **state.bound("view", next(iter(VIEWS)), list(VIEWS), resets=RESETS),
        )
    if state.current_tap() is None:
        nothing_yet.draw()
        return
    with errors.shown():
        VIEWS[shown][1]()


page()
