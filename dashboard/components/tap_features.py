"""The chosen tap and dictionaries: encode it with a set, and what it was encoded with."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse import feature_sets
from dashboard.components import nothing_yet
from dashboard.parts import encode_form, encoded_facts
from dashboard.words import count

SHOWN = 4  # encoded taps with their facts; more are a table


def draw() -> None:
    """The form on the left, the encoded taps on the right; of an encoded tap the one that it came from."""
    current = state.current_tap()
    if current is None:
        nothing_yet.draw()
        return
    store_name, tap = current
    store = state.workspace().store(store_name)
    source = feature_sets.source_of(store, tap)
    left, right = st.columns([1, 1.5], gap="large")
    with left:
        st.markdown(f"#### Encode {errors.escape(source)}")
        st.caption(
            f"Writes what every feature of a set does on this tap of {errors.escape(store_name)} as a tap of its own, "
            "which all pages can show. Choose another tap in the sidebar."
        )
        with errors.shown():
            encode_form.draw(store_name, source)
        with errors.shown():
            encode_form.progress()
    with right, errors.shown():
        _encoded(store_name, source, tap)


def _encoded(store: str, source: str, shown: str) -> None:
    """What this tap was encoded with, that of the sidebar first."""
    found = [e for e in feature_sets.encoded_taps(state.workspace()) if (e.store, e.of) == (store, source)]
    st.markdown("#### Encoded with")
    if not found:
        st.info("Nothing yet: choose a set and press **Encode**.", icon=":material/arrow_back:")
        return
    for one in sorted(found, key=lambda e: e.tap != shown)[:SHOWN]:
        encoded_facts.draw(one)
    if len(found) > SHOWN:
        st.caption(f"and {count(len(found) - SHOWN, 'more tap')}: choose one in the sidebar to see it here.")
