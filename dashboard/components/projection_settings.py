"""The settings of the chosen projection, in a box that opens: its own parameters, and the taps of several."""

from __future__ import annotations

import streamlit as st

from analysis.spec import Method
from dashboard import errors, forms, state
from dashboard.browse import projections
from dashboard.parts import tap_picker


def draw(method: Method, reference: str, chosen: list[str]) -> None:
    """Draw the button that opens the box."""
    changed = len(state.params(projections.PREFIX).keys() - {"components"})
    label = f"Settings ({changed})" if changed else "Settings"
    with st.popover(label, icon=":material/tune:", width="content"), errors.shown():
        st.markdown(f"**{errors.escape(projections.short_name(method))}**: {errors.escape(method.summary)}")
        if len(chosen) > 1:
            _taps(method, reference, chosen)
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


def _taps(method: Method, reference: str, chosen: list[str]) -> None:
    """Which taps, in their order; and the two usual choices with one click."""
    fitting = projections.alike(state.workspace(), reference, state.tap_references())
    usual = projections.usual_inputs(method, reference, fitting)
    st.multiselect(
        "Taps, in order",
        fitting,
        format_func=tap_picker.shown,
        max_selections=None if method.more_inputs else method.inputs,
        help=f"At least {method.inputs}. Only taps with the same rows of the same samples can be chosen.",
        **state.tied("with", chosen, lambda picked: _choose(picked, usual, method.inputs)),
    )
    elsewhere = projections.same_tap_elsewhere(reference, fitting)
    with st.container(horizontal=True):
        st.button("Layers of this store", on_click=_choose, args=(usual, usual, method.inputs), key="layers")
        if len(elsewhere) >= method.inputs:
            st.button(
                "This tap in other stores", on_click=_choose, args=(elsewhere, usual, method.inputs),
                key="elsewhere", help="Other checkpoints or seeds that were recorded on the same samples.",
            )  # fmt: skip


def _choose(picked: list[str], usual: list[str], fewest: int) -> None:
    for name in ("view", "turn", "step"):
        state.clear_params(name)
    state.set_params(**{"with": None if picked == usual or len(picked) < fewest else picked})


def _forget() -> None:
    state.clear_params(projections.PREFIX)
    state.set_params(**{"with": None})
