"""A dialogue about one answer: a concept is flipped, the user guesses, the network answers, the next one follows.

A guess is kept before the answer is shown; what is known of it lives in the session alone.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from analysis.results import Result, Table
from dashboard import state
from dashboard.browse.dialogue import Turn, faces, plain, score, turns
from dashboard.components.tiles import gallery


def of(result: Result, key: str) -> Callable[[], None] | None:
    """What draws the dialogue, or None where the result holds none."""
    found = turns(result) if isinstance(result, Table) else []
    return (lambda: _draw(result, found, key)) if found else None


def _draw(result: Table, found: list[Turn], key: str) -> None:
    told = f"dialogue:{key}:{result.title}:{found[0].asked}:{len(found)}"  # of this result alone
    guesses = list(state.get(told, []))[: len(found)]
    for i, turn in enumerate(found[: len(guesses) + 1]):
        _turn(result, plain(turn), i, guesses, told)
    if len(guesses) == len(found):
        st.markdown(f"**{score(guesses, found)}**")
        if st.button("Start again", key=f"{told}:again", icon=":material/replay:"):
            state.put(told, [])
            st.rerun()


def _turn(result: Table, turn: Turn, i: int, guesses: list[str], told: str) -> None:
    with st.container(border=True):
        st.markdown(f"**{i + 1}. {turn.asked}**")
        seen = faces(state.workspace(), result, turn) if result.origin else None
        if seen is not None:
            row = gallery(seen.tiles(), texts=seen.kind == "texts", key=f"{told}:{i}:faces")
            if row is not None:
                state.go("map", tap=seen.reference, focus=row)
        if i < len(guesses):
            right = "as you guessed" if guesses[i] == turn.answer else f"you guessed {guesses[i]}"
            st.markdown(f"{turn.said} ({right}; the wanted answer has {turn.wanted:.0%})")
            return
        guess = st.radio("Your guess", turn.choices, index=None, horizontal=True, key=f"{told}:{i}:guess")
        if st.button("Ask the network", disabled=guess is None, key=f"{told}:{i}:ask", type="primary"):
            state.put(told, [*guesses, guess])
            st.rerun()
