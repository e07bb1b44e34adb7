"""The map, or two side by side, and what is selected beside or below."""

from __future__ import annotations

import streamlit as st

from dashboard import errors
from dashboard.browse.map_state import Look
from dashboard.components import map_clusters, map_panel, projection, second_map, selection_panel
from dashboard.components.map_layers import Layers
from dashboard.components.map_panel import Shown


def draw(at: Shown, look: Look, layers: Layers, second: second_map.Second | None) -> None:
    """The map, or two, and what is selected beside or below."""
    left, right = st.columns([7, 3] if second is None else [1, 1], gap="medium")
    with left, errors.shown():
        if second is not None:
            second_map.title_of_first(at)
        map_panel.draw(at, look, second_map.first_side(at, layers.fields, second))
        projection.about(at.whole)
    with right, errors.shown():
        if second is not None:
            second_map.draw(at, look, second)
    with right if second is None else st.container(), errors.shown():
        selection_panel.draw(at)
        map_clusters.beside(at)
