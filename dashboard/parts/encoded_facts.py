"""An encoded tap in a few numbers, and the ways on from there."""

from __future__ import annotations

import streamlit as st

from analysis.store.encoded import remove_encoded
from dashboard import allowed, errors, state
from dashboard.browse import feature_sets
from dashboard.browse.feature_sets import Encoded
from dashboard.parts import tap_picker
from dashboard.words import count


def draw(one: Encoded) -> None:
    """Name, numbers, buttons."""
    store = state.workspace().store(one.store)
    with st.container(border=True):
        st.markdown(f"**{errors.escape(tap_picker.shown(one.reference))}**")
        st.caption(errors.escape(f"{one.of}, encoded with {one.set_name}"))
        _numbers(one, store)
        _ways(one, store)


def _numbers(one: Encoded, store) -> None:
    rows = "sample" if store.activations(one.tap).layout.is_pooled else "token"
    alive = feature_sets.ever_active(store, one.tap)
    n = int(one.active.get("rows", one.rows))
    cells = st.columns(4)
    cells[0].metric("Features", f"{one.n_features:,}")
    cells[1].metric("Ever active", f"{alive:,}", help=f"Not 0 on at least one of the {n:,} {rows}s.")
    cells[2].metric("Dead", f"{one.n_features - alive:,}", help=f"0 on all {n:,} {rows}s.")
    if one.active:
        a = one.active
        cells[3].metric(
            f"Active per {rows}", f"{a['mean']:.3g}", help="L0: how many features are not 0, on average."
        )
        st.caption(f"{_spread(a, n, rows)} {_dead(one.n_features - alive, n, rows)}")


def _spread(a: dict, n: int, rows: str) -> str:
    """How much L0 differs from row to row."""
    if a["minimum"] == a["maximum"]:
        return f"Exactly {a['minimum']:,} active in each of the {n:,} {rows}s."
    return (
        f"L0 over {n:,} {rows}s: mean {a['mean']:.3g}, standard deviation {a['sd']:.2g}; 90 % of them have "
        f"{a['q05']:,} to {a['q95']:,}, all have {a['minimum']:,} to {a['maximum']:,}."
    )


def _dead(dead: int, n: int, rows: str) -> str:
    """What silence on so many rows can say: fewer than 3 in n, where rows are independent."""
    if not dead:
        return ""
    return (
        f"A dead feature may still be active elsewhere: on at most {300 / max(n, 1):.2g} % of such {rows}s (95 %, "
        f"if these were independent{', which tokens of one sample are not' if rows == 'token' else ''})."
    )


def _ways(one: Encoded, store) -> None:
    with st.container(horizontal=True):
        key = one.reference
        if st.button("Browse its features", type="primary", icon=":material/search:", key=f"browse:{key}"):
            state.go("features", tap=key)
        if st.button("Features as a map", icon=":material/scatter_plot:", key=f"map:{key}"):
            state.go("map", tap=key, of="units")
        if st.button("Report", icon=":material/fact_check:", key=f"report:{key}"):
            state.set_params(tap=key, view="report", job=None)
            st.rerun()
        if st.button("Certify", icon=":material/verified:", key=f"certify:{key}"):
            state.set_params(tap=key, view="certify", job=None)
            st.rerun()
        with st.popover("Delete", icon=":material/delete:", **allowed.to("owner")):
            what = count(one.n_features, "feature")
            st.markdown(f"Deletes what {what} do on this tap; the set and {errors.escape(one.of)} stay.")
            if st.button("Delete it", key=f"delete:{key}", icon=":material/delete:"):
                remove_encoded(store, one.tap)
                state.set_params(tap=one.of_reference, job=None)
                st.rerun()
