"""The samples that a result speaks of, drawn as they are; a click leads to the sample on the map."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from analysis.results import Gallery, Result
from dashboard import errors, state
from dashboard.browse.pictured import PER_GROUP, Pictured, pictured
from dashboard.components.tiles import gallery
from dashboard.figures.text import plain


def of(result: Result, key: str) -> Callable[[], None] | None:
    """What draws them, or None where the result has none to show."""
    found = pictured(state.workspace(), result)
    return None if found is None else lambda: _draw(result, found, key)


def _draw(result: Result, found: Pictured, key: str) -> None:
    if isinstance(result, Gallery):
        st.markdown(f"**{errors.escape(result.title)}**")
        below = f"Below each: {errors.escape(plain(result.value_name))}. " if result.values else ""
        fewer = (
            ""
            if max(len(r) for r, _ in found.groups.values()) <= PER_GROUP[found.kind]
            else "The first of each group. "
        )
        st.caption(f"{below}{fewer}Click a sample to see it on the map.")
    row = gallery(found.tiles(), texts=found.kind == "texts", key=f"samples:{key}")
    if row is not None:
        state.go("map", tap=found.reference, focus=row)
