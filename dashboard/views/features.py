"""The features: all units of a tap in a table, and one card per unit with its own URL."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse.listed_tap import listed_tap
from dashboard.browse.unit import Unit
from dashboard.components import (
    certificate_line,
    feature_card,
    feature_table,
    model_names,
    names_line,
    nothing_yet,
)


def page() -> None:
    """The table, or the card that the URL names."""
    current = state.current_tap()
    if current is None:
        st.title("Features")
        nothing_yet.draw()
        return
    store = state.workspace().store(current[0])
    tap = listed_tap(state.workspace(), *current)
    unit = state.param("unit", -1, range(len(tap.table["unit"])))
    if unit >= 0:
        shown = Unit(store, ":".join(current), unit, tap.unit_names)
        feature_card.draw(shown, feature_table.asked(tap), unit in tap.stars)
        return
    st.title("Features")
    with errors.shown():
        certificate_line.draw(store, ":".join(current))
        names_line.draw(tap, ":".join(current))
        listed = feature_table.filters(tap)
        model_names.of_list(tap, ":".join(current), listed.units)
        feature_table.draw(listed)


page()
