"""The map: samples, tokens or units of a tap as points, to look at, search, colour, select and doubt."""

from __future__ import annotations

import streamlit as st

from analysis.results import Scatter
from dashboard import errors, state
from dashboard.browse import map_state
from dashboard.components import (
    honesty,
    map_colours,
    map_layers,
    map_panel,
    nothing_yet,
    projection,
    search_box,
    second_map,
    selection_panel,
)
from dashboard.parts import export_menu


def page() -> None:
    """The controls, the map beside what is selected, and what can be read off it."""
    current = state.current_tap()
    if current is None:
        st.title("Map")
        nothing_yet.draw()
        return
    reference = ":".join(current)
    asked = projection.wanted(reference)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.title("Map", width="content")
        projection.about(asked)
    result = None
    with errors.shown():  # a refusal leaves the controls, which lead on to another projection
        result = projection.chosen(asked)
    st.fragment(_map)(result, reference, asked)
    if result is not None:
        honesty.draw(result, reference)


def _map(result: Scatter | None, reference: str, asked: projection.Wanted) -> None:
    """Redrawn alone when a person points, draws, zooms or recolours; another projection redraws the page."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with row, errors.shown():
        projection.controls(reference)
    if projection.wanted(reference) != asked:
        st.rerun()
    if result is None:
        return
    with errors.shown():
        at = map_panel.shown(result, reference)
        with row:
            look = map_colours.controls(at)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            search_box.draw(at)
            map_colours.filter_control(at)
            layers = map_layers.controls(at)
            second = second_map.controls(at, asked)
        search_box.says(at)
        left, right = st.columns([7, 3] if second is None else [1, 1], gap="medium")
        with left, errors.shown():
            map_panel.draw(at, look, second_map.first_side(at, layers, second))
            export_menu.draw(map_state.coloured_result(at.result, at.store, at.activations, look), "map")
        with right, errors.shown():
            if second is not None:
                second_map.draw(at, look, second)
        with right if second is None else st.container(), errors.shown():
            selection_panel.draw(at)


page()
