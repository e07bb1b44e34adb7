"""A basket: figures collected while browsing, arranged as the panels of one figure, and taken away whole."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.baskets.panels import ready
from dashboard.components import basket_choice, basket_panels, basket_preview, basket_sheet, basket_texts


def draw() -> None:
    """The panels on the left; the figure as printed, its files and its words on the right."""
    st.title("Basket")
    basket = None
    with errors.shown():
        basket = basket_choice.draw()
    if basket is None:
        return
    if not basket.panels:
        st.info("This basket is empty. Open **Export** below any figure and press **Add to basket**.")
        return
    left, right = st.columns([1, 1.9], gap="medium")
    with right, errors.shown():
        basket = basket_sheet.draw(basket)
    panels = ready(state.workspace(), basket, basket_choice.shelf().path(basket.name), cached=True)
    with left, errors.shown():
        basket_panels.draw(basket, panels)
    with right:
        with errors.shown():
            basket_preview.draw(basket, panels)
        with errors.shown():
            basket_texts.draw(basket, panels)


draw()
