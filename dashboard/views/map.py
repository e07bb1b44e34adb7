"""The map: samples, tokens or units of a tap as points, to look at, search, colour, select and doubt."""

from __future__ import annotations

import dataclasses

import streamlit as st

from analysis.results import Scatter
from dashboard import errors, state
from dashboard.browse import map_state
from dashboard.components import (
    honesty,
    map_body,
    map_colours,
    map_layers,
    map_panel,
    nothing_yet,
    projection,
    search_box,
    second_map,
)
from dashboard.parts import export_menu, shown_results

ROW = {"horizontal": True, "vertical_alignment": "bottom", "gap": "xsmall"}


def page() -> None:
    """The controls, the map beside what is selected, and what can be read off it."""
    current = state.current_tap()
    if current is None:
        st.title("Map")
        nothing_yet.draw()
        return
    reference = ":".join(current)
    asked = projection.wanted(reference)
    result = None
    with errors.shown():  # a refusal leaves the controls, which lead on to another projection
        result = projection.chosen(asked)
    st.fragment(_map)(result, reference, asked)
    if result is not None:
        honesty.draw(result, reference)


def _map(result: Scatter | None, reference: str, asked: projection.Wanted) -> None:
    """Redrawn alone when a person points, draws, zooms or recolours; another projection redraws the page."""
    top, row = st.container(**{**ROW, "vertical_alignment": "center"}), st.container(**ROW)
    top.title("Map", width="content")
    with row, errors.shown():
        projection.controls(reference)
    if projection.wanted(reference) != asked:
        st.rerun()
    if result is None:
        return
    shown_results.note(result)
    with errors.shown():
        at = map_panel.shown(result, reference)
        with row:
            look = map_colours.controls(at)
            map_colours.filter_control(at)
        with top:
            search_box.draw(at)
            map_layers.controls(at)
            second = second_map.controls(at, asked)
        search_box.says(at)
        layers = map_layers.chosen(at, look.source.id)
        look = dataclasses.replace(look, clusters=layers.clusters)
        with top:
            export_menu.draw(
                lambda: map_state.coloured_result(at.result, at.store, at.activations, look), "map"
            )
        map_body.draw(at, look, layers, second)


page()
