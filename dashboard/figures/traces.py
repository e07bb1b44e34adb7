"""The few Plotly pieces that several kinds share: a line, a band, a colour bar. Arrays stay float32 arrays."""

from __future__ import annotations

import numpy as np

from dashboard.figures.style import Theme, translucent
from dashboard.figures.text import markup


def line(figure, x, y, colour: str, name: str, *, width=1.8, dash="solid", markers=False, hover=None, **more):
    """Add a line. `name` and `hover` are markup already; without `hover` the pointer passes through."""
    import plotly.graph_objects as go

    pointed = {"hoverinfo": "skip"} if hover is None else {"hovertemplate": hover + "<extra></extra>"}
    figure.add_trace(
        go.Scatter(
            x=np.asarray(x, np.float32),
            y=np.asarray(y, np.float32),
            mode="lines+markers" if markers else "lines",
            name=name,
            line={"color": colour, "width": width, "dash": dash},
            marker={"size": 5},
            **pointed,
            **more,
        )
    )


def band(figure, x, low, high, colour: str, *, alpha=0.18, name="", **more):
    """Add an area between two lines; a name puts it into the legend."""
    import plotly.graph_objects as go

    bare = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "x": np.asarray(x, np.float32)}
    figure.add_trace(go.Scatter(y=np.asarray(low, np.float32), showlegend=False, **bare, **more))
    figure.add_trace(
        go.Scatter(
            y=np.asarray(high, np.float32),
            fill="tonexty",
            fillcolor=translucent(colour, alpha),
            name=name,
            showlegend=bool(name),
            **bare,
            **more,
        )
    )


def colour_bar(name: str, theme: Theme, **more) -> dict:
    """A thin colour bar with its name along the right side."""
    return {
        "title": {"text": markup(name, 40), "side": "right", "font": {"size": 12}},
        "thickness": 12,
        "outlinewidth": 0,
        "exponentformat": "power",
        "tickfont": {"size": 12, "color": theme.muted},
        **more,
    }
