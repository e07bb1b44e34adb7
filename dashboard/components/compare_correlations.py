"""Correlations: which units, samples or classes go together, all at once, with any pair one click away."""

from __future__ import annotations

import streamlit as st

from analysis.results import Heatmap, Result
from dashboard import errors
from dashboard.components import correlation_choice, correlation_heat, correlation_pair, strongest_table
from dashboard.components.correlation_choice import Asked
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
        _as_figure(result, asked.method.id)
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


def _as_figure(result: Result, key: str) -> None:
    """A small matrix, whose cells all have their names: beside what it means."""
    left, right = st.columns([1.9, 1], gap="medium")
    with left:
        shown = figure_block.null_switch(result, key)
        figure_block.picture(result, key, height=HEIGHT, **shown)
        figure_block.files(result, key, **shown)
    with right:
        figure_block.reading(result)
    figure_block.beside(result, key)
