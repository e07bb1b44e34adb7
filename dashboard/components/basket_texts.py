"""The words of a basket: its caption, the methods paragraph, the references."""

from __future__ import annotations

import streamlit as st

from analysis import access
from analysis.sharing.baskets.basket import Basket
from analysis.sharing.baskets.shelf import rewritten
from analysis.sharing.bibliography import bibtex
from dashboard import state
from dashboard.baskets.captions import caption_of
from dashboard.baskets.methods_text import cited, methods_markdown, methods_paragraphs, methods_tex
from dashboard.baskets.panels import Ready
from dashboard.baskets.prose import as_markdown, as_tex
from dashboard.components.basket_choice import change, shelf

FORMS = {"markdown": "Markdown", "tex": "LaTeX"}


def draw(basket: Basket, panels: list[Ready]) -> None:
    """Each to be read and copied; what is written by hand is the caption alone."""

    def write(text: str) -> None:
        if text != basket.caption:
            change(lambda: shelf().change(basket.name, rewritten("caption", basket.caption, text)))

    st.text_area(
        "First sentence of the caption, for the whole figure", height=70, max_chars=2000,
        disabled=not access.may("editor"), **state.tied("caption:all", basket.caption, write),
    )  # fmt: skip
    panels = [one for one in panels if one.result is not None]
    if not panels:
        return
    tie = state.bound("text", "markdown", list(FORMS))
    form = st.segmented_control("Text as", list(FORMS), format_func=FORMS.get, required=True, **tie)
    paragraphs = methods_paragraphs(state.workspace(), panels)
    tex = form == "tex"
    caption = (as_tex if tex else as_markdown)(caption_of(basket, panels))
    for name, text in (
        ("Caption", caption),
        ("Methods", (methods_tex if tex else methods_markdown)(paragraphs)),
        ("References (BibTeX)", bibtex(cited(paragraphs))),
    ):
        st.markdown(f"**{name}**")
        st.code(text, language=None, wrap_lines=True)
