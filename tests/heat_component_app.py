"""A small Streamlit page with one heat map whose cells are tiles on disk: for tests of the component.

LOUPE_TILES=FOLDER streamlit run tests/heat_component_app.py; the folder is made on the first run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Streamlit puts only this folder on the path

import numpy as np
import streamlit as st

from analysis.results import Heatmap
from analysis.store.tiles import Tiles, TilesWriter
from dashboard.browse import heat_picture
from dashboard.components.heat_map import heat_map

SIDE = 2048


def cell(i, j):
    """The value at row i and column j: waves, so that a test knows what it must see."""
    return np.sin(0.05 * i) * np.cos(0.11 * j)


@st.cache_resource
def tiles() -> Tiles:
    folder = Path(os.environ["LOUPE_TILES"])
    if not folder.exists():
        with TilesWriter(folder, (SIDE, SIDE), 1 / 32_767) as writer:
            writer.write(0, 0, cell(*np.ogrid[:SIDE, :SIDE]))
            writer.finish()
    return Tiles.open(folder)


@st.cache_resource
def result() -> Heatmap:
    overview, level, _ = tiles().block(0, SIDE, 0, SIDE)
    lines, names = np.arange(SIDE), np.arange(SIDE).astype(str)
    return Heatmap(
        title="Waves", overview=overview, gathered=2**level, shape=(SIDE, SIDE), row_names=names, column_names=names,
        row_units=lines, column_units=lines, row_order=lines, column_order=lines, value_name="wave", diverging=True,
        limits=(-1.0, 1.0), null_band=(-0.1, 0.1),
    )  # fmt: skip


@st.fragment
def whole() -> None:
    made = heat_picture.picture(
        result(), theme="light", titles=("rows", "columns"), label="Waves.", help="click a cell"
    )
    event = heat_map(
        made,
        key="heat",
        block=lambda ask: heat_picture.answer(tiles(), ask.box, ask.most),
        view=st.session_state.get("view"),
    )
    if event.moved:
        st.session_state["view"] = event.view
    if event.opened:
        st.session_state["said"] = f"opened {event.opened}"
    st.text(f"Python sees {st.session_state.get('view')}")
    st.text(st.session_state.get("said", "nothing opened"))


whole()
