"""The text of a film as it is behind a layer: what is gone is grey and struck through."""

from __future__ import annotations

import streamlit as st

from dashboard import state
from dashboard.figures.film_text import text_after


def draw(film) -> None:
    """Nothing of a sample without words. Two films beside each other share the layer."""
    if not film.words:
        return
    last = len(film.names) - 1
    at = state.param("step", last, state.between(0, last, int))
    with st.container(border=True):
        st.caption(f"The text behind {film.names[at]}" if at else "The text as it was given")
        st.html(text_after(film, at, state.theme()))


def chosen(film) -> None:
    """The layer behind which the text is shown."""
    if film.words and len(film.names) > 1:
        places = list(range(len(film.names)))
        st.select_slider("The text behind", places, format_func=lambda k: film.names[k],
                         **state.bound("step", places[-1], places))  # fmt: skip
