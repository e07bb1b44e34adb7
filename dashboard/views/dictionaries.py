"""Dictionaries: train and import feature sets, encode taps with them, and judge what they found."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.components import (
    certify_tap,
    dictionary_report,
    feature_sets,
    tap_features,
    train_dictionary,
)
from dashboard.parts import feature_set_form

SECTIONS = {  # by name in the URL: title, what it is for, what draws it
    "sets": (
        "Feature sets",
        "A dictionary describes a tap by features instead of units. A feature is a direction; of a sparse dictionary "
        "few are active at a time, of PCA and its like all are.",
        feature_sets.draw,
    ),
    "train": (
        "Train",
        "Learn features from the chosen tap, here on this machine: directions, few of them active at a time where the "
        "kind is a sparse one.",
        train_dictionary.draw,
    ),
    "import": (
        "Import",
        "A sparse autoencoder or other dictionary that you have as weights: they are copied into this workspace.",
        feature_set_form.draw,
    ),
    "tap": ("Encode a tap", "", tap_features.draw),
    "certify": (
        "Certify",
        "Would other seeds, other samples and other networks show the same features? Each test beside its chance.",
        certify_tap.draw,
    ),
    "report": ("Report", "How good are the features of the chosen tap?", dictionary_report.draw),
}
RESETS = ("job", "ask", "p.", "t.", "seed", "tap2", "seeds", "networks")  # what belongs to the section before


def page() -> None:
    """The title with the choice of section beside it, and the section."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Dictionaries", width="content")
        shown = st.segmented_control(
            "Section",
            list(SECTIONS),
            format_func=lambda name: SECTIONS[name][0],
            label_visibility="collapsed",
            required=True,
            **state.bound("view", "sets", list(SECTIONS), resets=RESETS),
        )
    _, about, draw = SECTIONS[shown]
    state.current_tap()  # into the URL, whatever is shown
    with errors.shown():
        if about:
            st.caption(about)
        draw()


page()
