"""What kept results take on the disk, and what becomes of them: a line of the Workspace page."""

from __future__ import annotations

import streamlit as st

from analysis.jobs.limits import limits, size_of
from dashboard import state
from dashboard.words import size

STAYS = (
    "A result is kept so that whoever asks again sees it at once. Those that were used least recently go first. "
    "Whatever a note, a star, a tag, a basket, a short link or a waiting job refers to stays."
)
FOR_EVER = (
    "Kept until somebody deletes the folder `cache` of the workspace. LOUPE_CACHE_SIZE sets a bound, as 20G."
)


def draw() -> None:
    """One line; nothing while nothing is kept."""
    held, most = size_of(state.workspace().path / "cache"), limits().cache
    if held:
        bound = "no bound" if most is None else f"at most {size(most)}"
        st.caption(f"Kept results: {size(held)}, {bound}.", help=FOR_EVER if most is None else STAYS)
