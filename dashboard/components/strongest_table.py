"""The strongest pairs of all, as a table whose rows open them."""

from __future__ import annotations

import streamlit as st

from analysis.results import Heatmap, Table
from dashboard import errors, state, table_cells
from dashboard.browse import correlation_kinds
from dashboard.components import correlation_heat
from dashboard.components.correlation_choice import Asked
from dashboard.figures.text import number
from dashboard.parts import on_demand
from dashboard.words import count

SHOWN = ("name a", "name b", "r", "low", "high", "q")
ROWS = 200  # sent to the browser
LOW, HIGH = 178, 420  # pixels, with and without a pair below: that is to be seen without scrolling


def draw(result: Heatmap, asked: Asked) -> None:
    """The table; nothing for kinds without a method that lists pairs."""
    method = correlation_kinds.strongest_method(asked.kind, len(asked.references) > 1)
    if method is None:
        return
    st.markdown("**Strongest pairs** of all, by Pearson’s r: select one to open it")
    params = on_demand.understood(method.id, {k: v for k, v in asked.params.items() if k == "pooling"})
    found = on_demand.result(
        method.id, asked.references, params, ask="List the strongest pairs", title=method.title, key="strongest",
        at_once=on_demand.AT_ONCE,
    )  # fmt: skip
    if isinstance(found, Table):
        height = LOW if correlation_heat.opened(result, asked) else HIGH
        _table(found, f"strongest {' '.join(asked.references)} {params}", height)
        st.caption(errors.escape(_by_chance(found)))


def _by_chance(found: Table) -> str:
    """What the strongest would be without any relation."""
    top = next((e for e in found.estimates if e.null is not None and e.null_high is not None), None)
    if top is None:
        return ""
    return (
        f"The largest |r| of as many unrelated pairs: about {number(top.null, 2)} "
        f"({number(top.null_low, 2)} to {number(top.null_high, 2)})."
    )


def _table(found: Table, key: str, height: int) -> None:
    shown = {name: found.columns[name][:ROWS] for name in SHOWN if name in found.columns}
    answer = st.dataframe(
        table_cells.safe(shown),
        key=key, hide_index=True, height=height, on_select="rerun", selection_mode="single-row",
        column_config=_columns(found, shown), alt=f"{count(len(shown['r']), 'pair')} of units with their correlation",
    )  # fmt: skip
    row = next((r for r in answer.selection.rows if r < len(shown["r"])), None)
    if row == state.get(key):  # a line stays selected while another pair is opened elsewhere
        return
    state.put(key, row)
    if row is not None:
        correlation_heat.open_pair(*(int(found.columns[f"unit {side}"][row]) for side in "ab"))


def _columns(found: Table, shown: dict) -> dict:
    numbers = {"format": "%.3g"}
    return {
        name: (
            st.column_config.NumberColumn(help=found.help.get(name), **numbers)
            if column.dtype.kind == "f"
            else st.column_config.TextColumn(help=found.help.get(name))
        )
        for name, column in shown.items()
    }
