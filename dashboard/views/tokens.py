"""Which tokens survive, where did each patch go, what did it cost, and can attention be trusted?"""

from __future__ import annotations

import streamlit as st

from dashboard import errors, forms, state
from dashboard.browse.token_questions import (
    ABOUT_FILM,
    ASKERS,
    FILM,
    QUESTIONS,
    carried,
    carried_to,
    open_settings,
    samples_of,
)
from dashboard.components import (
    attention_atlas,
    explained_sample,
    nothing_yet,
    questions,
    token_asker,
    token_choices,
    token_film,
)

RESETS = ("p.", "seed", "ask", "tap2", "step", "show", "s.", "b.", "open", "boxes")  # of the view before
ANSWERS = {"attention_atlas": attention_atlas.draw} | dict.fromkeys(ASKERS, token_asker.draw)
STARTS, PICKED = (
    20.0,
    120.0,
)  # seconds of work that a question may start by being asked, or by a click on its answer
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
            return
        st.caption(QUESTIONS[shown].about)
        with errors.shown():
            token_choices.made_for(shown, ":".join(state.current_tap()))
        if shown == "rules":
            token_choices.rules_in_words()
        questions.draw(QUESTIONS[shown].asks, shown, answers=ANSWERS, given=_asked, starts_below=_starts_below(),
                       keeps=carried)  # fmt: skip


def _starts_below() -> float:
    """A token that was clicked is asked for already."""
    setting = ASKERS.get(state.param("ask", "", list(ASKERS)))
    return PICKED if setting in state.params(forms.PREFIX) else STARTS


def _asked(method) -> dict:
    """Which head, layer or measure, and which sample: asked in the open, other settings behind a line."""
    return forms.chosen(method.params, open_settings(method)) | {
        setting: explained_sample.draw(setting) for setting in samples_of(method)
    }


page()
