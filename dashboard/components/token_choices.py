"""What a person picks on a token film: a token that is opened, boxes that are drawn or typed; kept in the URL."""

from __future__ import annotations

import re

import streamlit as st

from analysis import registry
from dashboard import errors, state
from dashboard.browse import rule_words, token_marks, token_taps
from dashboard.browse.token_questions import QUESTIONS
from dashboard.figures import token_film
from dashboard.figures.film_opened import opened_picture, opened_text

OPENED = re.compile(r"\d{1,6}\.\d{1,6}")
MOST_BOXES = 20
MOST_LINKS = 6
HANDS = {"open": "Open a token: click it", "box": "Draw a box: drag"}
HANDS_WORDS = {"open": "Open a token: click it", "box": "Mark a stretch: drag"}
MODES = {"open": "points", "box": "box"}  # what Plotly is to tell of


def opened() -> str:
    """The opened token, "step.token"; "" where none is."""
    return state.param("open", "", _opened)


def _opened(text: str) -> str:
    if not OPENED.fullmatch(text):
        raise ValueError(text)
    return text


def hand(of_words: bool) -> str:
    """What the pointer does on a film: "open" or "box"."""
    names = HANDS_WORDS if of_words else HANDS
    return st.segmented_control(
        "The pointer on the film", list(names), format_func=names.get, required=True, label_visibility="collapsed",
        **state.bound("hand", "open", list(names)),
    )  # fmt: skip


def boxes_typed(of_words: bool) -> str:
    """The boxes in the URL, to be changed as text; on a film they are drawn."""
    name, shape = ("Stretches of tokens", "5-9; 20") if of_words else ("Boxes", "2-3, 2-4; 1, 1-4")
    how = (
        "Numbers of tokens, as under the film"
        if of_words
        else "Rows, then columns of patches, counted from 1"
    )
    text = st.text_input(
        name, placeholder=shape, max_chars=400,
        help=f"{how}; several with ; between. Every rule says how much of what is inside it leaves.",
        **state.bound("boxes", "", None),
    )  # fmt: skip
    if text and st.button("Take the marks away", icon=":material/close:", key="boxes:none"):
        state.set_params(boxes=None)
        st.rerun()
    return text


def take(film, boxes: str, event) -> None:
    """Write into the URL what was clicked or drawn on a film."""
    picked = getattr(event, "selection", None) or {}
    drawn = [token_film.box(film, box["x"], box["y"]) for box in picked.get("box") or ()]
    points = [p for p in picked.get("points") or () if p.get("curve_number") == 0]
    if any(drawn):
        known = [b.strip() for b in boxes.split(";") if b.strip()]
        state.set_params(boxes="; ".join(dict.fromkeys([*known, *filter(None, drawn)][-MOST_BOXES:])))
    elif points:
        state.set_params(open=token_film.place(film, int(points[0]["point_index"])) or None)


def opened_token(film, text: str, key: str) -> None:
    """The exact set of input tokens inside the opened token, as a picture and in words."""
    at = token_marks.opened(film, text)
    if at is None:
        return
    with st.container(border=True):
        picture = opened_picture(film, at, state.theme())
        left, right = st.columns([1, 3]) if picture else (None, st.container())
        words = token_marks.opened_words(film, at)
        if picture:
            left.image(picture, width="stretch", caption="Inside it")
        with right:
            st.markdown(errors.escape(words))
            if text_of := opened_text(film, at):
                st.html(text_of)
            if st.button("Close", icon=":material/close:", key=f"close:{key}"):
                state.set_params(open=None)
                st.rerun()


def rules_in_words() -> None:
    """What each rule does, behind a line: their names are those of papers."""
    with st.expander("What the rules do, each in a sentence", icon=":material/dictionary:"):
        st.markdown(rule_words.glossary())


def made_for(view: str, reference: str) -> None:
    """Of a tap that a view is not made for what it lacks, and where there are taps that have it."""
    need, asks = token_taps.NEEDS.get(view), list(QUESTIONS[view].asks.values())
    if need is None or not need.concerns(registry.method(state.param("ask", asks[0], asks))):
        return
    if not need.missing(state.workspace().activations(reference)):
        return
    with st.container(border=True):
        st.caption(f":material/info: {errors.escape(need.without)}")
        other_taps(reference, need)


def other_taps(reference: str, need: token_taps.Need = token_taps.NEEDS["pooling"]) -> None:
    """Links to taps that have what this one lacks, one of each store; else the way to record some."""
    by_store = {}
    for other in state.tap_references():
        if other != reference and need.fits(state.workspace().activations(other)):
            by_store.setdefault(other.partition(":")[0], []).append(other)
    found = [state.opening_tap(taps) for taps in by_store.values()][:MOST_LINKS]
    here = state.kept("view", "ask")
    links = ", ".join(f"[{errors.escape(o)}]({state.link('tokens', tap=o, **here)})" for o in found)
    none = f"none. [Record a network or import taps]({state.link('workspace', show='record')})"
    st.caption(f"{need.which} in this workspace: {links or none}")
