"""Training: what to learn from the chosen tap on the left, and the course of the work on the right."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse import feature_sets
from dashboard.components import nothing_yet, training_course
from dashboard.parts import train_form


def draw() -> None:
    """The form for the recorded tap behind the chosen one, and what is or was under way."""
    current = state.current_tap()
    if current is None:
        nothing_yet.draw()
        return
    store_name, tap = current
    source = feature_sets.source_of(state.workspace().store(store_name), tap)
    left, right = st.columns([1, 1.35], gap="large")
    with left, errors.shown():
        train_form.draw(store_name, source)
    with right, errors.shown():
        training_course.draw()
