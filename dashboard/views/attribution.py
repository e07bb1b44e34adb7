"""Who is responsible for an answer, how much of it is unexplained, and what would change it?"""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse.attribution_questions import ABOUT_WHAT_IF, QUESTIONS, WHAT_IF, samples_of
from dashboard.components import (
    cell_painter,
    counterfactual_dialogue,
    explained_sample,
    nothing_yet,
    questions,
    what_if,
)

RESETS = (
    "p.",
    "seed",
    "ask",
    "tap2",
    "step",
    "move",
    "dial",
    "range",
    "guess",
    "all",
)  # what belongs to the view before
ANSWERS = {"counterfactual_dialogue": counterfactual_dialogue.draw}
STARTS = 20.0  # seconds of work that a question may start by being asked
TITLES = {name: view.title for name, view in QUESTIONS.items()} | {WHAT_IF: "What if"}


def page() -> None:
    """The title with the choice of view beside it, and the questions of the view."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Attribution", width="content")
        shown = st.segmented_control(
            "View",
            list(TITLES),
            format_func=TITLES.get,
            label_visibility="collapsed",
            required=True,
            **state.bound("view", next(iter(TITLES)), list(TITLES), resets=RESETS),
        )
    if state.current_tap() is None:
        nothing_yet.draw()
        return
    with errors.shown():
        if shown == WHAT_IF:
            st.caption(ABOUT_WHAT_IF)
            what_if.draw()
            return
        st.caption(QUESTIONS[shown].about)
        questions.draw(QUESTIONS[shown].asks, shown, answers=ANSWERS, given=_samples, starts_below=STARTS)


def _samples(method) -> dict:
    painted = cell_painter.takes(method)
    chosen = {setting: explained_sample.draw(setting, not painted) for setting in samples_of(method)}
    return chosen | (cell_painter.draw(chosen[cell_painter.QUERY]) if painted else {})


page()
