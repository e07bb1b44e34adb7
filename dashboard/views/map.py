"""The map: samples, tokens or units of a tap as points, to look at, colour and select."""

from __future__ import annotations

import streamlit as st

from analysis.results import Scatter
from dashboard import errors, state
from dashboard.browse import map_state
from dashboard.components import map_panel, nothing_yet, projection, selection_panel
from dashboard.parts import export_menu, figure_block


def page() -> None:
    """The controls, the map beside what is selected, and what can be read off it."""
    current = state.current_tap()
    if current is None:
        nothing_yet.draw()
        return
    reference = ":".join(current)
    asked = projection.wanted()
    result = projection.chosen(reference)
    st.fragment(_map)(result, reference, asked)
    if result is None:
        return
    with errors.shown():
        figure_block.reading(result)
    figure_block.nulls(result, "map")
    figure_block.made_of(result)


def _map(result: Scatter | None, reference: str, asked: projection.Wanted) -> None:
    """Redrawn alone when a person points, draws, zooms or recolours; another projection redraws the page."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    with row, errors.shown():
        projection.controls(reference)
    if projection.wanted() != asked:
        st.rerun()
    if result is None:
        return
    with errors.shown():
        at = map_panel.shown(result, reference)
        with row:
            source, unit = map_panel.colour_controls(at)
        left, right = st.columns([7, 3], gap="medium")
        with left, errors.shown():
            map_panel.draw(at, source, unit)
            export_menu.draw(map_state.coloured_result(result, at.store, at.activations, source, unit), "map")
        with right, errors.shown():
            selection_panel.draw(at)


st.title("Map")
page()
