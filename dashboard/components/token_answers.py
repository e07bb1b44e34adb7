"""The questions of one view of the page Tokens: what the tap lacks for them, what is asked in the open, the answers."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, forms, state
from dashboard.browse.token_questions import ASKERS, QUESTIONS, carried, open_settings, samples_of
from dashboard.components import (
    attention_atlas,
    explained_sample,
    questions,
    rule_curves,
    token_asker,
    token_choices,
)

ANSWERS = {"attention_atlas": attention_atlas.draw, "token_ledger": rule_curves.draw} | dict.fromkeys(
    ASKERS, token_asker.draw
)
MORE = {"token_ledger": rule_curves.rules_box, "latency": rule_curves.rules_box}
STARTS, PICKED = (
    20.0,
    120.0,
)  # seconds of work that a question may start by being asked, or by a click on its answer


def draw(view: str) -> None:
    """What the view is about, then its questions and the answer to the chosen one."""
    st.caption(QUESTIONS[view].about)
    with errors.shown():
        token_choices.made_for(view, ":".join(state.current_tap()))
    if view == "rules":
        token_choices.rules_in_words()
    questions.draw(QUESTIONS[view].asks, view, more=MORE, answers=ANSWERS, given=_asked,
                   starts_below=_starts_below(), keeps=carried)  # fmt: skip


def _starts_below() -> float:
    """A token that was clicked is asked for already."""
    setting = ASKERS.get(state.param("ask", "", list(ASKERS)))
    return PICKED if setting in state.params(forms.PREFIX) else STARTS


def _asked(method) -> dict:
    """Which head, layer or measure, and which sample: asked in the open, other settings behind a line."""
    return forms.chosen(method.params, open_settings(method)) | {
        setting: explained_sample.draw(setting) for setting in samples_of(method)
    }
