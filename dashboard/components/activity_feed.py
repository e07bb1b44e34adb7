"""What changed in the workspace, newest first: by whom, what, where; a click goes to the place."""

from __future__ import annotations

import streamlit as st

from analysis.errors import LoupeError
from analysis.people import Change
from dashboard import errors, pages, state
from dashboard.browse import written
from dashboard.browse.unit_words import word_of
from dashboard.parts import change_list

PAGE, LAST = 25, 2**53


def draw() -> None:
    """The filters, a page of changes, and the way to older ones."""
    people = state.workspace().people
    asked = filters(people.authors())
    before = state.param("before", 0, state.between(1, LAST, int))
    rest = (
        None if asked["kind"] else "link"
    )  # one is made for every stop of a tour: they are listed when asked for
    found = people.feed(PAGE + 1, before or None, without=rest, **asked)
    if not found:
        st.info("Nothing that passes these filters." if any(asked.values()) or before else
                "Nobody has written anything here yet. Notes, stars, names and tags are on the cards of features and "
                "samples, and below figures.", icon=":material/forum:")  # fmt: skip
    day = ""
    for change in found[:PAGE]:
        if change.made[:10] != day:
            day = change.made[:10]
            st.markdown(f"#### {errors.escape(day) or 'Earlier'}", help="Times are in UTC")
        _line(change)
    with st.container(horizontal=True):
        if before:
            st.button(
                "Newest", icon=":material/first_page:", on_click=state.set_params, kwargs={"before": None}
            )
        if len(found) > PAGE:
            st.button("Older", icon=":material/chevron_right:", on_click=state.set_params,
                      kwargs={"before": found[PAGE - 1].seq})  # fmt: skip


def filters(authors: list[str]) -> dict[str, str | None]:
    """What the URL asks for, as arguments of `People.feed`."""
    stores = [entry.name for entry in state.workspace().stores()]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control("About", ["", *written.KINDS], required=True,
                                    format_func=lambda k: written.KINDS.get(k, "All"),
                                    **state.bound("about", "", ["", *written.KINDS], resets=("before",)))  # fmt: skip
        author = st.selectbox("By", ["", *authors], format_func=lambda a: a or "anybody", width=200,
                              **state.bound("by", "", ["", *authors], resets=("before",)))  # fmt: skip
        store = st.selectbox("In store", ["", *stores], format_func=lambda s: s or "any", width=220,
                             **state.bound("in", "", ["", *stores], resets=("before",)))  # fmt: skip
    return {"kind": kind or None, "author": author or None, "store": store or None}


def _line(change: Change) -> None:
    thing = change.thing
    taps = state.tap_references()
    word = "unit"
    if f"{thing.store}:{thing.tap}" in taps:
        word = word_of(state.workspace().store(thing.store), thing.tap)
    told = f"**{errors.escape(change.author or 'somebody')}** {errors.escape(written.said(change, word))}"
    before, after = written.texts(change)
    if before is not None or after is not None:
        told += change_list.line(change)
    at = errors.escape(change.made[11:16]) or "earlier"
    left, right = st.columns([10, 1], vertical_alignment="center")
    left.markdown(f":gray[{at}] {told}")
    to = _place(change, taps)
    look = {"type": "tertiary", "icon": ":material/arrow_forward:"}
    if to is not None and right.button("Open", key=f"open:{change.seq}", **look):
        state.go(to[0], **to[1])


def _place(change: Change, taps: list[str]) -> tuple[str, dict] | None:
    known = [page.name for page in pages.pages()]
    if change.thing.kind != "link":
        return written.place(change.thing, change.after or change.before, taps, known)
    try:
        link = state.workspace().people.follow(change.thing.item)
    except LoupeError:
        return None
    return (link.page, link.params) if link.page in known else None
