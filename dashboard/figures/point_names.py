"""Names at the points of a scatter, where these are few: above each (below, where pictures stand above), with a ground
that keeps them readable."""

from __future__ import annotations

import numpy as np

from analysis.results import Scatter
from dashboard.figures.style import Theme, translucent
from dashboard.figures.text import markup, shorten

MOST, LONGEST = 60, 18  # points; characters
LETTER, HIGH, ABOVE = 0.0125, 0.05, 0.06  # of a name, as shares of the picture


def named(result: Scatter) -> list[tuple[float, float, str]]:
    """(x, y, name) of the points of a plane map whose names have room; none where points are too many."""
    places = np.asarray(result.positions, dtype=np.float64)
    if (
        not result.names
        or result.names not in result.columns
        or len(places) > MOST
        or places.shape[1:] != (2,)
    ):
        return []
    names = [str(name) for name in np.asarray(result.columns[result.names])]
    good = np.isfinite(places).all(axis=1)
    if not good.any():
        return []
    size = np.ptp(places[good], axis=0)
    at = places / np.where(size > 0, size, 1.0)
    far = np.abs(at - np.median(at[good], axis=0)).max(axis=1)
    kept: list[int] = []
    for i in sorted(np.flatnonzero(good), key=lambda i: -far[i]):  # those that stand alone first
        over = at[good] - at[i]  # points that the name would cover
        half = LETTER * min(len(names[i]), LONGEST) / 2
        if ((np.abs(over[:, 0]) < half) & (over[:, 1] > 0) & (over[:, 1] < ABOVE)).any():
            continue
        wide = [LETTER * (min(len(names[i]), LONGEST) + min(len(names[k]), LONGEST)) / 2 for k in kept]
        apart = [np.abs(at[i] - at[k]) for k in kept]
        if all(dx > w or dy > HIGH for (dx, dy), w in zip(apart, wide, strict=True)):
            kept.append(int(i))
    return [(float(places[i, 0]), float(places[i, 1]), names[i]) for i in sorted(kept)]


def on_screen(figure, result: Scatter, theme: Theme) -> None:
    """Add them to a Plotly figure."""
    side = {"yshift": 8, "yanchor": "bottom"} if result.pictures is None else {"yshift": -6, "yanchor": "top"}
    for x, y, name in named(result):
        figure.add_annotation(x=x, y=y, text=markup(name, LONGEST), showarrow=False, **side,
                              font={"color": theme.text, "size": 11},
                              bgcolor=translucent(theme.ground, 0.6), borderpad=0)  # fmt: skip


def on_paper(axes, page, result: Scatter) -> None:
    """Add them to Matplotlib axes."""
    above = result.pictures is None
    for x, y, name in named(result):
        axes.annotate(shorten(name, LONGEST), (x, y), (0, (3 if above else -3) * page.scale),
                      textcoords="offset points", ha="center", va="bottom" if above else "top",
                      fontsize="small", color="#1a1a1a", zorder=3)  # fmt: skip


def bare_second_axis(result: Scatter) -> bool:
    """Whether the second coordinate only sets named points apart: it has no name of its own."""
    return bool(result.names) and len(result.axes) > 1 and not result.axes[1]
