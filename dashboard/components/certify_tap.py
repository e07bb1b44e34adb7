"""Certify the features of the chosen tap: the form on the left, what its certificate says on the right."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state, table_cells
from dashboard.browse import certificates
from dashboard.browse.feature_sets import encoded_taps
from dashboard.components import certificate_line, nothing_yet
from dashboard.parts import certify_form, tap_picker

MOST = 8  # links


def draw() -> None:
    """Form and certificate; of a tap that was recorded, which ones have features."""
    current = state.current_tap()
    if current is None:
        nothing_yet.draw()
        return
    store_name, tap = current
    store = state.workspace().store(store_name)
    if tap in store.recorded:
        _others()
        return
    left, right = st.columns([1, 1.9], gap="large")
    with left:
        st.markdown(f"#### {errors.escape(tap_picker.shown(':'.join(current)))}")
        with errors.shown():
            certify_form.draw(":".join(current))
        with errors.shown():
            certify_form.progress()
    with right, errors.shown():
        _found(store, ":".join(current))


def _others() -> None:
    found = encoded_taps(state.workspace())[:MOST]
    links = [
        f"- [{errors.escape(tap_picker.shown(e.reference))}]"
        f"({state.link('dictionaries', view='certify', tap=e.reference)})"
        for e in found
    ]
    ways = "Features are in:\n" + "\n".join(links) if links else "Encode it first: **Encode a tap**, above."
    st.info(f"This tap holds units as they were recorded. {ways}", icon=":material/info:")


def _found(store, reference: str) -> None:
    tap = reference.partition(":")[2]
    found = certificates.of(store, tap)
    if found is None:
        st.info("This tap has no certificate yet: press **Certify**.", icon=":material/arrow_back:")
        return
    st.markdown("#### What its certificate says")
    certificate_line.stale(reference, found)
    st.caption(errors.escape(found.reading))
    st.dataframe(
        table_cells.safe(certificates.summary(found)), hide_index=True, key="certificate", height="content",
        alt="Each test with the number of features that pass it",
    )  # fmt: skip
    st.caption(errors.escape(certificates.meanings(found)))
    if st.button("Browse its features", type="primary", icon=":material/search:", key="browse certified"):
        state.go("features", tap=reference, order="certificate")
    st.caption(f"Made {errors.escape(found.origin.made)} with " + _made_with(found) + ".")
    st.markdown("\n".join(f"- {errors.escape(line)}" for line in found.caveats))


def _made_with(found) -> str:
    others = [tap_picker.shown(one["name"]) for one in found.origin.inputs if one["as"] != "tap"]
    return errors.escape(", ".join(others)) if others else "this tap alone"
