"""Clusters of the points in their original space: found by a job, named on the map, doubted beside it."""

from __future__ import annotations

import streamlit as st

from analysis.results import Partition
from dashboard import errors, state, table_cells
from dashboard.browse import clusters
from dashboard.components.map_panel import Shown
from dashboard.parts import on_demand

HELP = {
    "Comes back": "Best overlap (Jaccard index, 1 is the same) with a cluster found again in a random half of the "
    "samples, with the middle 95 % of the halves.",
}


def found(at: Shown, how: str) -> Partition | None:
    """The clusters; while there are none yet, the bar of their job."""
    with errors.shown():
        return on_demand.result(
            how, [at.reference], {}, ask=f"Look for clusters with {clusters.SHORT[how]}",
            title=f"{clusters.SHORT[how]} clusters of {at.reference}", key=f"clusters:{how}",
            starts_below=on_demand.STARTS,
        )  # fmt: skip
    return None


def beside(at: Shown) -> None:
    """What is known about the clusters that are named or colour the map: in words, with stability and chance."""
    for how in dict.fromkeys((state.param("names", ""), state.param("colour", "").removeprefix("cluster:"))):
        kept = on_demand.kept(how, [at.reference], {}) if how in clusters.methods(at.whole) else None
        if kept is not None:
            with errors.shown():
                _said(at, how, kept)


def _said(at: Shown, how: str, found: Partition) -> None:
    st.markdown(f"#### Clusters ({clusters.SHORT[how]})")
    st.markdown(errors.escape(found.reading))
    if found.n_clusters:
        table, n, out = clusters.summary(found), found.n_clusters, clusters.left_out(found)
        st.dataframe(
            table_cells.safe(table),
            hide_index=True, key=f"clusters {how}", height=min(320, 38 + 35 * n), alt=found.reading,
            column_config={name: st.column_config.Column(help=HELP.get(name)) for name in table},
        )  # fmt: skip
        said = f"{out:,} of {len(found.codes):,} points belong to no cluster." if out else ""
        st.caption(" ".join(part for part in (clusters.chance(found), said) if part))
    if st.button("Full result, settings and check", icon=":material/analytics:", key=f"full {how}"):
        state.go("analyses", tap=at.reference, method=how)
