"""Which tokens survive, where did each patch go, what did it cost, and can attention be trusted?"""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse.token_questions import ABOUT_FILM, FILM, QUESTIONS, carried_to
from dashboard.components import nothing_yet, token_answers, token_film

RESETS = (
    "p.",
    "seed",
    "ask",
    "tap2",
    "step",
    "show",
    "s.",
    "b.",
    "open",
    "boxes",
    "joined",
)  # of the view before
TITLES = {FILM: "Film"} | {name: view.title for name, view in QUESTIONS.items()}


def page() -> None:
    """The title with the choice of view beside it, and the film or the questions of the view."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Tokens", width="content")
        shown = st.segmented_control(
            "View",
            list(TITLES),
            format_func=TITLES.get,
            label_visibility="collapsed",
            required=True,
            **state.bound("view", next(iter(TITLES)), list(TITLES), resets=RESETS, keeps=carried_to),
        )
    if state.current_tap() is None:
        nothing_yet.draw()
        return
    with errors.shown():
        if shown == FILM:
            st.caption(ABOUT_FILM)
            token_film.draw()
        else:
            token_answers.draw(shown)


page()
