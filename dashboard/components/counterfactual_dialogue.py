"""The fewest changes that turn an answer, as an exchange: the person guesses, the network answers, the next change.

Guesses are in the link, so that a colleague sees what was believed; the table waits until all are made.
"""

from __future__ import annotations

import streamlit as st

from analysis.results import Table
from dashboard import errors, state
from dashboard.browse import dialogue, focus
from dashboard.browse.dialogue import Turn
from dashboard.components.tiles import tiles
from dashboard.parts import figure_block

GUESS, OPEN = "guess", "all"
AROUND = 12  # tokens of a text


def draw(result: Table, key: str) -> None:
    """Turn by turn; the whole result below once it is told."""
    asked = dialogue.turns(result)
    guesses = dialogue.read(state.param(GUESS, []), asked)
    if asked and len(guesses) < len(asked):
        told = st.toggle("Tell me everything at once", **state.bound(OPEN, False))
    else:
        told = True
    if asked:
        for turn in asked[: len(guesses) + 1]:
            _turn(result, turn, guesses)
        if len(guesses) == len(asked):
            st.markdown(errors.escape(dialogue.tally(asked, guesses)))
            if st.button("Guess again", icon=":material/replay:"):
                state.set_params(**{GUESS: []})
                st.rerun()
    if told:
        figure_block.draw(result, key=key)


def _turn(result: Table, turn: Turn, guesses: dict[int, str]) -> None:
    with st.container(border=True):
        st.markdown(f"**{turn.step}.** {errors.escape(turn.question)}")
        with errors.shown():
            _shown(result, turn)
        guess = guesses.get(turn.step)
        if guess is not None:
            st.markdown(errors.escape(dialogue.answer(turn, guess)))
            return
        with st.container(horizontal=True):
            for choice in turn.choices:
                if st.button(errors.escape(choice), key=f"guess {turn.step} {choice}"):
                    state.set_params(**{GUESS: dialogue.written({**guesses, turn.step: choice})})
                    st.rerun()


def _shown(result: Table, turn: Turn) -> None:
    """Samples that show the concept."""
    name, _, tap = str(result.origin.inputs[0]["name"]).partition(":") if result.origin else ("", "", "")
    if not name:
        return
    store = state.workspace().store(name)
    layout = store.activations(tap).layout
    rows = [int(layout.offsets[s]) for s in turn.shown if layout.offsets[s] < layout.offsets[s + 1]]
    made = [
        focus.tile(store, tap, layout, row, AROUND) | {"box": None, "where": "", "marked": -1} for row in rows
    ]
    if made:
        st.caption(f"Samples that show {errors.escape(turn.concept)} more than others:")
        sample = tiles(made, key=f"shown {turn.step}")
        if sample is not None:
            state.go("map", tap=f"{name}:{tap}", focus=int(layout.offsets[sample]))
