"""Share: the page as an address, as a short link that remembers what it showed, or as a stop of a tour."""

from __future__ import annotations

import streamlit as st

from analysis.people import Step
from dashboard import allowed, errors, state
from dashboard.browse import link_contents
from dashboard.parts import shown_results

LONG = 200  # characters from which on an address is called long
NEW = ""


def draw(page: str) -> None:
    """A button that opens the menu; nothing is written before something in it is pressed."""
    menu = st.popover("Share", icon=":material/share:", key="share", on_change="rerun", width="stretch")
    if not menu.open:
        return
    with menu, errors.shown():
        as_link, as_stop = st.tabs(["A link", "A stop of a tour"])
        with as_link:
            _address()
            _short(page)
        with as_stop:
            _tour(page)


def _address() -> None:
    here = state.full_address(state.here())
    st.markdown("**Address of this page**")
    st.code(here, language=None)
    long = f" It has {len(here):,} characters; the short link is easier to send." if len(here) > LONG else ""
    st.caption("Whoever opens the same workspace sees the same, with the data that are there then." + long)


def make(page: str) -> str:
    """The id of a short link to the page as it is now."""
    params = state.shown_params()
    seen = link_contents.contents(state.workspace(), params, shown_results.noted())
    return state.workspace().people.short_link(page, params, seen)


def _short(page: str) -> None:
    st.markdown("**Short link**")
    if st.button("Make a short link", icon=":material/link:", **allowed.to("editor")):
        state.put("short link", (state.here(), make(page)))
    made = state.get("short link")
    if made and made[0] == state.here():
        st.code(state.full_address(state.short(made[1])), language=None)
    st.caption(
        "It also remembers what the page showed: when the data have changed, it says so and offers both."
    )


def _tour(page: str) -> None:
    tours = state.workspace().people.tours()
    titles = {t.id: t.title for t in tours} | {NEW: "A new tour"}
    with st.form("add to tour", border=False, clear_on_submit=True):
        chosen = st.selectbox("Tour", list(titles), format_func=titles.get, label_visibility="collapsed")
        title = st.text_input("Title of a new tour", max_chars=200)
        text = st.text_area("What to say here", max_chars=20_000, height=80)
        pressed = st.form_submit_button(
            "Add this page", icon=":material/playlist_add:", **allowed.to("editor")
        )
    if pressed:
        step = Step(make(page), text)
        there = next((t for t in tours if t.id == chosen), None)
        if there is None:
            there = state.workspace().people.save_tour("", title, "", (step,))
        else:
            there = state.workspace().people.save_tour(
                there.id, there.title, there.text, (*there.steps, step), there.version
            )
        st.success(f"Stop {len(there.steps)} of {errors.escape(there.title)}", icon=":material/check:")
