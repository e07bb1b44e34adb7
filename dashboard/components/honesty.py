"""Below the map: what can and what cannot be read off it, measured; and what noise would have looked like."""

from __future__ import annotations

import streamlit as st

from analysis import registry
from analysis.results import Scatter
from analysis.spec import params_of
from dashboard import errors, state, table_cells
from dashboard.browse import projections, quality_table
from dashboard.components import second_map
from dashboard.parts import figure_block, on_demand
from dashboard.words import about

AT_ONCE = 0.25  # seconds of measuring that nobody has to ask for
STABILITY = "map_stability"


def draw(result: Scatter, reference: str) -> None:
    """The plain sentences, the table of quality, the null and the stability on a click, and where it comes from."""
    st.markdown("#### What can be read off this map")
    with errors.shown():
        figure_block.reading(result)
    left, right = st.columns([6, 4], gap="large")
    with left, errors.shown():
        _quality(result, reference)
    with right, errors.shown():
        _doubts(result, reference)
    figure_block.nulls(result)
    figure_block.people_say(result, "map")
    figure_block.made_of(result)


def _quality(result: Scatter, reference: str) -> None:
    st.markdown("**How much of the neighbourhoods it keeps**")
    activations = state.workspace().activations(reference)
    seconds = quality_table.seconds(result, activations)
    ready = seconds <= AT_ONCE or quality_table.is_measured(result, activations)
    if not ready and not st.button(
        f"Measure ({about(seconds)})", icon=":material/straighten:", key="measure quality"
    ):
        return
    found = quality_table.lines(result, activations)
    if not found:
        st.caption("Too few points to measure it.")
        return
    if not any(e.name.startswith("neighbour recall") for e in result.estimates):  # else its reading says so
        st.markdown(errors.escape(quality_table.sentence(found)))
    columns = {name: st.column_config.Column(help=meaning) for name, meaning in quality_table.WORDS.values()}
    columns |= {name: st.column_config.Column("By chance", width=76) for name in quality_table.CHANCE}
    columns["k nearest"] = st.column_config.Column(
        "k", width=40, help="How many nearest neighbours are compared."
    )
    rows, said = quality_table.as_rows(found), quality_table.sentence(found)
    st.dataframe(table_cells.safe(rows), hide_index=True, key="quality", column_config=columns, alt=said)
    n = len(result.rows)
    measured = f"{min(n, quality_table.ANCHORS):,} of {n:,} points, each against all" if n > quality_table.ANCHORS \
        else f"all {n:,} points"  # fmt: skip
    st.caption(f"1 is perfect. 95 % bootstrap interval over points; chance: a map that places the points at random. "
               f"Measured on {measured}, against the tap {errors.escape(reference)}.")  # fmt: skip


def _doubts(result: Scatter, reference: str) -> None:
    """Would another run, or no structure at all, have looked the same?"""
    st.markdown("**Would chance look the same?**")
    if registry.find(second_map.NULL):
        st.button(
            "Show the null beside it", icon=":material/shuffle:", key="null beside",
            on_click=state.set_params, kwargs={"second": "null"},
            help="The same projection of the same data with every unit's values shuffled among the samples: what "
            "you see there comes from the method, not from the network.",
        )  # fmt: skip
    if registry.find(STABILITY) and result.origin is not None:
        _stability(result, reference)
    worst = next((c for c in ("trust", "distance to plane") if c in result.columns), None)
    if worst:
        st.button(
            "Colour by what is distorted", icon=":material/palette:", key="colour by distortion",
            on_click=state.set_params, kwargs={"colour": f"map:{worst}", "hide": None},
        )  # fmt: skip


def _stability(result: Scatter, reference: str) -> None:
    method = registry.method(STABILITY)
    params = second_map.params_for(method, result)
    if params is None:
        return
    found = on_demand.result(
        STABILITY, [reference], params, ask="Is it stable? Draw it again",
        title="Stability of the map", key="stability",
    )  # fmt: skip
    if found is None:
        return
    st.markdown(errors.escape(found.reading))
    figure_block.nulls(found)
    if params_of(method.params):
        name = projections.short_name(projections.methods()[result.origin.method])
        st.caption(f"{errors.escape(name)}, {len(result.rows):,} points.")
