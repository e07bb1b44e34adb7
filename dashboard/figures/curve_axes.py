"""The horizontal axis of a curve on screen: names, whole numbers, or powers of ten."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from dashboard.figures.curve_parts import MOST_TICKS, ticks
from dashboard.figures.text import markup, number

ON_SCREEN = 75  # characters of all names of the axis
MOST_DECADES = 3  # up to which a log axis has ticks at 2 and 5, too


def x_axis(result: Curve, x: np.ndarray) -> dict:
    """Plotly's settings for the places `x` (m,), which are NaN where a log axis has none."""
    kind = _log_axis(x) if result.log_x else {"type": "linear"}
    if result.x_labels:
        places, names = ticks(result, ON_SCREEN)
        kind |= {"tickmode": "array", "tickvals": places, "ticktext": [markup(name) for name in names]}
    elif (
        not result.log_x and len(x) <= MOST_TICKS // 2 and (np.asarray(result.x) == np.round(result.x)).all()
    ):
        kind |= {"tickmode": "array", "tickvals": x, "ticktext": [number(at) for at in result.x]}
    return kind


def hovered(result: Curve) -> list[str]:
    """The whole name of each place, with its number."""
    places = zip(result.x_labels, result.x, strict=True)
    return [f"{markup(name, 60)} ({number(at)})" if name else number(at) for name, at in places]


def _log_axis(x: np.ndarray) -> dict:
    """Ticks at 1, 2, 5, 10 … in one size (Plotly mixes sizes and powers); at powers of ten over many decades."""
    x = x[np.isfinite(x)].astype(float)
    first, last = np.floor(np.log10([x.min(), x.max()])).astype(int)
    if last - first > MOST_DECADES:
        return {"type": "log", "dtick": 1}
    places = [b * 10.0**e for e in range(first, last + 1) for b in (1, 2, 5)]
    return {"type": "log", "tickmode": "array", "tickvals": places, "ticktext": [f"{v:g}" for v in places]}
