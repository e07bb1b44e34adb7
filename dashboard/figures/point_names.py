"""Names at the points of a scatter, where these are few: above each, with a ground that keeps them readable."""

from __future__ import annotations

import numpy as np

from analysis.results import Scatter
from dashboard.figures.style import Theme, translucent
from dashboard.figures.text import markup, shorten

MOST, LONGEST = 60, 18  # points; characters


def named(result: Scatter) -> list[tuple[float, float, str]]:
    """(x, y, name) of each point of a plane map that has a name; none where they are too many."""
    places = np.asarray(result.positions, dtype=np.float64)
    if (
        not result.names
        or result.names not in result.columns
        or len(places) > MOST
        or places.shape[1:] != (2,)
    ):
        return []
    names = np.asarray(result.columns[result.names]).astype(str)
    return [
        (float(x), float(y), name)
        for (x, y), name in zip(places, names, strict=True)
        if np.isfinite([x, y]).all()
    ]


def on_screen(figure, result: Scatter, theme: Theme) -> None:
    """Add them to a Plotly figure."""
    for x, y, name in named(result):
        figure.add_annotation(x=x, y=y, text=markup(name, LONGEST), showarrow=False, yshift=8, yanchor="bottom",
                              font={"color": theme.text, "size": 11},
                              bgcolor=translucent(theme.ground, 0.6), borderpad=0)  # fmt: skip


def on_paper(axes, page, result: Scatter) -> None:
    """Add them to Matplotlib axes."""
    for x, y, name in named(result):
        axes.annotate(shorten(name, LONGEST), (x, y), (0, 3 * page.scale), textcoords="offset points", ha="center",
                      va="bottom", fontsize="x-small", color="#1a1a1a", zorder=3)  # fmt: skip


def bare_second_axis(result: Scatter) -> bool:
    """Whether the second coordinate only sets named points apart: it has no name of its own."""
    return bool(result.names) and len(result.axes) > 1 and not result.axes[1]
