"""A histogram by class as the browser draws it (histogram/histogram.js)."""

from __future__ import annotations

from analysis.results import Distribution
from dashboard.figures import alt_text
from dashboard.figures.text import plain


def picture(
    result: Distribution, *, categories: tuple[str, ...], accent: str, row_name: str, about: str
) -> dict:
    """What is drawn; groups are stacked. `categories`: colours of the groups, `accent`: of a single one; `about` stands
    behind the heading."""
    colours = categories if len(result.counts) > 1 else (accent,)
    groups = [
        {
            "name": plain(name),
            "colour": colours[i % len(colours)],
            "hatched": i >= len(colours),
            "counts": [int(c) for c in counts],
        }
        for i, (name, counts) in enumerate(result.counts.items())
    ]
    return {
        "edges": [float(e) for e in result.edges],
        "groups": groups,
        "value_name": result.value_name,
        "row_name": row_name,
        "log": bool(result.log_y) and len(groups) == 1,
        "zero": bool(result.markers),
        "label": alt_text(result),
        "about": about,
    }
