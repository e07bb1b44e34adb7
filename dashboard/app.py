"""The page list and the shared frame: what Streamlit runs for every page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import brand, errors, observed, state
from dashboard.components import keyboard
from dashboard.parts import (
    followed_link,
    log_file,
    navigation_pages,
    share_menu,
    shown_results,
    sidebar,
    tour_bar,
    visitor,
)

st.set_page_config(page_title="Feature Loupe", page_icon=brand.icon(), layout="wide")
look = (Path(__file__).parent / "frame.css").read_text(encoding="utf-8")
st.html(f"<style>:root {{ color-scheme: {state.theme()}; }}\n{look}</style>")
log_file.once()
st.logo(brand.wordmark(state.theme()), icon_image=brand.icon(), size="large")

name, chosen = navigation_pages.chosen()


def draw() -> None:
    """The page with its frame, for whoever is let in."""
    state.enter_page(name)
    visitor.note_opened(name)
    shown_results.begin()
    with errors.said():
        followed_link.arrive()
    share = st.sidebar.container()
    with st.sidebar, errors.shown():
        sidebar.draw(name)
        visitor.draw()
        keyboard.help_along()
    tour_bar.draw()
    if followed_link.draw():
        with errors.shown():
            chosen.run()
    with share, errors.shown():  # at the end, when it is known what the page shows
        share_menu.draw(name)
    state.leave_page(name)


with observed.run(name):
    let_in = False
    with errors.shown():
        let_in = visitor.let_in()
    if let_in:
        draw()
