"""A tour being played: what is said at this stop, above the page that it is said about."""

from __future__ import annotations

import streamlit as st

from analysis.people import Tour
from dashboard import errors, pages, state


def draw() -> None:
    """The bar, where the URL names a tour; nothing otherwise."""
    id = state.param("tour", "")
    if not id:
        return
    with errors.said():
        tour = state.workspace().people.tour(id)
        at = state.param("step", 0, range(len(tour.steps)))
        st.html(
            "<style>[data-testid='stSidebar'] { display: none; }</style>"
        )  # the audience looks at the page
        with st.container(border=True, key="tour"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{errors.escape(tour.title)}**", width="stretch")
                st.caption(
                    f"Stop {at + 1} of {len(tour.steps)}" if tour.steps else "No stop yet", width="content"
                )
                _button("Back", at - 1, tour, "left", "arrow_back")
                _button("Next", at + 1, tour, "right", "arrow_forward")
                if st.button(
                    "End", key="tour:end", icon=":material/close:", help="Leave the tour, stay on this page"
                ):
                    state.set_params(tour=None, step=None)
                    st.rerun()
            if tour.steps and tour.steps[at].text:
                st.markdown(lines(tour.steps[at].text))


def _button(name: str, to: int, tour: Tour, key: str, icon: str) -> None:
    there = 0 <= to < len(tour.steps)
    if st.button(
        name, key=f"tour:{name}", icon=f":material/{icon}:", disabled=not there, shortcut=f"Alt+{key}"
    ):
        go(tour, to)


def go(tour: Tour, to: int) -> None:
    """To a stop of a tour. Raises NotFound for a link that leads nowhere."""
    link = state.workspace().people.follow(tour.steps[to].link)
    page = link.page if link.page in [p.name for p in pages.pages()] else "tours"
    state.go(page, **link.params, link=link.id, tour=tour.id, step=to)


def lines(text: str) -> str:
    """What somebody wrote, as it is, with its lines and paragraphs."""
    return errors.escape(text.strip()).replace("\n", "  \n")
