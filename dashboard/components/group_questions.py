"""From a group, or two samples, on the map to the questions about its subspace: named selections are taken along by
their names, samples by their ids."""

from __future__ import annotations

import streamlit as st

from analysis.selection import Selection
from dashboard import errors, state
from dashboard.browse import selections

TWO = {  # question: (view, method)
    "The one direction and the few units that separate them": ("classes", "pair_direction"),
    "Erase what tells them apart, and see what else is lost": ("concepts", "concept_erasure"),
    "All samples along the way from one to the other": ("concepts", "rank_along_axis"),
}
ONE = {
    "The direction that sets them apart": ("classes", "pair_direction"),
    "All samples along that direction": ("concepts", "rank_along_axis"),
    "Erase what sets them apart": ("concepts", "concept_erasure"),
}


PAIR = {  # from one sample to another
    "All samples, ranked from the one to the other": ("concepts", "rank_along_axis"),
    "The first one, edited towards the second": ("concepts", "edit_path"),
    "Where such an edit leads many samples": ("concepts", "edit_neighbours"),
}


def two_samples(reference: str, low: str, high: str) -> None:
    """Links to what the line from one sample to another is good for."""
    ends = {"p.low": low, "p.high": high}
    st.markdown(
        f"**From {errors.escape(low)} to {errors.escape(high)}**\n\n"
        + "\n".join(
            f"- [{question}]({state.link('subspaces', view=view, ask=ask, tap=reference, **ends)})"
            for question, (view, ask) in PAIR.items()
        )
    )


def draw(reference: str, first: Selection, second: Selection | None = None) -> None:
    """Links to the Subspaces page; what to do first where a group has no name yet."""
    groups = [first] if second is None else [first, second]
    if any(group.of == "units" for group in groups):
        return
    if not all(map(selections.is_named, groups)):
        st.caption("Save it under a name to ask for its direction, to rank by it or to erase it (Subspaces).")
        return
    named = {f"p.{word}": group.name for word, group in zip(("inside", "outside"), groups, strict=False)}
    asked = ONE if second is None else TWO
    lines = [
        f"- [{question}]({state.link('subspaces', view=view, ask=ask, tap=reference, **named)})"
        for question, (view, ask) in asked.items()
    ]
    st.markdown("**Ask further**\n\n" + "\n".join(lines))
