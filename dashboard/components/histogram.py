"""A histogram by class, drawn in the browser (histogram/histogram.js): a card opens too often to build a chart
object for it on the server (56 ms against under 1 ms). The export draws the same result on paper."""

from __future__ import annotations

import streamlit as st

from analysis.results import Distribution
from dashboard.browse import histogram_picture
from dashboard.components.source import joined
from dashboard.figures.style import theme_named

_histogram = st.components.v2.component(
    "loupe_histogram",
    css=joined("histogram", "histogram.css"),
    js=joined("histogram", "../dom.js", "histogram.js"),
)


def histogram(result: Distribution, *, key: str, theme: str, row_name: str, about: str) -> None:
    """Draw a distribution; its groups are stacked. `about` stands behind its heading."""
    look = theme_named(theme)
    colours = {"categories": look.categories, "accent": look.accent}
    data = histogram_picture.picture(result, **colours, row_name=row_name, about=about)
    _histogram(key=key, data=data)
