"""The job that the URL's `job` names, and where to go when it has made something."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from analysis.errors import NotFound
from dashboard import errors, jobs, state


def draw(kind: str, made: Callable[[dict], None] | None = None) -> None:
    """Watch the job if it is of this kind; nothing for an unknown id (an old link). `made` draws what it has returned
    (usually a store)."""
    id = state.param("job", "")
    if not id:
        return
    try:
        job = jobs.status(id)
    except NotFound:
        return
    if job.kind != kind:
        return
    now = jobs.watch(id, key="outcome")
    if now.state != "done" or not isinstance(now.result, dict):
        return
    if made is not None:
        made(now.result)
    elif now.result.get("store"):
        finished(now.result["store"])


def finished(name: str) -> None:
    """A store is ready: look at it."""
    st.success(f"**{errors.escape(name)}** is ready.", icon=":material/check_circle:")
    store = state.workspace().store(name)
    if store.taps and st.button("Show it on the map", icon=":material/scatter_plot:", key=f"finished:{name}"):
        state.go("map", tap=state.opening_tap([f"{name}:{tap}" for tap in store.taps]))
