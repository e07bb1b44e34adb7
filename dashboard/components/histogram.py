"""A histogram by class, drawn in the browser (histogram/histogram.js): a card opens too often to build a chart
object for it on the server (56 ms against under 1 ms). The export draws the same result on paper."""

from __future__ import annotations

import streamlit as st

from analysis.results import Distribution
from dashboard.components.source import joined
from dashboard.figures import alt_text
from dashboard.figures.style import theme_named
from dashboard.figures.text import plain

_histogram = st.components.v2.component(
    "loupe_histogram",
    css=joined("histogram", "histogram.css"),
    js=joined("histogram", "../dom.js", "histogram.js"),
)


def histogram(result: Distribution, *, key: str, theme: str, row_name: str, about: str) -> None:
    """Draw a distribution; its groups are stacked. `about` stands behind its heading."""
    look = theme_named(theme)
    colours = look.categories if len(result.counts) > 1 else (look.accent,)
    groups = [
        {
            "name": plain(name),
            "colour": colours[i % len(colours)],
            "hatched": i >= len(colours),
            "counts": [int(c) for c in counts],
        }
        for i, (name, counts) in enumerate(result.counts.items())
    ]
    data = {
        "edges": [float(e) for e in result.edges],
        "groups": groups,
        "value_name": result.value_name,
        "row_name": row_name,
        "log": bool(result.log_y) and len(groups) == 1,
        "zero": bool(result.markers),
        "label": alt_text(result),
        "about": about,
    }
    _histogram(key=key, data=data)
