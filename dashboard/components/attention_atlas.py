"""The grid of all heads; a click on one leads to what it looks at in a sample."""

from __future__ import annotations

import streamlit as st

from analysis.results import Matrix
from dashboard import state
from dashboard.parts import figure_block


def draw(result: Matrix, key: str) -> None:
    """The grid, whole, with its cells as targets."""
    st.caption("Click a head to see what it looks at in a sample.")
    figure_block.draw(result, key=key, targets=True, clicked=lambda at: _open(result, at))


def _open(result: Matrix, at: int) -> None:
    """The pattern of the clicked head; rows and columns are layers and heads in the order of their numbers."""
    layer, head = divmod(at, len(result.column_names))
    state.go("tokens", view="attention", ask="attention_pattern", tap=":".join(state.current_tap()),
             **{"p.layer": layer + 1, "p.head": head + 1})  # fmt: skip
