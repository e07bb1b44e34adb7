"""The settings of the chosen projection, in a box that opens: its own parameters, and the taps of several."""

from __future__ import annotations

import streamlit as st

from analysis.spec import Method
from dashboard import errors, forms, state
from dashboard.browse import projections
from dashboard.parts import tap_list


def draw(method: Method, reference: str, chosen: list[str]) -> None:
    """Draw the button that opens the box."""
    changed = len(state.params(projections.PREFIX).keys() - {"components"})
    label = f"Settings ({changed})" if changed else "Settings"
    with st.popover(label, icon=":material/tune:", width="content"), errors.shown():
        st.markdown(f"**{errors.escape(projections.short_name(method))}**: {errors.escape(method.summary)}")
        if len(chosen) > 1:
            tap_list.draw(method, reference, chosen, resets=("view", "turn", "step"))
        columns = list(state.workspace().activations(reference).samples)
        listed = projections.settings_of(method)
        for start in range(0, len(listed), 2):
            cells = st.columns(2, vertical_alignment="bottom")
            for cell, p in zip(cells, listed[start : start + 2], strict=False):
                with cell:
                    forms.widget(p, columns)
        st.button("Back to the defaults", icon=":material/restart_alt:", on_click=_forget, key="defaults")
        if projections.has(method, "selections"):
            st.caption("A selection is named as `selection:its name`; it must have a name.")


def _forget() -> None:
    state.clear_params(projections.PREFIX)
    state.set_params(**{"with": None})
