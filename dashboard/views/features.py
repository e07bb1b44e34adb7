"""The features: all units of a tap in a table, and one card per unit with its own URL."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse import certificates, naming
from dashboard.browse.feature_list import Tap
from dashboard.browse.labels import labels_of
from dashboard.browse.unit import Unit
from dashboard.browse.unit_words import word_of
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
    tap = _tap(store, *current)
    unit = state.param("unit", -1, range(len(tap.table["unit"])))
    if unit >= 0:
        feature_card.draw(Unit(store, ":".join(current), unit, tap.unit_names), feature_table.asked(tap))
        return
    st.title("Features")
    with errors.shown():
        certificate_line.draw(store, ":".join(current))
        names_line.draw(tap, ":".join(current))
        listed = feature_table.filters(tap)
        model_names.of_list(tap, ":".join(current), listed.units)
        feature_table.draw(listed)


def _tap(store, store_name: str, tap: str) -> Tap:
    """What the list needs to know."""
    pooled = store.activations(tap).layout.is_pooled
    workspace, own = state.workspace(), store.taps[tap].unit_names
    named, notes = naming.kept(workspace, f"{store_name}:{tap}"), naming.given(workspace, store_name, tap)
    proposals = naming.proposed(workspace, f"{store_name}:{tap}")
    blank = own or [""] * store.taps[tap].n_units
    return Tap(
        table=store.index(tap).table(),
        classes=store.classes,
        unit_names=naming.names(named, blank, notes, proposals) if named or notes or proposals else own,
        stars=workspace.stars(store_name, tap),
        tags=workspace.people.tags(store_name, tap),
        labels=labels_of(store),
        samples_at_top=64 if pooled else 16,
        word=word_of(store, tap),
        certificate=certificates.of(store, tap),
        fits=naming.fits(named, store.taps[tap].n_units),
    )


page()
