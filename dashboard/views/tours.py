"""Tours: ordered links with words, played as a presentation."""

from __future__ import annotations

import streamlit as st

from analysis import access
from analysis.people import Tour
from dashboard import allowed, errors, state
from dashboard.components import nothing_yet
from dashboard.parts import tour_bar, tour_editor


def page() -> None:
    """The tours of this workspace, and the one that is being written."""
    st.title("Tours")
    st.caption("A tour leads colleagues from page to page, with your words above each. Open a page and press Share in "
               "the sidebar to make it a stop.")  # fmt: skip
    tours = state.workspace().people.tours()
    if not tours and state.current_tap() is None:
        nothing_yet.draw()
    elif not tours:
        st.info("No tour yet. Open what you want to show, such as a map or a card, press **Share** in the sidebar, "
                "write what to say there and add it to a new tour.", icon=":material/info:")  # fmt: skip
    for tour in tours:
        _listed(tour)
    chosen = state.param("edit", "", [t.id for t in tours])
    if chosen and not access.may("editor"):
        st.info(allowed.words("editor"), icon=":material/lock:")
    elif chosen:
        with errors.shown():
            tour_editor.draw(chosen)


def _listed(tour: Tour) -> None:
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        about = f"**{errors.escape(tour.title)}**  \n:gray[{errors.escape(_facts(tour))}]"
        st.markdown(about, width="stretch")
        if st.button(
            "Play",
            key=f"play:{tour.id}",
            icon=":material/play_arrow:",
            disabled=not tour.steps,
            help=None if tour.steps else "It has no stop yet",
        ):
            tour_bar.go(tour, 0)
        if st.button("Edit", key=f"edit:{tour.id}", icon=":material/edit:", **allowed.to("editor")):
            tour_editor.open(tour)
            st.rerun()


def _facts(tour: Tour) -> str:
    stops = f"{len(tour.steps)} stop{'s' * (len(tour.steps) != 1)}"
    return ", ".join(filter(None, [stops, tour.author, tour.made[:10]]))


page()
