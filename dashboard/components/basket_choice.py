"""Which basket: chosen, begun, removed."""

from __future__ import annotations

import streamlit as st

from analysis import access
from analysis.errors import LoupeError
from analysis.sharing.baskets.basket import Basket
from analysis.sharing.baskets.shelf import Baskets
from dashboard import errors, state
from dashboard.components import nothing_yet

REFUSED = "basket:refused"


def shelf() -> Baskets:
    """The baskets of the workspace."""
    return Baskets(state.workspace().path)


def draw() -> Basket | None:
    """The chosen basket, or None where there is none yet."""
    _told()
    names = shelf().names()
    if not names:
        if not state.tap_references():
            nothing_yet.draw()
            return None
        st.info(
            "Nothing collected yet. Open **Export** below any figure and press **Add to basket**: figures collected "
            "there become panels a, b, c of one figure, with their data, captions and a methods paragraph.",
            icon=":material/shopping_basket:",
        )
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tie = state.bound("basket", names[0], names)
        name = st.selectbox("Basket", names, width=280, **tie)
        with st.popover("Remove", icon=":material/delete:", disabled=not access.may("editor")):
            st.write(f"The basket {errors.escape(name)} with its arrangement and captions. Results stay.")
            if st.button("Remove it", key=f"remove {name}"):
                change(lambda: shelf().remove(name))
                state.set_params(basket=None)
                st.rerun()
    return shelf().open(name)


def change(do) -> None:
    """Do something to a basket; a refusal is told at the head of the page, also when a widget did it."""
    try:
        do()
    except LoupeError as refusal:
        state.put(REFUSED, {name: getattr(refusal, name) for name in ("found", "expected", "remedy")})


def _told() -> None:
    refused = state.get(REFUSED)
    if refused:
        state.put(REFUSED, None)
        errors.notice(refused, refused=True)
