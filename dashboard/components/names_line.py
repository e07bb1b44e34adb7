"""Above the list of an encoded tap: which of its features a person can read, and where that is shown."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dashboard import errors, state
from dashboard.browse.feature_list import Tap

SHOWN = 4


def draw(tap: Tap, reference: str) -> None:
    """A line with the best names and the ways to all of them; nothing for units."""
    if tap.word == "unit":
        return
    if tap.fits is None:
        way = state.link("dictionaries", view="report", ask="feature_names", tap=reference)
        st.caption(f"Its features have no names yet: [find out what each is for]({way}).")
        return
    fits = np.nan_to_num(tap.fits, nan=-1.0)
    best = [i for i in np.argsort(-fits, kind="stable")[:SHOWN] if fits[i] >= 0]
    if not best:
        st.caption("No automatic name of these features beats chance.")
        return
    cards = ", ".join(
        f"[{errors.escape(tap.unit_names[i])}]({state.link('features', tap=reference, unit=int(i))})"
        for i in best
    )
    order = state.link("features", tap=reference, order="fits")
    evidence = state.link("dictionaries", view="report", ask="kind_features", tap=reference)
    asked = "a class or a place" if tap.classes else "brackets, indentation, a word"
    st.caption(
        f"{int((fits >= 0).sum()):,} of {len(fits):,} have a name that held-out samples bear out, such as {cards}: "
        f"[best named first]({order}). [Is there one for {asked}? The evidence]({evidence})"
    )
