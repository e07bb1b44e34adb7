"""Many lines on one axis: the list beside them that ranks and names them, and what each of them looks like.

Ranked are they by what sums a line up, such as the area below it, where the result has an estimate of each; else by
where they end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import Curve
from dashboard.figures.curve_parts import last_points, totals_of
from dashboard.figures.text import number, plain

HUES = 7  # the eighth colour, yellow, is lost on white


@dataclass(frozen=True)
class Row:
    """A line of the list. `value` sums the series up (NaN: nothing does), between `low` and `high`, with what chance
    gives; `hue`, `dash` number its look; a `control` is grey."""

    name: str
    value: float
    low: float
    high: float
    null: tuple[float, float] | None
    control: bool
    hue: int
    dash: int


def total_name(result: Curve) -> str:
    """What the estimates say that sum the series up; "" where there are none."""
    heads = [e.name[: -len(name)].rstrip(" ,:") for name, e in totals_of(result).items()]
    return plain(max(set(heads), key=heads.count)) if heads else ""


def ranked(result: Curve) -> list[Row]:
    """The list from top to bottom: the highest first, those that nothing sums up at the end."""
    totals, ends = totals_of(result), last_points(result, list(result.series))
    looks = _looks(result)
    rows = []
    for name in result.series:
        e, control = totals.get(name), name in result.controls
        if e is None:
            value = np.nan if totals else ends.get(name, (0.0, np.nan))[1]
            rows.append(Row(name, value, value, value, None, control, *looks[name]))
            continue
        low, high = (e.value if end is None else end for end in (e.low, e.high))
        null = None if e.null_low is None or e.null_high is None else (e.null_low, e.null_high)
        rows.append(Row(name, e.value, low, high, null, control, *looks[name]))
    return sorted(rows, key=lambda row: -row.value if np.isfinite(row.value) else np.inf)


def _looks(result: Curve) -> dict[str, tuple[int, int]]:
    """(hue, dash) by name in the order of the series, which does not change with their rank; controls share one hue."""
    found, k, greys = {}, 0, 0
    for name in result.series:
        if name in result.controls:
            found[name] = (0, greys % 4)
            greys += 1
        else:
            found[name] = (k % HUES, k // HUES % 4)
            k += 1
    return found


def said(row: Row) -> str:
    """Its number with the interval, and what chance gives."""
    if not np.isfinite(row.value):
        return ""
    text = number(row.value)
    if row.high > row.low:
        text += f" ({number(row.low)} to {number(row.high)})"
    return text + (f", by chance {number(row.null[0])} to {number(row.null[1])}" if row.null else "")


def reach(rows: list[Row]) -> list[float]:
    """The range of what sums the lines up."""
    ends = [v for row in rows for v in (row.low, row.high, *(row.null or ())) if np.isfinite(v)]
    room = 0.06 * (max(ends) - min(ends)) or 0.5
    return [min(ends) - room, max(ends) + room]


def nulls(result: Curve) -> tuple[np.ndarray, np.ndarray] | None:
    """The lowest and the highest null of all lines at each place (m,), or None."""
    if not result.null:
        return None
    every = np.array([np.asarray(v, float) for v in result.null.values()])
    return every.min(axis=0), every.max(axis=0)
