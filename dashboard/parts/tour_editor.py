"""A tour being written: title, words, stops in their order. What somebody else wrote meanwhile is not lost."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from analysis.errors import LoupeError
from analysis.people import EditConflict, Step, Tour
from dashboard import errors, pages, state
from dashboard.parts import tour_bar

_CONFLICT, _READ = "tour conflict", "tour read"
EARLIER, LATER, TAKE_OUT, LOOK = "Earlier", "Later", "Take out", "Look at it"
ORDER = {EARLIER: ":material/arrow_upward:", LATER: ":material/arrow_downward:",
         TAKE_OUT: ":material/playlist_remove:", LOOK: ":material/play_arrow:"}  # fmt: skip


def draw(id: str) -> None:
    """The form of one tour; whatever is pressed in it keeps the words as typed, each with its stop. Raises NotFound."""
    now = state.workspace().people.tour(id)
    tour = _read(now)
    mine = state.get(_CONFLICT)
    if mine is not None and mine.id == id:
        _conflict(now, mine)
        return
    with st.form(f"tour:{id}:{tour.version}"):
        title = st.text_input("Title", tour.title, max_chars=200)
        text = st.text_area("What it is about", tour.text, max_chars=20_000, height=80)
        said = [_stop(tour, place) for place in range(len(tour.steps))]
        pressed = st.form_submit_button("Save", icon=":material/save:", type="primary")
        at, asked = _order(tour)
    typed = replace(tour, title=title, text=text,
                    steps=tuple(replace(s, text=t) for s, t in zip(tour.steps, said, strict=True)))  # fmt: skip
    if pressed or asked:
        if asked != LOOK or typed != tour:
            _save(replace(typed, steps=_moved(typed.steps, at, asked)))
        if asked == LOOK and state.get(_CONFLICT) is None:
            tour_bar.go(typed, at)
        st.rerun()
    if st.button("Delete the tour", icon=":material/delete:", help="Its history keeps it"):
        state.workspace().people.delete_tour(tour.id, tour.version)
        state.set_params(edit=None)
        st.rerun()


def open(tour: Tour) -> None:
    """Begin to write this tour, as it is now."""
    _settle(tour)
    state.set_params(edit=tour.id)


def _read(now: Tour) -> Tour:
    """The tour as it was when this form was opened: what was typed since must meet no other form."""
    kept = state.get(_READ)
    if kept is None or kept.id != now.id:
        state.put(_READ, now)
        return now
    return kept


def _stop(tour: Tour, place: int) -> str:
    """A box of its own in every version: at the same place there may now be another stop."""
    step, key = tour.steps[place], f"stop:{tour.id}:{tour.version}:{place}"
    return st.text_area(f"Stop {place + 1}: {_where(step)}", step.text, max_chars=20_000, height=80, key=key)


def _where(step: Step) -> str:
    """ "Features, digits-vit:vit.layers.2"."""
    try:
        link = state.workspace().people.follow(step.link)
        title = next((p.title for p in pages.pages() if p.name == link.page), link.page)
        return errors.escape(", ".join([title, *link.params.get("tap", [])]))
    except LoupeError:
        return "a link that leads nowhere"


def _order(tour: Tour) -> tuple[int, str]:
    """Which stop, and what is asked for it; "" for nothing."""
    if not tour.steps:
        st.info(
            "No stop yet. Open a page, press **Share** in the sidebar, and add it here.",
            icon=":material/info:",
        )
        return 0, ""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        at = st.selectbox("Stop", range(len(tour.steps)), format_func=lambda n: f"{n + 1}", width=90)
        pressed = [name for name, icon in ORDER.items() if st.form_submit_button(name, icon=icon)]
    return at, "".join(pressed)


def _moved(steps: tuple[Step, ...], at: int, asked: str) -> tuple[Step, ...]:
    """The first cannot go earlier, the last not later."""
    moved = list(steps)
    if asked in (EARLIER, LATER):
        to = min(max(at + (1 if asked == LATER else -1), 0), len(steps) - 1)
        moved.insert(to, moved.pop(at))
    elif asked == TAKE_OUT:
        del moved[at]
    return tuple(moved)


def _save(mine: Tour, version: int | None = None) -> None:
    try:
        kept = state.workspace().people.save_tour(
            mine.id, mine.title, mine.text, mine.steps, mine.version if version is None else version
        )
        _settle(kept)
    except EditConflict:
        state.put(_CONFLICT, mine)


def _settle(tour: Tour) -> None:
    """From here on this is what was read."""
    state.put(_CONFLICT, None)
    state.put(_READ, tour)


def _conflict(theirs: Tour, mine: Tour) -> None:
    """Both, side by side; nothing is written before one is chosen."""
    st.warning(
        f"{errors.escape(theirs.author or 'Somebody')} changed this tour meanwhile. Yours is not saved yet.",
        icon=":material/group:",
    )
    left, right = st.columns(2)
    with left:
        _shown("Yours", mine)
        if st.button("Keep mine", key="conflict:mine"):
            _save(mine, theirs.version)
            st.rerun()
        if st.button("Go on writing mine", key="conflict:merge", help="To merge the two by hand, then save"):
            _settle(replace(mine, version=theirs.version))
            st.rerun()
    with right:
        _shown("Theirs", theirs)
        if st.button("Keep theirs", key="conflict:theirs"):
            _settle(theirs)
            st.rerun()


def _shown(whose: str, tour: Tour) -> None:
    st.markdown(f"##### {whose}")
    st.markdown(f"**{errors.escape(tour.title)}**  \n{tour_bar.lines(tour.text)}")
    for place, step in enumerate(tour.steps):
        st.markdown(f"{place + 1}\\. {_where(step)}: {tour_bar.lines(step.text)}")
