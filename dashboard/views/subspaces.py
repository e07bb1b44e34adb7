"""Where does a layer live, how many directions does it use, how does that move, and which direction is a concept?"""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse.subspace_questions import QUESTIONS
from dashboard.components import film, nothing_yet, questions
from dashboard.parts import erase_form

ERASING = dict.fromkeys(("concept_erasure", "erasure_by_rank", "collateral_damage"), erase_form.draw)
ANSWERS = {"subspace_film": film.draw}
RESETS = ("p.", "seed", "ask", "tap2", "step")  # what belongs to the view before


def page() -> None:
    """The title with the choice of view beside it, and the questions of the view."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Subspaces", width="content")
        shown = st.segmented_control(
            "View",
            list(QUESTIONS),
            format_func=lambda name: QUESTIONS[name].title,
            label_visibility="collapsed",
            required=True,
            **state.bound("view", next(iter(QUESTIONS)), list(QUESTIONS), resets=RESETS),
        )
    if state.current_tap() is None:
        nothing_yet.draw()
        return
    with errors.shown():
        st.caption(QUESTIONS[shown].about)
        questions.draw(QUESTIONS[shown].asks, shown, ERASING, ANSWERS)


page()
