"""The null strip: every estimate on one line, its value with interval over the grey band of its null.

Each line has its own scale, because estimates of different units stand below each other; the ends are written
under the line, and every number is written beside it.
"""

from __future__ import annotations

import numpy as np

from analysis.results import Estimate, Result
from dashboard.figures.estimates import detail_words, null_words, value_words
from dashboard.figures.paper import Page
from dashboard.figures.rounding import rounded
from dashboard.figures.sheet import Sheet
from dashboard.figures.text import shorten, wrapped

MOST_LINES = 12
NOTHING = "This result carries no estimate, so there is no null to compare with."


def span(e: Estimate) -> tuple[float, float] | None:
    """The ends of the line of one estimate; None when nothing about it is finite."""
    given = [v for v in (e.value, e.low, e.high, e.null, e.null_low, e.null_high) if v is not None]
    given = [float(v) for v in given if np.isfinite(v)]
    if not given:
        return None
    low, high = min(given), max(given)
    if 0 < low <= high < 1.0001 or -1.0001 < low < 0 <= high < 1.0001:
        low = min(low, 0.0)  # shares and correlations are read against zero
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    return low, high


def at(value, ends: tuple[float, float]) -> float:
    """Where a value lies on the line, 0 to 1."""
    return (float(value) - ends[0]) / (ends[1] - ends[0])


def known(*values) -> bool:
    """Whether all of these are there and finite."""
    return all(v is not None and np.isfinite(v) for v in values)


def rest(result: Result) -> tuple[str, ...]:
    """What to say of estimates beyond `MOST_LINES`."""
    n = len(result.estimates)
    return (f"the first {MOST_LINES} of {n:,} estimates; the table has them all",) if n > MOST_LINES else ()


def strip_height(result: Result, sheet: Sheet) -> float:
    """Inches of the strip on paper."""
    line = 0.74 if sheet.width == "single" else 0.6
    return (line * max(len(result.estimates[:MOST_LINES]), 1) + 0.12) * sheet.scale


def strip_on_paper(result: Result, page: Page) -> None:
    """Draw the strip on a page: words above and below each line where the page is narrow, beside it where wide."""
    shown = result.estimates[:MOST_LINES]
    axes = page.figure.add_subplot()
    axes.set_axis_off()
    wide = page.inches > 5
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim((-1.4, 1.02) if wide else (-0.02, 1.02))
    room = int(page.characters * (0.54 if wide else 0.97))
    look = {"va": "top", "in_layout": False, "linespacing": 1.15}
    for k, e in enumerate(shown):
        x, top = (-1.4, k - 0.4) if wide else (0, k - 0.47)
        axes.text(x, top, shorten(f"{e.name}  {value_words(e)}", room - 4), fontweight="bold", **look)
        under = "; ".join(t for t in (null_words(e), detail_words(e)) if t)
        small = "\n".join(wrapped(under, room, 3))
        axes.text(x, k - 0.14 if wide else k + 0.0, small, color="#555555", **look)
        _paper_line(axes, e, k - 0.05 if wide else k - 0.13, page)


def _paper_line(axes, e: Estimate, y: float, page: Page) -> None:
    e = rounded(e)
    ends = span(e)
    if ends is None:
        return
    colour = page.mark(0)[0]
    axes.plot([0, 1], [y, y], color="#dddddd", linewidth=1.2 * page.scale, zorder=1)
    if known(e.null_low, e.null_high):
        axes.fill_between(
            [at(e.null_low, ends), at(e.null_high, ends)],
            y - 0.1,
            y + 0.1,
            color="#b5b5b5",
            linewidth=0,
            zorder=2,
        )
    if known(e.null):
        axes.plot(
            [at(e.null, ends)] * 2,
            [y - 0.13, y + 0.13],
            color="#777777",
            linewidth=1.4 * page.scale,
            zorder=3,
        )
    if known(e.low, e.high):
        axes.plot(
            [at(e.low, ends), at(e.high, ends)],
            [y, y],
            color=colour,
            linewidth=1.1 * page.scale,
            marker="|",
            markersize=4 * page.scale,
            zorder=4,
        )
    if known(e.value):
        axes.plot([at(e.value, ends)], [y], "o", color=colour, markersize=4 * page.scale, zorder=5)
