"""A small Streamlit page with one map of many points: for tests and benchmarks of the component.

    LOUPE_POINTS=1000000 streamlit run tests/map_component_app.py

Buttons set the selection from Python and recolour; what came back from the browser is said in words.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Streamlit puts only this folder on the path

import numpy as np
import streamlit as st

from analysis.results import Scatter
from dashboard.browse.picture import MapPicture, picture
from dashboard.browse.selections import unpacked
from dashboard.components.sample_map import sample_map

N = int(os.environ.get("LOUPE_POINTS", 1000))
GROUPS = 20


@st.cache_resource
def points() -> Scatter:
    """Twenty round groups, in file order, as a projection would give them."""
    rng = np.random.default_rng(0)
    group = np.arange(N) * GROUPS // N
    places = rng.standard_normal((N, 2)) * 0.5 + np.stack([group % 5 * 3, group // 5 * 3], axis=1)
    return Scatter(title="Groups", positions=places.astype(np.float32), rows=np.arange(N), axes=("x", "y"))


@st.cache_resource
def pictures(colour: str) -> MapPicture:
    found = points()
    values = {"group": np.arange(N) * GROUPS // N, "height": found.positions[:, 1]}[colour]
    return picture(found, None, values=values, name=colour, categorical=colour == "group")


@st.fragment
def whole() -> None:
    colour = st.radio("Colour", ["group", "height"], horizontal=True)
    if st.button("Select the first third"):
        st.session_state["mask"] = np.arange(N) < N // 3
    mask = st.session_state.get("mask")
    shown = pictures(colour).with_state(mask=mask, extra={"stamp": st.session_state.get("stamp", 0)})
    event = sample_map(shown, key="map", height=500)
    if event.selected is not None:
        mask = unpacked(event.selected, N) if event.selected else np.zeros(N, bool)
        st.session_state["mask"], st.session_state["stamp"] = mask, event.stamp
        groups = np.bincount(np.flatnonzero(mask) * GROUPS // N, minlength=GROUPS)
        st.session_state["said"] = (
            f"Python has {mask.sum()} in {(groups > 0).sum()} groups at {time.time():.3f}"
        )
    st.text(st.session_state.get("said", "Python has nothing"))


whole()
