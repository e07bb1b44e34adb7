"""The sidebar of every page: the workspace, what is being looked at, and the work going on."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, jobs, state
from dashboard.hosting import host
from dashboard.parts import tap_picker


def draw(page: str) -> None:
    """Draw it for the page called `page`."""
    workspace = state.workspace()
    if page not in ("workspace", "activity", "basket"):  # which are about all taps
        tap_picker.draw()
    active = jobs.running()
    if active:
        jobs.looked_at_again(_running, 1.0, tuple(job.id for job in active))
    if host.current() is None:  # a host says its name elsewhere, and no directory
        name, place = workspace.path.name, str(workspace.path)
        st.caption(f"Workspace **{errors.escape(name)}**", help=errors.escape(place))


def _running(shown: tuple[str, ...]) -> None:
    """Bars of what runs now; when one has ended the whole page is drawn anew, with its outcome."""
    with errors.shown():
        active = jobs.running()
        if not set(shown) <= {job.id for job in active}:
            st.rerun()
        st.markdown("**Running**")
        for job in active:
            st.progress(min(max(job.fraction, 0.0), 1.0), text=jobs.progress_text(job))
