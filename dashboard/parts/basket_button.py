"""A figure as it is shown, into a basket: in the export menu of every figure."""

from __future__ import annotations

import streamlit as st

from analysis import access
from analysis.results import Result
from analysis.sharing.baskets.shelf import Baskets
from dashboard import errors, state

LAST, FIRST = "basket:last", "Figure 1"


def draw(result: Result, key: str, options: dict) -> None:
    """Which basket, the button, and the way to it. `options` of the drawing go along."""
    if not access.may("editor"):
        return
    names = Baskets(state.workspace().path).names()
    last = state.get(LAST, names[-1] if names else FIRST)
    offered = list(dict.fromkeys([last, *names]))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Basket", offered, key=f"basket:{key}", width=230, accept_new_options=True,
            help="Figures that are to be panels a, b, c of one figure. Type a name for a new basket.",
        )  # fmt: skip
        pressed = st.button("Add to basket", icon=":material/add_shopping_cart:", key=f"basket add:{key}")
        if name in names and st.button("Open it", key=f"basket open:{key}", type="tertiary"):
            state.go("basket", basket=name)
    if pressed and name:
        with errors.shown():
            _add(name, result, options)


def _add(name: str, result: Result, options: dict) -> None:
    from dashboard.baskets.adding import add

    add(state.workspace(), name, result, options)
    state.put(LAST, name)
    count = len(Baskets(state.workspace().path).open(name).panels)
    panels = f"{count} panels" if count > 1 else "1 panel"
    st.success(f"Added to the basket {errors.escape(name)}: {panels}.", icon=":material/check:")
