"""Whether two selections are really apart: asked in the original space, not of the picture."""

from __future__ import annotations

import streamlit as st

from analysis import registry
from dashboard import errors
from dashboard.browse import describe
from dashboard.components.map_panel import Shown
from dashboard.parts import figure_block, on_demand

METHOD = "separation"


def draw(at: Shown, first, second, names: tuple[str, str]) -> None:
    """A button, then the answer with its null."""
    if registry.find(METHOD) is None:
        return
    st.markdown("**Do the two really separate?**")
    params = describe.separation_params(registry.method(METHOD), first, second)
    found = on_demand.result(
        METHOD, [at.reference], params, ask="Test it in the original space",
        title=f"{names[0]} against {names[1]}", key="separation", at_once=0.3, patience=1.0,
    )  # fmt: skip
    if found is None:
        st.caption(
            "A picture can pull groups apart that are not apart; this asks the activations themselves."
        )
        return
    st.markdown(errors.escape(found.reading))
    figure_block.nulls(found)
