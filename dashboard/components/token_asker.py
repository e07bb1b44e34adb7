"""What one token reads, where another one is a click on the picture or text away, or a choice in a list of all."""

from __future__ import annotations

import streamlit as st

from analysis.results import TokenMap
from dashboard import forms, state
from dashboard.browse.token_questions import ASKERS
from dashboard.figures import token_map, token_targets
from dashboard.parts import figure_block

HOW = {
    True: "Click a patch on any of the pictures, or choose a token here",
    False: "Click a word or token, or choose one here",
}


def draw(result: TokenMap, method: str) -> None:
    """The list of tokens, and the answer whole with its tokens as targets; what is chosen is in the URL."""
    setting = forms.PREFIX + ASKERS[method]
    if result.tokens is None or result.asked is None:
        figure_block.draw(result, key=method)
        return
    named = {int(t): name for t, name in zip(result.tokens, result.token_names, strict=True) if t >= 0}
    asked = int(result.tokens[result.asked])
    st.selectbox(
        f"Query: the token that asks ({len(named):,})", list(named), format_func=named.get,
        help="It is in the address of this page. Without a choice the method takes the one that its settings name.",
        **state.tied(f"asker:{method}", asked, lambda token: state.set_params(**{setting: token})),
    )  # fmt: skip
    st.caption(f"{HOW[token_map.on_grid(result)]}: it becomes the query.")
    figure_block.draw(
        result, key=f"{method}:{asked}", targets=True, clicked=lambda at: _ask(result, setting, at)
    )


def _ask(result: TokenMap, setting: str, at: int) -> None:
    token = token_targets.chosen(result, at, token_map.on_grid(result))
    if token is not None:
        state.set_params(**{setting: token})
        st.rerun()
