"""Correlations: which units, samples or classes go together, all at once, with any pair one click away."""

from __future__ import annotations

import streamlit as st

from analysis.results import Heatmap, Matrix, Result
from dashboard import errors, state
from dashboard.components import correlation_choice, correlation_heat, correlation_pair, strongest_table
from dashboard.components.correlation_choice import Asked
from dashboard.figures.cells import order_of
from dashboard.figures.targets import MOST as CLICKABLE
from dashboard.parts import cost_line, doubts, figure_block, on_demand

HEIGHT = 620  # pixels of a small matrix: its names are to be seen without scrolling


def draw() -> None:
    """The choices in a line; the heat map beside the pair that is open; what to make of it below."""
    result = asked = None
    with errors.shown():
        asked = correlation_choice.draw()
    if asked is None:
        return
    with errors.shown():
        result = _result(asked)
    if isinstance(result, Heatmap):
        _beside_each_other(result, asked)
    elif result is not None:
        _as_figure(result, asked)
    doubts.draw(asked.method)


def _result(asked: Asked) -> Result | None:
    """The kept result, a new one where that is quick, else a button and then the job's bar, with what it will take."""
    found = on_demand.result(
        asked.method.id, asked.references, asked.params, seed=asked.seed, ask="Correlate", title=asked.method.title,
        key="correlations", at_once=on_demand.AT_ONCE, starts_below=on_demand.STARTS,  # choosing it was asking for it
    )  # fmt: skip
    if found is None:
        cost_line.draw(asked.method, asked.references, asked.params)
    return found


def _beside_each_other(result: Heatmap, asked: Asked) -> None:
    left, right = st.columns([1.4, 1], gap="medium")
    with left:
        correlation_heat.draw(result, asked)
        with errors.shown():
            figure_block.files(result, asked.method.id)
        figure_block.reading(result)
        figure_block.beside(result, asked.method.id)
    with right:
        with errors.shown():
            strongest_table.draw(result, asked)
        with errors.shown():
            correlation_pair.draw(result, asked)


def _as_figure(result: Result, asked: Asked) -> None:
    """A small matrix, whose cells all have their names: beside what it means. Where rows are units, a cell leads to
    its unit."""
    left, right = st.columns([1.9, 1], gap="medium")
    key = asked.method.id
    with left:
        shown = figure_block.null_switch(result, key)
        if asked.kind.rows_are_units and result.values.size <= CLICKABLE:
            figure_block.picture(
                result,
                key,
                height=HEIGHT,
                targets=True,
                clicked=lambda at: _open_unit(result, asked, at),
                **shown,
            )
            st.caption("Click a cell to open its unit.")
        else:
            figure_block.picture(result, key, height=HEIGHT, **shown)
        figure_block.files(result, key, **shown)
    with right:
        figure_block.reading(result)
    figure_block.beside(result, key)


def _open_unit(result: Matrix, asked: Asked, at: int) -> None:
    """The card of the unit in whose row the cell is; `at` counts cells as they are drawn."""
    rows, columns = result.values.shape
    name = result.row_names[order_of(result.row_order, rows)[at // columns]]
    names = list(state.workspace().activations(asked.references[0]).unit_names)
    if name in names:
        state.go("features", tap=asked.references[0], unit=names.index(name))
